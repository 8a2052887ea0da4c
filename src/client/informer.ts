import { exponentialBackoff } from '#base/backoff.ts';
import { systemClock, type Clock } from '#base/clock.ts';
import { silentLog, type Log } from '#base/log.ts';
import { systemRandom, type Random } from '#base/random.ts';
import { isReason } from '#api/machinery/errors.ts';
import { resourceNameOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import type { Client, WatchEvent } from './client.ts';

export interface InformerOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}

/** Called in the order of the changes, right when they arrive. Objects are shared: never change them. */
export interface Handlers<Type> {
  /** `initial`: it was there before the informer was synced, or before this handler came. */
  added?(object: Type, initial: boolean): void;
  updated?(object: Type, old: Type): void;
  deleted?(object: Type): void;
}

/** Objects by a property: `index.get('node-1')` are the pods of that node, by their keys. */
export interface Index<Type> {
  get(value: string): ReadonlyMap<string, Type>;
  values(): Iterable<string>;
}

/** A live copy of the objects of one kind, kept by a list and a watch. */
export interface Informer<Type extends ApiObject> {
  readonly kind: Kind<Type>;
  /** By `namespace/name`, or `name` for cluster-scoped kinds. */
  readonly objects: ReadonlyMap<string, Type>;
  /** The whole state at one moment has been read. Rejects when the informer is closed before. */
  readonly synced: Promise<void>;
  readonly hasSynced: boolean;
  /** The newest version that this copy includes; empty before it is synced. */
  readonly resourceVersion: string;
  get(name: string, namespace?: string): Type | undefined;
  inNamespace(namespace: string): ReadonlyMap<string, Type>;
  /**
   * The index of a name; made on the first call, `valuesOf` of later calls is ignored. Informers are shared: a name must
   * say exactly what is indexed, or somebody else's index of that name is what comes back.
   */
  index(name: string, valuesOf: (object: Type) => Iterable<string>): Index<Type>;
  /** What is already there comes as `added` at once. The returned function unsubscribes. */
  subscribe(handlers: Handlers<Type>): () => void;
  /** Resolves when the copy includes this version. */
  reached(resourceVersion: string, signal?: AbortSignal): Promise<void>;
  /** Resolves when the object with this uid is not here any more or is being deleted. */
  gone(key: string, uid: string, signal?: AbortSignal): Promise<void>;
}

/** `namespace/name`, or `name` without a namespace. */
export function keyOf(object: ApiObject): string {
  const { namespace, name = '' } = object.metadata;
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

export function keyFrom(name: string, namespace: string | undefined): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

export interface OpenInformerOptions extends InformerOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
}

/** Starts to list and watch; ends when the signal aborts. */
export function openInformer<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  options: OpenInformerOptions,
  signal: AbortSignal,
): Informer<Type> {
  const { clock = systemClock, random = systemRandom, log = silentLog, ...selection } = options;
  const cache = new Cache(kind, log);
  follow(cache, client, selection, clock, random, log, signal).catch((error: unknown) => {
    if (!signal.aborted) log.error('informer ended', { resource: resourceNameOf(kind), error });
  });
  signal.addEventListener('abort', () => cache.close(signal.reason), { once: true });
  return cache;
}

/** Upstream's reflector: 800 ms doubling to 30 s, spread by as much again. */
const backoffInitialMs = 800;
const backoffMaxMs = 30_000;
/** A watch lasts between one and two times this long. */
const watchSecondsMin = 300;
const listPageSize = 500;

async function follow<Type extends ApiObject>(
  cache: Cache<Type>,
  client: Client,
  selection: InformerOptions,
  clock: Clock,
  random: Random,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  const { kind } = cache;
  const backoff = exponentialBackoff({ initialMs: backoffInitialMs, maxMs: backoffMaxMs });
  let streaming = true;
  // False once the server has forgotten the version we stand at.
  let current = false;
  while (!signal.aborted) {
    const startedMs = clock.monotonic();
    try {
      if (!current && !streaming) {
        await list(cache, client, selection, signal);
        current = true;
      }
      const events = client.watch(kind, {
        ...selection,
        allowWatchBookmarks: true,
        timeoutSeconds: Math.floor(watchSecondsMin * (1 + random.next())),
        ...(current ? { resourceVersion: cache.resourceVersion } : { sendInitialEvents: true }),
        signal,
      });
      const complete = await consume(cache, events, current, () => {
        current = true;
        backoff.reset();
      });
      if (!complete) throw new Error('the watch ended before the initial state was complete');
      // A server that ends its watches at once must not be asked again at once.
      if (clock.monotonic() - startedMs < 1000) await clock.sleep(backoff.next() * (1 + random.next()), signal);
      else backoff.reset();
    } catch (error) {
      if (signal.aborted) return;
      if (isReason(error, 'Expired', 'Gone')) current = false;
      else if (!current && streaming && isReason(error, 'Invalid', 'BadRequest')) {
        // An old server, or one that cannot stream lists.
        streaming = false;
        continue;
      } else log.warn('watch failed', { resource: resourceNameOf(kind), error });
      await clock.sleep(backoff.next() * (1 + random.next()), signal);
    }
  }
}

