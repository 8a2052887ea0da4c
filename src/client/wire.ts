import { apiVersionOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import { ApiError, type Status } from '#api/machinery/errors.ts';
import type {
  Client,
  Connection,
  DeleteOptions,
  List,
  ListOptions,
  Patch,
  WatchEvent,
  WatchOptions,
} from './client.ts';

/** What a transport does; everything about paths, queries and bodies is in `clientOver`. */
export interface Wire {
  /** The decoded answer. A failure is an `ApiError`. */
  send(request: WireRequest): Promise<unknown>;
  watch(request: WireRequest): AsyncIterable<WireEvent>;
  text(request: WireRequest): Promise<string>;
  connect(path: string, subprotocols: readonly string[], signal?: AbortSignal): Promise<Connection>;
}

export interface WireRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query: URLSearchParams;
  readonly accept?: string;
  readonly contentType?: string;
  /** Sent as JSON where the transport has bytes. */
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** A watch event as the API defines it. */
export interface WireEvent {
  readonly type: string;
  readonly object: unknown;
}

/** The `Client` over a transport. */
export function clientOver(wire: Wire): Client {
  const send = <Type>(request: WireRequest) => wire.send(request) as Promise<Type>;
  return {
    get: (kind, name, options = {}) =>
      send({
        method: 'GET',
        path: objectPath(kind, name, options),
        query: queryOf({ resourceVersion: options.resourceVersion }),
        signal: options.signal,
      }),
    list: (kind, options = {}) =>
      send<List<never>>({
        method: 'GET',
        path: collectionPath(kind, options.namespace),
        query: listQuery(options),
        signal: options.signal,
      }),
    watch: (kind, options = {}) =>
      typedEvents(
        wire.watch({
          method: 'GET',
          path: collectionPath(kind, options.namespace),
          query: watchQuery(options),
          signal: options.signal,
        }),
      ),
    create: (kind, object, options = {}) =>
      send({
        method: 'POST',
        path:
          options.subresource === undefined
            ? collectionPath(kind, options.namespace ?? object.metadata?.namespace)
            : objectPath(kind, object.metadata?.name ?? '', { namespace: object.metadata?.namespace, ...options }),
        query: writeQuery(options),
        contentType: 'application/json',
        body: named(kind, object, options.subresource),
        signal: options.signal,
      }),
    update: (kind, object, options = {}) =>
      send({
        method: 'PUT',
        path: objectPath(kind, object.metadata.name ?? '', { namespace: object.metadata.namespace, ...options }),
        query: writeQuery(options),
        contentType: 'application/json',
        body: named(kind, object, options.subresource),
        signal: options.signal,
      }),
    patch: (kind, name, patch, options = {}) =>
      send({
        method: 'PATCH',
        path: objectPath(kind, name, options),
        query: writeQuery(options),
        ...patchBody(patch),
        signal: options.signal,
      }),
    delete: (kind, name, options = {}) =>
      send({
        method: 'DELETE',
        path: objectPath(kind, name, options),
        query: new URLSearchParams(),
        contentType: 'application/json',
        body: deleteBody(options),
        signal: options.signal,
      }),
    async deleteCollection(kind, options = {}) {
      await wire.send({
        method: 'DELETE',
        path: collectionPath(kind, options.namespace),
        query: listQuery(options),
        contentType: 'application/json',
        body: deleteBody(options),
        signal: options.signal,
      });
    },
    createSubresource: (kind, name, subresource, body, options = {}) =>
      send({
        method: 'POST',
        path: objectPath(kind, name, { ...options, subresource }),
        query: writeQuery(options),
        contentType: 'application/json',
        body,
        signal: options.signal,
      }),
    raw(target, options = {}) {
      const { path, query } = splitTarget(target);
      return wire.text({ method: 'GET', path, query, accept: options.accept ?? '*/*', signal: options.signal });
    },
    connect: (path, subprotocols, signal) => wire.connect(path, subprotocols, signal),
  };
}

/** Where a kind's objects are: `/apis/apps/v1/namespaces/default/deployments`. */
export function collectionPath(kind: Kind, namespace: string | undefined): string {
  const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  return kind.namespaced && namespace !== undefined
    ? `${root}/namespaces/${segment(namespace)}/${kind.plural}`
    : `${root}/${kind.plural}`;
}

export function objectPath(
  kind: Kind,
  name: string,
  { namespace, subresource }: { readonly namespace?: string | undefined; readonly subresource?: string | undefined },
): string {
  const path = `${collectionPath(kind, namespace)}/${segment(name)}`;
  return subresource === undefined ? path : `${path}/${subresource}`;
}

/** An object of a failed request, whatever the server sent. */
export function failureOf(body: unknown, code: number, text = ''): ApiError {
  if (isStatus(body)) return new ApiError(body);
  return new ApiError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: text === '' ? `the server answered with code ${code}` : text.slice(0, 1024).trim(),
    reason: reasonOf[code] ?? 'Unknown',
    code,
  });
}

