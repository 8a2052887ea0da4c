import { defineKind, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import type { LabelSelector } from '#api/meta/v1/label-selector.ts';

const group = 'gateway.networking.k8s.io';

export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly observedGeneration?: number;
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

/** A reference to an object: group and kind as far as they are not what is meant anyway. */
export interface Reference {
  readonly group?: string;
  readonly kind?: string;
  readonly name: string;
  readonly namespace?: string;
}

export interface GatewayClass extends ApiObject {
  readonly spec: { readonly controllerName: string; readonly parametersRef?: Reference; readonly description?: string };
  readonly status?: {
    readonly conditions?: readonly Condition[];
    readonly supportedFeatures?: readonly { readonly name: string }[];
  };
}

export interface RouteKind {
  readonly group?: string;
  readonly kind: string;
}

export interface Listener {
  readonly name: string;
  readonly hostname?: string;
  readonly port: number;
  readonly protocol: string;
  readonly tls?: {
    readonly mode?: 'Terminate' | 'Passthrough';
    readonly certificateRefs?: readonly Reference[];
    readonly options?: Readonly<Record<string, string>>;
  };
  readonly allowedRoutes?: {
    readonly namespaces?: { readonly from?: 'All' | 'Same' | 'Selector'; readonly selector?: LabelSelector };
    readonly kinds?: readonly RouteKind[];
  };
}

export interface ListenerStatus {
  readonly name: string;
  readonly supportedKinds: readonly RouteKind[];
  readonly attachedRoutes: number;
  readonly conditions: readonly Condition[];
}

export interface ClientValidation {
  readonly caCertificateRefs: readonly Reference[];
  readonly mode?: 'AllowValidOnly' | 'AllowInsecureFallback';
}

export interface GatewayAddress {
  readonly type?: string;
  readonly value?: string;
}

export interface Gateway extends ApiObject {
  readonly spec: {
    readonly gatewayClassName: string;
    readonly listeners: readonly Listener[];
    readonly addresses?: readonly GatewayAddress[];
    readonly infrastructure?: {
      readonly labels?: Readonly<Record<string, string>>;
      readonly annotations?: Readonly<Record<string, string>>;
      readonly parametersRef?: Reference;
    };
    readonly tls?: {
      readonly backend?: { readonly clientCertificateRef?: Reference };
      readonly frontend?: {
        readonly default: { readonly validation?: ClientValidation };
        readonly perPort?: readonly {
          readonly port: number;
          readonly tls: { readonly validation?: ClientValidation };
        }[];
      };
    };
  };
  readonly status?: {
    readonly addresses?: readonly GatewayAddress[];
    readonly conditions?: readonly Condition[];
    readonly listeners?: readonly ListenerStatus[];
  };
}

export interface ParentReference extends Reference {
  readonly sectionName?: string;
  readonly port?: number;
}

export interface RouteParentStatus {
  readonly parentRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly Condition[];
}

export interface BackendReference extends Reference {
  readonly port?: number;
  readonly weight?: number;
}

export interface ValueMatch {
  readonly type?: 'Exact' | 'RegularExpression';
  readonly name: string;
  readonly value: string;
}

export interface HeaderModifier {
  readonly set?: readonly { readonly name: string; readonly value: string }[];
  readonly add?: readonly { readonly name: string; readonly value: string }[];
  readonly remove?: readonly string[];
}

export interface PathModifier {
  readonly type: 'ReplaceFullPath' | 'ReplacePrefixMatch';
  readonly replaceFullPath?: string;
  readonly replacePrefixMatch?: string;
}

export interface RouteFilter {
  readonly type: string;
  readonly requestHeaderModifier?: HeaderModifier;
  readonly responseHeaderModifier?: HeaderModifier;
  readonly requestMirror?: {
    readonly backendRef: BackendReference;
    readonly percent?: number;
    readonly fraction?: { readonly numerator: number; readonly denominator?: number };
  };
  readonly requestRedirect?: {
    readonly scheme?: string;
    readonly hostname?: string;
    readonly path?: PathModifier;
    readonly port?: number;
    readonly statusCode?: number;
  };
  readonly urlRewrite?: { readonly hostname?: string; readonly path?: PathModifier };
  readonly cors?: {
    readonly allowOrigins?: readonly string[];
    readonly allowCredentials?: boolean;
    readonly allowMethods?: readonly string[];
    readonly allowHeaders?: readonly string[];
    readonly exposeHeaders?: readonly string[];
    readonly maxAge?: number;
  };
}

export interface RouteRule<Match> {
  readonly name?: string;
  readonly matches?: readonly Match[];
  readonly filters?: readonly RouteFilter[];
  readonly backendRefs?: readonly (BackendReference & { readonly filters?: readonly RouteFilter[] })[];
  readonly timeouts?: { readonly request?: string; readonly backendRequest?: string };
}

/** What all kinds of routes have. */
export interface Route<Match = unknown> extends ApiObject {
  readonly spec: {
    readonly parentRefs?: readonly ParentReference[];
    readonly hostnames?: readonly string[];
    readonly rules?: readonly RouteRule<Match>[];
  };
  readonly status?: { readonly parents?: readonly RouteParentStatus[] };
}

export interface HttpMatch {
  readonly path?: { readonly type?: 'Exact' | 'PathPrefix' | 'RegularExpression'; readonly value?: string };
  readonly headers?: readonly ValueMatch[];
  readonly queryParams?: readonly ValueMatch[];
  readonly method?: string;
}

export interface GrpcMatch {
  readonly method?: {
    readonly type?: 'Exact' | 'RegularExpression';
    readonly service?: string;
    readonly method?: string;
  };
  readonly headers?: readonly ValueMatch[];
}

export type HttpRoute = Route<HttpMatch>;
export type GrpcRoute = Route<GrpcMatch>;
export type TlsRoute = Route<never>;

export interface ReferenceGrant extends ApiObject {
  readonly spec: {
    readonly from: readonly { readonly group: string; readonly kind: string; readonly namespace: string }[];
    readonly to: readonly { readonly group: string; readonly kind: string; readonly name?: string }[];
  };
}

export interface BackendTlsPolicy extends ApiObject {
  readonly spec: {
    readonly targetRefs: readonly (Reference & { readonly sectionName?: string })[];
    readonly validation: {
      readonly caCertificateRefs?: readonly Reference[];
      readonly wellKnownCACertificates?: string;
      readonly hostname: string;
      readonly subjectAltNames?: readonly {
        readonly type: string;
        readonly hostname?: string;
        readonly uri?: string;
      }[];
    };
    readonly options?: Readonly<Record<string, string>>;
  };
  readonly status?: { readonly ancestors?: readonly AncestorStatus[] };
}

export interface AncestorStatus {
  readonly ancestorRef: ParentReference;
  readonly controllerName: string;
  readonly conditions: readonly Condition[];
}

export const GatewayClass = custom<GatewayClass>('GatewayClass', 'gatewayclasses', false);
export const Gateway = custom<Gateway>('Gateway', 'gateways');
export const HttpRoute = custom<HttpRoute>('HTTPRoute', 'httproutes');
export const GrpcRoute = custom<GrpcRoute>('GRPCRoute', 'grpcroutes');
export const TlsRoute = custom<TlsRoute>('TLSRoute', 'tlsroutes');
export const ReferenceGrant = custom<ReferenceGrant>('ReferenceGrant', 'referencegrants');
export const BackendTlsPolicy = custom<BackendTlsPolicy>('BackendTLSPolicy', 'backendtlspolicies');

/** A kind that a CustomResourceDefinition defines: its schema is the server's business. */
function custom<Type extends ApiObject>(kind: string, plural: string, namespaced = true): Kind<Type> {
  return defineKind({
    group,
    version: 'v1',
    kind,
    plural,
    namespaced,
    type: '',
    fields: {},
    preserveUnknown: true,
  }) as unknown as Kind<Type>;
}