async function list<Type extends ApiObject>(
  cache: Cache<Type>,
  client: Client,
  selection: InformerOptions,
  signal: AbortSignal,
): Promise<void> {
  const objects = new Map<string, Type>();
  for (let next: string | undefined; ; ) {
    const page = await client.list(cache.kind, {
      ...selection,
      limit: listPageSize,
      ...(next !== undefined && { continue: next }),
      signal,
    });
    for (const item of page.items) objects.set(keyOf(item), item);
    next = page.metadata.continue;
    if (next === undefined || next === '') {
      cache.replace(objects, page.metadata.resourceVersion);
      return;
    }
  }
}

/** Applies a watch until it ends. False: it ended while the initial state was still coming. */
async function consume<Type extends ApiObject>(
  cache: Cache<Type>,
  events: AsyncIterable<WatchEvent<Type>>,
  current: boolean,
  isCurrent: () => void,
): Promise<boolean> {
  let initial: Map<string, Type> | undefined = current ? undefined : new Map();
  for await (const event of events) {
    if (event.type === 'BOOKMARK') {
      if (initial && event.initialEventsEnd) {
        cache.replace(initial, event.resourceVersion);
        initial = undefined;
        isCurrent();
      } else if (!initial) cache.advance(event.resourceVersion);
    } else if (!initial) {
      cache.apply(event.type, event.object);
    } else if (event.type === 'DELETED') initial.delete(keyOf(event.object));
    else initial.set(keyOf(event.object), event.object);
  }
  return initial === undefined;
}

const none: readonly string[] = [];
const emptyMap: ReadonlyMap<string, never> = new Map<string, never>();

class Cache<Type extends ApiObject> implements Informer<Type> {
  readonly kind: Kind<Type>;
  readonly synced: Promise<void>;
  hasSynced = false;
  resourceVersion = '';
  readonly #log: Log;
  readonly #objects = new Map<string, Type>();
  readonly #indexes = new Map<string, CacheIndex<Type>>();
  readonly #handlers = new Set<Handlers<Type>>();
  readonly #ready = Promise.withResolvers<void>();
  #versionWaiters: { readonly version: number; readonly resolve: () => void }[] = [];
  /** The lowest version that somebody waits for: most changes need not look at the waiters. */
  #versionAwaited = Number.POSITIVE_INFINITY;
  readonly #goneWaiters = new Map<string, Set<() => void>>();

  constructor(kind: Kind<Type>, log: Log) {
    this.kind = kind;
    this.#log = log;
    this.synced = this.#ready.promise;
    // Nobody has to wait for it.
    this.synced.catch(() => undefined);
  }

  get objects(): ReadonlyMap<string, Type> {
    return this.#objects;
  }

  get(name: string, namespace?: string): Type | undefined {
    return this.#objects.get(keyFrom(name, namespace));
  }

  inNamespace(namespace: string): ReadonlyMap<string, Type> {
    return this.index('namespace', object => [object.metadata.namespace ?? '']).get(namespace);
  }

