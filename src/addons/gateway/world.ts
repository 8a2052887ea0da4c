import type { ConfigMap } from '#api/core/v1/config-map.ts';
import type { Secret } from '#api/core/v1/secret.ts';
import type { Service } from '#api/core/v1/service.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import type { IngressClass } from '#api/networking/v1/ingress-class.ts';
import type { Ingress } from '#api/networking/v1/ingress.ts';
import type {
  BackendTlsPolicy,
  Condition,
  Gateway,
  GatewayClass,
  GrpcRoute,
  HttpRoute,
  ReferenceGrant,
  TlsRoute,
} from './kinds.ts';

/** Everything that decides what the proxy does, as it is at one moment. */
export interface World {
  readonly classes: readonly GatewayClass[];
  readonly gateways: readonly Gateway[];
  readonly httpRoutes: readonly HttpRoute[];
  readonly grpcRoutes: readonly GrpcRoute[];
  readonly tlsRoutes: readonly TlsRoute[];
  readonly grants: readonly ReferenceGrant[];
  readonly policies: readonly BackendTlsPolicy[];
  readonly ingresses: readonly Ingress[];
  readonly ingressClasses: readonly IngressClass[];
  service(namespace: string, name: string): Service | undefined;
  secret(namespace: string, name: string): Secret | undefined;
  configMap(namespace: string, name: string): ConfigMap | undefined;
  labelsOfNamespace(namespace: string): Readonly<Record<string, string>>;
  /** Addresses of the Service that leads to the proxy for somebody. */
  addresses(service: { readonly namespace: string; readonly name: string }): readonly string[];
  /** Why there is no proxy, as a sentence. */
  readonly problem?: string;
}

/** A condition without the times. */
export type Finding = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

export function yes(type: string, reason = type, message = ''): Finding {
  return { type, status: 'True', reason, message };
}

export function no(type: string, reason: string, message: string): Finding {
  return { type, status: 'False', reason, message };
}

export const controllerName = 'windlass.dev/gateway-controller';
export const ingressControllerName = 'windlass.dev/ingress-controller';
export const className = 'windlass';

/** Older first, then by name: who was first decides what two want. */
export function ageOf({ metadata }: ApiObject): string {
  return `${String(metadata.creationTimestamp ?? '')} ${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
}

export function byAge(left: ApiObject, right: ApiObject): number {
  const [first, second] = [ageOf(left), ageOf(right)];
  return first < second ? -1 : first > second ? 1 : 0;
}

export interface Referrer {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
}

/** An object may refer to another of its own namespace, and elsewhere where a ReferenceGrant says so. */
export function mayRefer(
  { grants }: World,
  from: Referrer,
  to: { readonly group: string; readonly kind: string; readonly namespace: string; readonly name: string },
): boolean {
  if (from.namespace === to.namespace) return true;
  return grants.some(
    ({ metadata, spec }) =>
      metadata.namespace === to.namespace &&
      spec.from.some(
        each => each.group === from.group && each.kind === from.kind && each.namespace === from.namespace,
      ) &&
      spec.to.some(
        each =>
          each.group === to.group &&
          each.kind === to.kind &&
          (each.name === undefined || each.name === '' || each.name === to.name),
      ),
  );
}

// Header names are tokens; values, paths and hosts must not break a line.
// oxlint-disable-next-line no-control-regex
const controlCharacters = /[\u0000-\u001f\u007f]/;

export function isPrintable(text: string): boolean {
  return !controlCharacters.test(text);
}