/** What upstream's clients make of an answer that is no Status. */
const reasonOf: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  406: 'NotAcceptable',
  409: 'Conflict',
  410: 'Gone',
  413: 'RequestEntityTooLarge',
  415: 'UnsupportedMediaType',
  422: 'Invalid',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

export function splitTarget(target: string): { path: string; query: URLSearchParams } {
  const at = target.indexOf('?');
  return at < 0
    ? { path: target, query: new URLSearchParams() }
    : { path: target.slice(0, at), query: new URLSearchParams(target.slice(at + 1)) };
}

function isStatus(body: unknown): body is Status {
  return typeof body === 'object' && body !== null && 'kind' in body && body.kind === 'Status' && 'status' in body;
}

/** Colons are common in names (`system:node`) and legal in a path. */
function segment(text: string): string {
  return encodeURIComponent(text).replaceAll('%3A', ':');
}

/** The body says what it is, also where a caller left it out. */
function named(kind: Kind, object: object, subresource: string | undefined): object {
  const { apiVersion, kind: own } = object as { apiVersion?: string; kind?: string };
  if (subresource !== undefined && subresource !== 'status' && subresource !== 'finalize') return object;
  return apiVersion !== undefined && own !== undefined
    ? object
    : { apiVersion: apiVersionOf(kind), kind: kind.kind, ...object };
}

function queryOf(entries: Readonly<Record<string, string | number | boolean | undefined>>): URLSearchParams {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(entries)) if (value !== undefined) query.set(key, String(value));
  return query;
}

function listQuery(options: ListOptions): URLSearchParams {
  return queryOf({
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    resourceVersion: options.resourceVersion,
    resourceVersionMatch: options.resourceVersionMatch,
    limit: options.limit,
    continue: options.continue,
  });
}

function watchQuery(options: WatchOptions): URLSearchParams {
  const query = listQuery(options);
  query.set('watch', 'true');
  if (options.allowWatchBookmarks) query.set('allowWatchBookmarks', 'true');
  if (options.sendInitialEvents !== undefined) {
    query.set('sendInitialEvents', String(options.sendInitialEvents));
    query.set('resourceVersionMatch', 'NotOlderThan');
  }
  if (options.timeoutSeconds !== undefined) query.set('timeoutSeconds', String(options.timeoutSeconds));
  return query;
}

function writeQuery(options: {
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  readonly force?: boolean;
}): URLSearchParams {
  return queryOf({
    dryRun: options.dryRun ? 'All' : undefined,
    fieldManager: options.fieldManager,
    force: options.force,
  });
}

function patchBody(patch: Patch): { contentType: string; body: unknown } {
  switch (patch.type) {
    case 'json':
      return { contentType: 'application/json-patch+json', body: patch.operations };
    case 'merge':
      return { contentType: 'application/merge-patch+json', body: patch.patch };
    case 'strategic':
      return { contentType: 'application/strategic-merge-patch+json', body: patch.patch };
    case 'apply':
      return { contentType: 'application/apply-patch+yaml', body: patch.object };
  }
}

function deleteBody(options: DeleteOptions): object {
  const { gracePeriodSeconds, propagationPolicy, preconditions, dryRun } = options;
  return {
    apiVersion: 'v1',
    kind: 'DeleteOptions',
    ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
    ...(propagationPolicy && { propagationPolicy }),
    ...(preconditions && { preconditions }),
    ...(dryRun && { dryRun: ['All'] }),
  };
}

async function* typedEvents<Type>(events: AsyncIterable<WireEvent>): AsyncGenerator<WatchEvent<Type>, void, undefined> {
  for await (const { type, object } of events) {
    switch (type) {
      case 'ADDED':
      case 'MODIFIED':
      case 'DELETED':
        yield { type, object: object as Type };
        break;
      case 'BOOKMARK': {
        const { metadata } = object as ApiObject;
        yield {
          type,
          resourceVersion: metadata.resourceVersion ?? '',
          initialEventsEnd: metadata.annotations?.['k8s.io/initial-events-end'] === 'true',
        };
        break;
      }
      case 'ERROR': {
        const code = isStatus(object) ? object.code : 500;
        throw failureOf(object, code);
      }
      default:
        throw new Error(`cannot read a watch: event type ${JSON.stringify(type)} is unknown`);
    }
  }
}
