import type { Duplex } from 'node:stream';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import type { Status } from '#api/machinery/errors.ts';

/**
 * The one way to the API for everything that is not the API server: controllers, scheduler, node agent, proxy, DNS, CLI.
 * Two transports speak it: `inProcess` calls the API server's handler chain with objects, `https` goes over the wire.
 * Objects that come out are shared with others and never changed; failures are `ApiError`s.
 */
export interface Client {
  get<Type extends ApiObject>(kind: Kind<Type>, name: string, options?: GetOptions): Promise<Type>;
  list<Type extends ApiObject>(kind: Kind<Type>, options?: ListOptions): Promise<List<Type>>;
  /** Ends without error when the server ends it; throws `ApiError` (Expired, Gone, …) when the server says so. */
  watch<Type extends ApiObject>(kind: Kind<Type>, options?: WatchOptions): AsyncIterable<WatchEvent<Type>>;
  create<Type extends ApiObject>(kind: Kind<Type>, object: Partly<Type>, options?: WriteOptions): Promise<Type>;
  /** A PUT: with a resourceVersion in the object only over that version. */
  update<Type extends ApiObject>(kind: Kind<Type>, object: Type, options?: WriteOptions): Promise<Type>;
  patch<Type extends ApiObject>(kind: Kind<Type>, name: string, patch: Patch, options?: PatchOptions): Promise<Type>;
  delete<Type extends ApiObject>(kind: Kind<Type>, name: string, options?: DeleteOptions): Promise<Type | Status>;
  deleteCollection<Type extends ApiObject>(kind: Kind<Type>, options?: ListOptions & DeleteOptions): Promise<void>;
  /** A POST to a subresource that speaks a kind of its own: `pods/x/binding`, `pods/x/eviction`, `serviceaccounts/x/token`. */
  createSubresource<Body, Answer>(
    kind: Kind,
    name: string,
    subresource: string,
    body: Body,
    options?: WriteOptions,
  ): Promise<Answer>;
  /** Reads a path that is no object: `/version`, `/apis`, a log. The body as text. */
  raw(path: string, options?: { readonly signal?: AbortSignal; readonly accept?: string }): Promise<string>;
  /** Upgrades a connection for exec, attach, port-forward (WebSocket with the given subprotocols). */
  connect(path: string, subprotocols: readonly string[], signal?: AbortSignal): Promise<Connection>;
}

export interface Connection {
  readonly subprotocol: string;
  readonly stream: Duplex;
}

export interface GetOptions {
  readonly namespace?: string;
  readonly resourceVersion?: string;
  readonly subresource?: string;
  readonly signal?: AbortSignal;
}

export interface ListOptions {
  /** Absent: all namespaces, or a cluster-scoped kind. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: 'Exact' | 'NotOlderThan';
  readonly limit?: number;
  readonly continue?: string;
  readonly signal?: AbortSignal;
}

export interface WatchOptions extends ListOptions {
  readonly allowWatchBookmarks?: boolean;
  readonly sendInitialEvents?: boolean;
  readonly timeoutSeconds?: number;
}

export interface WriteOptions {
  readonly namespace?: string;
  readonly subresource?: string;
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  readonly signal?: AbortSignal;
}

export interface PatchOptions extends WriteOptions {
  readonly force?: boolean;
}

export type Patch =
  | { readonly type: 'json'; readonly operations: readonly unknown[] }
  | { readonly type: 'merge'; readonly patch: unknown }
  | { readonly type: 'strategic'; readonly patch: unknown }
  | { readonly type: 'apply'; readonly object: unknown };

export interface DeleteOptions {
  readonly namespace?: string;
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

export interface List<Type> {
  readonly items: readonly Type[];
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
}

export type WatchEvent<Type> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: Type }
  /** `initialEventsEnd`: everything that was there has been sent. */
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string; readonly initialEventsEnd: boolean };
