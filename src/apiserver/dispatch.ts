import { type ApiError, errors } from '#api/machinery/errors.ts';
import type { Kind } from '#api/machinery/kind.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { Aggregation } from './aggregation/aggregation.ts';
import type { Call } from './call.ts';
import { keyOf, type Resource } from './registry.ts';
import { checkForms, checkPath } from './route.ts';
import type { RawPath } from './subresource.ts';
import { contextOf, ownHeaders, type Subresources } from './subresources.ts';
import { pageNotFound } from './text.ts';
import { traced } from '#base/trace.ts';
import { create } from './verbs/create.ts';
import { remove } from './verbs/delete.ts';
import { deleteCollection } from './verbs/delete-collection.ts';
import { get } from './verbs/get.ts';
import { list } from './verbs/list.ts';
import { patch } from './verbs/patch.ts';
import { update } from './verbs/update.ts';
import { watch } from './verbs/watch.ts';

type Verb = (call: Call, resource: Resource) => Promise<ApiResponse>;

const verbs: Readonly<Record<string, Verb>> = {
  create,
  get,
  list,
  watch,
  update,
  patch,
  delete: remove,
  deletecollection: deleteCollection,
};

/** What upstream calls the work of a verb in a trace. */
const spanNames: Readonly<Record<string, string>> = {
  create: 'Create',
  get: 'Get',
  list: 'List',
  watch: 'WatchServer.HandleHTTP',
  update: 'Update',
  patch: 'Patch',
  delete: 'Delete',
  deletecollection: 'Delete',
};

/** Finds who answers a request: a verb, a subresource, or a raw path. */
export class Dispatcher {
  readonly #exact = new Map<string, RawPath>();
  readonly #prefixes: readonly RawPath[];
  readonly #subresources: Subresources;
  readonly #aggregation: Pick<Aggregation, 'remoteOf' | 'passOn'> | undefined;

  constructor(
    rawPaths: readonly RawPath[],
    subresources: Subresources,
    aggregation?: Pick<Aggregation, 'remoteOf' | 'passOn'>,
  ) {
    for (const rawPath of rawPaths) this.#exact.set(rawPath.path, rawPath);
    this.#prefixes = rawPaths.filter(each => each.prefix).sort((a, b) => b.path.length - a.path.length);
    this.#subresources = subresources;
    this.#aggregation = aggregation;
  }

  async dispatch(call: Call): Promise<ApiResponse> {
    const remote = this.#aggregation?.remoteOf(call.request.path);
    if (this.#aggregation && remote) return this.#aggregation.passOn(remote, call.request, call.user);
    return call.info.isResource ? this.#resource(call) : this.#raw(call);
  }

  async #raw(call: Call): Promise<ApiResponse> {
    const { path } = call.request;
    const found = this.#exact.get(path) ?? this.#prefixes.find(each => path.startsWith(`${each.path}/`));
    if (!found) return pageNotFound;
    return ownHeaders(await found.handle(call.request, contextOf(call)));
  }

  async #resource(call: Call): Promise<ApiResponse> {
    const { info, foundation } = call;
    const { group, version, subresource } = info;
    const resource = foundation.registry.find(group, version, info.resource);
    // A namespaced path never reaches a cluster-scoped resource.
    if (!resource || (info.namespace !== '' && !isNamespacedPath(call, resource))) {
      const isKnown = group === '' || foundation.registry.kinds.some(each => each.group === group && !each.custom);
      if (!isKnown) return pageNotFound;
      throw errors.noSuchResource();
    }
    const { kind } = resource;
    checkPath(call, kind);
    if (kind.deprecation !== undefined) call.warn(kind.deprecation);
    const { cache } = foundation;
    // Another server may have made the object a moment ago.
    if (cache.isShared && info.name !== '' && !resource.cache.get(keyOf(kind, info.namespace, info.name)))
      await cache.catchUp();
    const mounted = this.#subresources.find(kind, subresource);
    const isHead = call.request.method === 'HEAD' && !kind.custom && subresource !== 'proxy';
    if (subresource === '') {
      if (isHead || !(kind.verbs as readonly string[]).includes(info.verb)) throw notServed(kind, info.verb);
      if (!isVerbOfPath(call, resource)) throw misplaced(call, kind);
      if (kind.namespaced && info.namespace === '' && info.name !== '' && info.fieldSelector === undefined)
        throw errors.noSuchResource();
      checkForms(call, kind);
      if (mounted) return mounted(call, resource);
      // Reviews are answered, never stored: without somebody to answer there is nothing.
      if (!kind.verbs.includes('get')) throw errors.noSuchResource();
      return traced(
        spanNames[info.verb] as string,
        () => (verbs[info.verb] as Verb)(call, resource),
        () => ({ 'audit-id': call.auditId, method: call.request.method, url: call.request.path }),
      );
    }
    const served = Object.hasOwn(kind.subresources, subresource) ? kind.subresources[subresource] : undefined;
    if (!served || !mounted) throw kind.custom ? errors.notFound(kind, info.name) : errors.noSuchResource();
    // What is proxied knows a method that is no verb.
    const isProxied = subresource === 'proxy' && call.request.method === 'OPTIONS';
    if (isHead || (!isProxied && !served.verbs.includes(info.verb))) throw notServed(kind, info.verb);
    checkForms(call, kind);
    return mounted(call, resource);
  }
}

function notServed(kind: Kind, verb: string): ApiError {
  return kind.custom ? errors.methodNotSupported(kind, verb) : errors.methodNotAllowed();
}

function misplaced({ info }: Call, kind: Kind): ApiError {
  if (!kind.custom) return errors.methodNotAllowed();
  return info.verb === 'update' || info.verb === 'patch'
    ? errors.badRequest('name must be provided')
    : errors.noSuchResource();
}

/** Without a namespace there are only lists and watches; what is created has no name in its path, what changes has. */
function isVerbOfPath({ info }: Call, { kind }: Resource): boolean {
  const { verb, namespace, name } = info;
  if (kind.namespaced && namespace === '' && (verb === 'create' || verb === 'deletecollection')) return false;
  if (verb === 'create') return name === '' || kind.custom === true;
  return name !== '' || (verb !== 'update' && verb !== 'patch');
}

function isNamespacedPath({ info }: Call, { kind }: Resource): boolean {
  return kind.namespaced || (kind.group === '' && kind.plural === 'namespaces' && info.name === info.namespace);
}