  index(name: string, valuesOf: (object: Type) => Iterable<string>): Index<Type> {
    let index = this.#indexes.get(name);
    if (!index) {
      index = new CacheIndex(valuesOf);
      for (const [key, object] of this.#objects) index.change(key, undefined, object);
      this.#indexes.set(name, index);
    }
    return index;
  }

  subscribe(handlers: Handlers<Type>): () => void {
    this.#handlers.add(handlers);
    if (handlers.added)
      for (const object of this.#objects.values()) {
        try {
          handlers.added(object, true);
        } catch (error) {
          this.#failed(error);
        }
      }
    return () => {
      this.#handlers.delete(handlers);
    };
  }

  reached(resourceVersion: string, signal?: AbortSignal): Promise<void> {
    const version = Number(resourceVersion);
    if (Number(this.resourceVersion) >= version && this.hasSynced) return Promise.resolve();
    return waiting(signal, resolve => {
      const waiter = { version, resolve };
      this.#versionWaiters.push(waiter);
      this.#versionAwaited = Math.min(this.#versionAwaited, version);
      return () => {
        this.#versionWaiters = this.#versionWaiters.filter(other => other !== waiter);
      };
    });
  }

  gone(key: string, uid: string, signal?: AbortSignal): Promise<void> {
    if (this.#isGone(key, uid)) return Promise.resolve();
    return waiting(signal, resolve => {
      const check = () => {
        if (this.#isGone(key, uid)) resolve();
      };
      const checks = this.#goneWaiters.get(key) ?? new Set();
      this.#goneWaiters.set(key, checks.add(check));
      return () => {
        checks.delete(check);
        if (checks.size === 0 && this.#goneWaiters.get(key) === checks) this.#goneWaiters.delete(key);
      };
    });
  }

  close(reason: unknown): void {
    this.#handlers.clear();
    this.#ready.reject(reason);
  }

  /** The whole state: what is not in it is gone. */
  replace(objects: ReadonlyMap<string, Type>, resourceVersion: string): void {
    for (const [key, old] of this.#objects) if (!objects.has(key)) this.#remove(key, old);
    for (const [key, object] of objects) {
      const old = this.#objects.get(key);
      if (!old) this.#put(key, undefined, object);
      else if (old.metadata.uid !== object.metadata.uid) {
        this.#remove(key, old);
        this.#put(key, undefined, object);
      } else if (old.metadata.resourceVersion !== object.metadata.resourceVersion) this.#put(key, old, object);
    }
    this.advance(resourceVersion);
    if (!this.hasSynced) {
      this.hasSynced = true;
      this.#ready.resolve();
    }
    this.#releaseVersions();
  }

  apply(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: Type): void {
    const key = keyOf(object);
    const old = this.#objects.get(key);
    if (type === 'DELETED') {
      if (old) this.#remove(key, object);
    } else if (old && old.metadata.uid !== object.metadata.uid) {
      this.#remove(key, old);
      this.#put(key, undefined, object);
    } else this.#put(key, old, object);
    this.advance(object.metadata.resourceVersion ?? '');
  }

  advance(resourceVersion: string): void {
    if (resourceVersion === '') return;
    this.resourceVersion = resourceVersion;
    this.#releaseVersions();
  }

  #put(key: string, old: Type | undefined, object: Type): void {
    this.#objects.set(key, object);
    for (const index of this.#indexes.values()) index.change(key, old, object);
    const initial = !this.hasSynced;
    for (const handlers of this.#handlers) {
      try {
        if (old) handlers.updated?.(object, old);
        else handlers.added?.(object, initial);
      } catch (error) {
        this.#failed(error);
      }
    }
    if (object.metadata.deletionTimestamp !== undefined) this.#releaseGone(key);
  }

  #remove(key: string, last: Type): void {
    const old = this.#objects.get(key);
    this.#objects.delete(key);
    for (const index of this.#indexes.values()) index.change(key, old, undefined);
    for (const handlers of this.#handlers) {
      try {
        handlers.deleted?.(last);
      } catch (error) {
        this.#failed(error);
      }
    }
    this.#releaseGone(key);
  }

  #isGone(key: string, uid: string): boolean {
    const object = this.#objects.get(key);
    return object === undefined || object.metadata.uid !== uid || object.metadata.deletionTimestamp !== undefined;
  }

  #releaseGone(key: string): void {
    for (const check of this.#goneWaiters.get(key) ?? []) check();
  }

  #releaseVersions(): void {
    const version = Number(this.resourceVersion);
    if (version < this.#versionAwaited || !this.hasSynced) return;
    const due = this.#versionWaiters.filter(waiter => waiter.version <= version);
    this.#versionWaiters = this.#versionWaiters.filter(waiter => waiter.version > version);
    this.#versionAwaited = this.#versionWaiters.reduce(
      (lowest, waiter) => Math.min(lowest, waiter.version),
      Number.POSITIVE_INFINITY,
    );
    for (const waiter of due) waiter.resolve();
  }

  /** One handler's bug must not keep the change from the others. */
  #failed(error: unknown): void {
    this.#log.error('a handler of an informer failed', { resource: resourceNameOf(this.kind), error });
  }
}

class CacheIndex<Type> implements Index<Type> {
  readonly #valuesOf: (object: Type) => Iterable<string>;
  readonly #buckets = new Map<string, Map<string, Type>>();

  constructor(valuesOf: (object: Type) => Iterable<string>) {
    this.#valuesOf = valuesOf;
  }

  get(value: string): ReadonlyMap<string, Type> {
    return this.#buckets.get(value) ?? emptyMap;
  }

  values(): Iterable<string> {
    return this.#buckets.keys();
  }

  change(key: string, old: Type | undefined, object: Type | undefined): void {
    const kept = object ? this.#valuesOf(object) : none;
    if (old) {
      const now = kept instanceof Set ? (kept as ReadonlySet<string>) : new Set(kept);
      for (const value of this.#valuesOf(old)) {
        if (now.has(value)) continue;
        const bucket = this.#buckets.get(value);
        if (bucket?.delete(key) && bucket.size === 0) this.#buckets.delete(value);
      }
      if (object) for (const value of now) this.#put(value, key, object);
    } else if (object) for (const value of kept) this.#put(value, key, object);
  }

  #put(value: string, key: string, object: Type): void {
    const bucket = this.#buckets.get(value);
    if (bucket) bucket.set(key, object);
    else this.#buckets.set(value, new Map([[key, object]]));
  }
}

/** A promise that is forgotten by its source when the signal aborts. */
function waiting(signal: AbortSignal | undefined, start: (resolve: () => void) => () => void): Promise<void> {
  if (signal?.aborted) return Promise.reject(signal.reason as Error);
  return new Promise((resolve, reject) => {
    const finished = () => {
      signal?.removeEventListener('abort', aborted);
      stop();
      resolve();
    };
    const aborted = () => {
      stop();
      reject(signal?.reason as Error);
    };
    const stop = start(finished);
    signal?.addEventListener('abort', aborted, { once: true });
  });
}
