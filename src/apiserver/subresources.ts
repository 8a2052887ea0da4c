import { type Kind, resourceNameOf } from '#api/machinery/kind.ts';
import type { ApiObject, Draft } from '#api/machinery/kind.ts';
import type { ApiResponse } from '#client/transport.ts';
import { Admission } from './admit.ts';
import { readObject } from './body.ts';
import type { Call } from './call.ts';
import { serveComputed, type ComputedResource } from './computed-resource.ts';
import { existing, type Resource, viewOf } from './registry.ts';
import type { RequestContext, SubresourceContext, SubresourceHandler, SubresourceHandlers } from './subresource.ts';
import { approval } from './subresources/approval.ts';
import { binding, bindings } from './subresources/binding.ts';
import { ephemeralContainers } from './subresources/ephemeral-containers.ts';
import { eviction } from './subresources/eviction.ts';
import { finalize } from './subresources/finalize.ts';
import { resize } from './subresources/resize.ts';
import { scale } from './subresources/scale.ts';
import { status } from './subresources/status.ts';
import { componentStatuses } from './subresources/component-statuses.ts';

type Verb = (call: Call, resource: Resource) => ApiResponse | Promise<ApiResponse>;

/** Subresources that every kind has which has them at all. */
const general: Readonly<Record<string, Verb>> = { status, scale };

/** The subresources that the API server serves from the store, and resources that are not stored. */
const own: Readonly<Record<string, Verb>> = {
  bindings,
  'pods/binding': binding,
  'pods/eviction': eviction,
  'pods/ephemeralcontainers': ephemeralContainers,
  'pods/resize': resize,
  'namespaces/finalize': finalize,
  'certificatesigningrequests.certificates.k8s.io/approval': approval,
  componentstatuses: componentStatuses,
};

/** Who serves what a verb alone does not. */
export class Subresources {
  readonly #mounted: ReadonlyMap<string, SubresourceHandler>;
  readonly #computed: ReadonlyMap<string, Verb>;

  constructor(mounted: SubresourceHandlers, computed: readonly ComputedResource[] = []) {
    this.#mounted = new Map(Object.entries(mounted));
    this.#computed = new Map(computed.map(each => [resourceNameOf(each.kind), serveComputed(each)]));
  }

  find(kind: Kind, subresource: string): ((call: Call, resource: Resource) => Promise<ApiResponse>) | undefined {
    const name = subresource === '' ? resourceNameOf(kind) : `${resourceNameOf(kind)}/${subresource}`;
    const mounted = this.#mounted.get(name);
    if (mounted)
      return async (call, resource) => ownHeaders(await mounted(call.request, subresourceContextOf(call, resource)));
    const computed = this.#computed.get(name);
    if (computed) return async (call, resource) => computed(call, resource);
    const verb = Object.hasOwn(own, name)
      ? own[name]
      : Object.hasOwn(general, subresource)
        ? general[subresource]
        : undefined;
    return verb && (async (call, resource) => verb(call, resource));
  }
}

/** The chain adds headers; what a handler answers again and again must not collect them. */
export function ownHeaders(response: ApiResponse): ApiResponse {
  return { ...response, headers: { ...response.headers } };
}

/** What handlers outside of this folder see of a request. */
export function contextOf(call: Call): RequestContext {
  return {
    user: call.user,
    info: call.info,
    warn: message => call.warn(message),
    annotate: (key, value) => call.annotate(key, value),
    authorize: attributes => call.authorize(attributes),
    respond: (code, object) => call.respond(code, object),
  };
}

function subresourceContextOf(call: Call, resource: Resource): SubresourceContext {
  const { namespace, name, subresource } = call.info;
  const parent = () => viewOf(resource, existing(resource, namespace, name));
  return {
    ...contextOf(call),
    kind: resource.kind,
    object: <Type extends ApiObject>() => parent() as Type,
    body: kind => readObject(call, kind, 'Warn'),
    async admit(operation, object) {
      const admission = new Admission(call, resource.kind, {
        operation,
        subresource,
        namespace,
        name,
        object: object as Draft<ApiObject>,
        old: undefined,
        options: {},
        dryRun: call.request.query.getAll('dryRun').includes('All'),
      });
      await admission.admit();
      await admission.validate();
    },
  };
}
