import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '#base/clock.ts';
import { limits } from '#base/limits.ts';
import { traced } from '#base/trace.ts';
import { ApiError, errors } from '#api/machinery/errors.ts';
import { type ApiObject, resourceNameOf } from '#api/machinery/kind.ts';
import { ExpectationError, type Storage } from '#storage/storage.ts';
import { type CachedObject, encodeStored } from './cache/entry.ts';
import { reached, storageKey, type WatchCache } from './cache/watch-cache.ts';
import { defaultEventTtlMs } from './event-ttl.ts';
import { type Resource, toStored, viewsReady } from './registry.ts';

/** Somebody else changed the object meanwhile: read it again and try again. */
export class StaleError extends Error {
  override readonly name = 'StaleError';
}

/** How long a change waits for the one before it. */
const turnMsMax = 1_000;

/** Writes objects into the store, and answers with what the cache made of them. */
export class Writer {
  readonly #storage: Storage;
  readonly #cache: WatchCache;
  readonly #clock: Clock;
  readonly #eventTtlMs: number;
  readonly #queues = new Map<string, Promise<unknown>>();

  constructor(storage: Storage, cache: WatchCache, clock: Clock, eventTtlMs = defaultEventTtlMs) {
    this.#storage = storage;
    this.#clock = clock;
    this.#eventTtlMs = eventTtlMs;
    this.#cache = cache;
  }

  /** The object is taken over: it becomes the shared one. Throws StaleError when there is one already. */
  async create(resource: Resource, key: string, object: ApiObject): Promise<CachedObject> {
    const stored = await toStored(resource, object);
    const bytes = bounded(encodeStored(resource.storedKind, stored));
    const revision = await traced(
      'Create etcd3',
      () => this.#put(resource, key, { bytes, object: stored }, 'absent'),
      () => ({ key: storageKey(resource.storedKind, key), resource: resourceNameOf(resource.storedKind) }),
    );
    return this.#written(resource, key, revision);
  }

  /** Nothing is written, and no revision passes, when nothing changed. Throws StaleError when `current` is not current. */
  async update(resource: Resource, current: CachedObject, object: ApiObject): Promise<CachedObject> {
    const stored = await toStored(resource, object);
    const bytes = encodeStored(resource.storedKind, stored);
    if (!current.isStale && isSame(current, bytes, stored)) return current;
    bounded(bytes);
    const revision = await traced(
      'GuaranteedUpdate etcd3',
      () => this.#put(resource, current.key, { bytes, object: stored }, current.revision),
      () => ({ key: storageKey(resource.storedKind, current.key), resource: resourceNameOf(resource.storedKind) }),
    );
    return this.#written(resource, current.key, revision);
  }

  /** Answers with the last state, at the deletion's revision. Throws StaleError when `current` is not current. */
  async delete(resource: Resource, current: CachedObject): Promise<CachedObject> {
    const key = storageKey(resource.storedKind, current.key);
    const revision = await traced(
      'Delete etcd3',
      () => this.#fresh(this.#storage.delete(key, current.revision)),
      () => ({ key }),
    );
    return this.#written(resource, current.key, revision);
  }

  /**
   * Runs one change of an object after the other, so that writers of one object do not take each other's work away.
   * Objects that nobody else is writing do not wait; and nobody waits long, since the change before may be waiting for a
   * webhook that wants to write the same object: then the store decides who was first.
   */
  async exclusively<Value>(resource: Resource, key: string, run: () => Promise<Value>): Promise<Value> {
    const name = storageKey(resource.storedKind, key);
    const change = this.#cache.isShared ? () => this.#onCurrent(resource, key, run) : run;
    const before = this.#queues.get(name);
    const turn = before ? this.#awaitTurn(before).then(change) : change();
    this.#queues.set(name, turn);
    try {
      return await turn;
    } finally {
      if (this.#queues.get(name) === turn) this.#queues.delete(name);
    }
  }

  #awaitTurn(before: Promise<unknown>): Promise<void> {
    return new Promise(resolve => {
      const cancel = this.#clock.after(turnMsMax, resolve);
      const done = () => {
        cancel();
        resolve();
      };
      before.then(done, done);
    });
  }

  /** What was refused for what the cache has is tried again where another server has changed the object since. */
  async #onCurrent<Value>(resource: Resource, key: string, run: () => Promise<Value>): Promise<Value> {
    const before = resource.cache.get(key)?.revision;
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status.code >= 500) throw error;
      await this.#cache.catchUp();
      if (resource.cache.get(key)?.revision === before) throw error;
      return run();
    }
  }

  async #put(
    resource: Resource,
    key: string,
    value: { readonly bytes: Uint8Array; readonly object: ApiObject },
    expected: 'absent' | number,
  ): Promise<number> {
    // Events go by themselves where the store does that for several servers at once.
    const ttlMs = this.#storage.shared && isEvent(resource) ? this.#eventTtlMs : undefined;
    return this.#fresh(
      this.#storage.put(storageKey(resource.storedKind, key), value, expected, ttlMs === undefined ? {} : { ttlMs }),
    );
  }

  /** When the entry was otherwise than expected, the caller finds in the cache what it is. */
  async #fresh(write: Promise<number>): Promise<number> {
    try {
      return await reached(write);
    } catch (error) {
      if (!(error instanceof ExpectationError)) throw error;
      if (error.current) await this.#cache.waitFor(error.current.modRevision);
      throw new StaleError(error.message, { cause: error });
    }
  }

  async #written(resource: Resource, key: string, revision: number): Promise<CachedObject> {
    const { cache } = resource;
    const entry = cache.get(key);
    if (entry?.revision === revision) return shown(resource, entry);
    await this.#cache.waitFor(revision);
    const event = cache.since(revision - 1).find(each => each.revision === revision);
    if (!event) throw errors.internal(`the write at revision ${revision} is not in the cache`);
    return shown(resource, event.entry);
  }
}

/** The entry, when it can be answered with. */
function shown(resource: Resource, entry: CachedObject): CachedObject | Promise<CachedObject> {
  const ready = viewsReady(resource, [entry]);
  return ready ? ready.then(() => entry) : entry;
}

function isEvent({ storedKind }: Resource): boolean {
  return storedKind.kind === 'Event' && storedKind.group === '';
}

function bounded(bytes: Buffer): Buffer {
  if (bytes.length > limits.objectBytesMax)
    throw errors.tooLarge(`Request entity too large: limit is ${limits.objectBytesMax}`);
  return bytes;
}

/** Equal bytes, or equal content in another order of keys. */
function isSame(current: CachedObject, bytes: Buffer, object: ApiObject): boolean {
  const tail = current.storedTail;
  if (bytes.length - storedHeadLength !== tail.length) return false;
  if (tail.compare(bytes, storedHeadLength) === 0) return true;
  const { metadata, ...rest } = object;
  const { metadata: currentMetadata, ...currentRest } = current.object;
  return (
    isDeepStrictEqual({ ...metadata, resourceVersion: '' }, { ...currentMetadata, resourceVersion: '' }) &&
    isDeepStrictEqual(rest, currentRest)
  );
}

const storedHeadLength = '{"metadata":{'.length;
