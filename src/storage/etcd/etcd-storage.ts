import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import {
  CompactedError,
  type Entry,
  ExpectationError,
  type Expected,
  FutureRevisionError,
  type RangeOptions,
  type RangeResult,
  type SharedStorage,
  type Storage,
  type StorageEvent,
  StorageUnavailableError,
  type StoredValue,
  type Watcher,
  type WriteOptions,
} from '../storage.ts';
import { EtcdConnection, type EtcdServers, failureOf, operationMsMax } from './connection.ts';
import { Leases } from './leases.ts';
import {
  decodeHeader,
  decodeRange,
  decodeSnapshot,
  decodeStatus,
  decodeSwap,
  encodeCompaction,
  encodeNothing,
  encodeRange,
  encodeSwap,
  endOfKeys,
  endOfPrefix,
  type KeyValue,
  type RangeRequest,
  type SwapRequest,
  type SwapResponse,
  type WatchedEvent,
} from './messages.ts';
import { OwnWrites, type OwnWrite } from './own-writes.ts';
import { type RangeWatcher, Watches } from './watches.ts';

export interface EtcdOptions extends EtcdServers {
  /** Stands before every key. */
  readonly keyPrefix?: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Keeps everything in an etcd cluster (v3), which other API servers may share. Rejects when no member answers. */
export async function openEtcdStorage(options: EtcdOptions): Promise<Storage> {
  const connection = new EtcdConnection(options, options.clock);
  try {
    const { version } = await connection.call(methods.status, encodeNothing());
    const storage = new EtcdStorage(options, connection, tellsProgress(version));
    await storage.currentRevision();
    return storage;
  } catch (error) {
    connection[Symbol.dispose]();
    throw error;
  }
}

const methods = {
  range: { path: '/etcdserverpb.KV/Range', decode: decodeRange },
  swap: { path: '/etcdserverpb.KV/Txn', decode: decodeSwap },
  compact: { path: '/etcdserverpb.KV/Compact', decode: decodeHeader },
  status: { path: '/etcdserverpb.Maintenance/Status', decode: decodeStatus },
} as const;

/** Entries of one answer of etcd. */
const pageEntriesMax = 5_000;

/** Under this key API servers agree who compacts. */
const compactRevisionKey = 'compact_rev_key';

class EtcdStorage implements Storage {
  readonly #connection: EtcdConnection;
  readonly #clock: Clock;
  readonly #prefix: string;
  /** Whether this etcd can be asked how far a watch is; otherwise watches are of all keys, so that they see every revision. */
  readonly #tellsProgress: boolean;
  readonly #watches: Watches;
  readonly #own = new OwnWrites();
  readonly #leases: Leases;
  readonly #standing = new Set<StandingWatcher>();
  readonly #waiting = new Set<() => void>();
  #nextRead: Promise<number> | undefined;
  #reading: Promise<unknown> = Promise.resolve();
  #compactTime = 0;
  readonly shared: SharedStorage = {
    compactInTurn: revision => this.#compactInTurn(revision),
    awaited: revision => this.#awaited(revision),
  };

  constructor({ clock, log, keyPrefix = '' }: EtcdOptions, connection: EtcdConnection, isProgressTold: boolean) {
    this.#connection = connection;
    this.#clock = clock;
    this.#prefix = keyPrefix;
    this.#tellsProgress = isProgressTold;
    this.#leases = new Leases(connection, clock);
    this.#watches = new Watches({
      connection,
      clock,
      trustsProgress: isProgressTold,
      onBreak: error => log.warn('the watch stream of etcd broke, and goes on elsewhere', { error }),
    });
  }

  /** Reads that are asked for while one is under way share the next one. */
  async currentRevision(): Promise<number> {
    this.#nextRead ??= this.#reading.then(() => {
      this.#nextRead = undefined;
      const read = this.#range({ key: `${this.#prefix}/` }).then(({ revision }) => revision);
      this.#reading = read.catch(() => undefined);
      return read;
    });
    return this.#nextRead;
  }

  async get(key: string, { revision }: { readonly revision?: number } = {}): Promise<Entry | undefined> {
    const { entries } = await this.#range({
      key: this.#prefix + key,
      ...(revision !== undefined && { revision: await this.#readable(revision) }),
    });
    return entries[0] && this.#entryOf(entries[0]);
  }

  async range(prefix: string, { revision, start, limit }: RangeOptions = {}): Promise<RangeResult> {
    let as = revision === undefined ? undefined : await this.#readable(revision);
    const end = endOfPrefix(this.#prefix + prefix);
    const entries: Entry[] = [];
    let key = this.#prefix + (start !== undefined && start > prefix ? start : prefix);
    while (true) {
      const page = await this.#range({
        key,
        end,
        limit: Math.min(pageEntriesMax, limit === undefined ? pageEntriesMax : limit - entries.length),
        ...(as !== undefined && { revision: as }),
      });
      as ??= page.revision;
      for (const entry of page.entries) entries.push(this.#entryOf(entry));
      const remaining = page.count - page.entries.length;
      if (remaining === 0 || entries.length === limit) return { entries, revision: as, remaining };
      key = `${(page.entries.at(-1) as KeyValue).key}\0`;
    }
  }

  async put(key: string, value: StoredValue, expected: Expected, options: WriteOptions = {}): Promise<number> {
    if (expected !== 'any') return this.#write(key, value, expected === 'absent' ? 0 : expected, options);
    while (true) {
      const current = await this.get(key);
      try {
        return await this.#write(key, value, current?.modRevision ?? 0, options);
      } catch (error) {
        if (!(error instanceof ExpectationError)) throw error;
      }
    }
  }

  async delete(key: string, expected: Expected): Promise<number> {
    if (typeof expected === 'number') return this.#write(key, undefined, expected, {});
    while (true) {
      const current = await this.get(key);
      if (!current || expected === 'absent') throw new ExpectationError(key, current);
      try {
        return await this.#write(key, undefined, current.modRevision, {});
      } catch (error) {
        if (!(error instanceof ExpectationError)) throw error;
      }
    }
  }

  async watch(prefix: string, afterRevision: number, watcher: Watcher, signal: AbortSignal): Promise<void> {
    // etcd takes a watch of forgotten revisions, and ends it a moment later.
    if (afterRevision < 1) throw new CompactedError(afterRevision, 1);
    if (afterRevision <= (await this.currentRevision())) await this.#range({ key: '/', revision: afterRevision });
    const from = this.#prefix + prefix;
    const standing = new StandingWatcher(from, this.#prefix.length, watcher, this.#own, afterRevision, () => {
      for (const look of this.#waiting) look();
    });
    const range = this.#tellsProgress ? { key: from, end: endOfPrefix(from) } : { key: '\0', end: endOfKeys };
    const stop = () => {
      this.#standing.delete(standing);
      if (this.#standing.size === 0) this.#own.clear();
    };
    standing.onEnded = stop;
    signal.addEventListener('abort', stop, { once: true });
    this.#standing.add(standing);
    try {
      await this.#watches.open(range, afterRevision + 1, standing, signal);
    } catch (error) {
      stop();
      throw error;
    }
  }

  async compact(revision: number): Promise<void> {
    try {
      await this.#connection.call(methods.compact, encodeCompaction(revision));
    } catch (error) {
      // Whoever else has done it has done it.
      if (!isCompacted(error)) throw await this.#read(error, revision);
    }
  }

  async snapshot(file: string): Promise<void> {
    if (existsSync(file)) throw new Error(`cannot snapshot etcd into ${file}: it exists`);
    const part = `${file}.part`;
    const handle = await open(part, 'wx', 0o600);
    try {
      const hash = createHash('sha256');
      let tail = Buffer.alloc(0);
      for await (const message of this.#connection.serverStream(
        '/etcdserverpb.Maintenance/Snapshot',
        encodeNothing(),
      )) {
        const { blob } = decodeSnapshot(message);
        await handle.write(blob);
        // The last 32 bytes are the checksum of what stands before them.
        const whole = Buffer.concat([tail, blob]);
        hash.update(whole.subarray(0, Math.max(0, whole.length - checksumBytes)));
        tail = Buffer.from(whole.subarray(Math.max(0, whole.length - checksumBytes)));
      }
      if (!hash.digest().equals(tail)) throw new Error(`cannot snapshot etcd into ${file}: its checksum is not right`);
      await handle.sync();
      await rename(part, file);
    } finally {
      await handle.close();
      await rm(part, { force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#standing.clear();
    this.#watches[Symbol.dispose]();
    this.#connection[Symbol.dispose]();
  }

  async #write(
    key: string,
    value: StoredValue | undefined,
    replaces: number,
    { ttlMs }: WriteOptions,
  ): Promise<number> {
    const at = this.#prefix + key;
    const own = this.#own.add(at, value, replaces);
    try {
      const revision = await this.#swap(key, { key: at, modRevision: replaces, value: value?.bytes }, ttlMs, own);
      if (this.#standing.size > 0) this.#own.over(own, revision);
      else this.#own.drop(own);
      return revision;
    } catch (error) {
      this.#own.drop(own);
      throw error;
    }
  }

  /** Until there is an answer, or it is certain that there will be none. */
  async #swap(key: string, request: SwapRequest, ttlMs: number | undefined, own: OwnWrite): Promise<number> {
    const attempts = this.#connection.attempts();
    let isUnknown = false;
    while (true) {
      try {
        const lease = ttlMs === undefined ? undefined : await this.#leases.take(ttlMs);
        const answer: SwapResponse = await this.#connection.attempt(
          methods.swap,
          encodeSwap({ ...request, ...(lease !== undefined && { lease }) }),
        );
        if (answer.swapped) return answer.revision;
        const done = isUnknown ? await this.#outcome(own, answer.revision, answer.found) : undefined;
        if (done !== undefined) return done;
        throw new ExpectationError(key, answer.found && this.#entryOf(answer.found));
      } catch (error) {
        if (error instanceof ExpectationError || error instanceof StorageUnavailableError) throw error;
        if (isLeaseMissing(error)) this.#leases.forget();
        else if (failureOf(error) === 'refused') throw readable(error);
        else if (failureOf(error) === 'unknown') isUnknown = true;
        try {
          await attempts.next(error);
        } catch (unreachable) {
          throw unknownOutcome(unreachable, isUnknown);
        }
        if (!isUnknown) continue;
        // Not to be sent again where the first one may have been done, and undone by somebody else since.
        const current = await this.#connection.call(methods.range, encodeRange({ key: request.key })).catch(failure => {
          throw unknownOutcome(failure, true);
        });
        const done = await this.#outcome(own, current.revision, current.entries[0]);
        if (done !== undefined) return done;
      }
    }
  }

  /** The revision of a write whose answer was lost, as of a later revision; undefined when it was not done by then. */
  async #outcome(own: OwnWrite, revision: number, found: KeyValue | undefined): Promise<number | undefined> {
    if (own.seenAt !== undefined) return own.seenAt;
    const watching = [...this.#standing].find(({ prefix }) => own.key.startsWith(prefix));
    if (watching) {
      this.#awaited(revision);
      if (!(await this.#reached(watching, revision)))
        throw unknownOutcome(this.#connection.unreachable(new Error('the watch did not go on')), true);
      return own.seenAt;
    }
    // Without a watch only what is there tells.
    if (own.value && found && Buffer.compare(own.value.bytes, found.value) === 0) return found.modRevision;
    if ((found?.modRevision ?? 0) === own.replaces && own.replaces > 0) return undefined;
    throw unknownOutcome(new Error('the connection broke, and nothing tells what became of it'), true);
  }

  #reached(watching: StandingWatcher, revision: number): Promise<boolean> {
    if (watching.revision >= revision) return Promise.resolve(true);
    return new Promise(resolve => {
      const finish = (hasReached: boolean) => {
        cancel();
        this.#waiting.delete(look);
        resolve(hasReached);
      };
      const look = () => {
        if (watching.revision >= revision) finish(true);
      };
      const cancel = this.#clock.after(operationMsMax, () => finish(false));
      this.#waiting.add(look);
    });
  }

  async #range(
    request: RangeRequest,
  ): ReturnType<typeof decodeRange> extends infer Response ? Promise<Response> : never {
    try {
      return await this.#connection.call(methods.range, encodeRange(request));
    } catch (error) {
      throw await this.#read(error, request.revision ?? 0);
    }
  }

  /** etcd takes 0 for now. */
  async #readable(revision: number): Promise<number> {
    if (revision < 1) throw new CompactedError(revision, await this.#compactRevision());
    return revision;
  }

  async #read(error: unknown, revision: number): Promise<Error> {
    if (isCompacted(error)) return new CompactedError(revision, await this.#compactRevision());
    if (isFuture(error)) return new FutureRevisionError(revision, await this.currentRevision());
    return readable(error);
  }

  /** etcd says it only to a watch of the very first revision, by ending it. */
  async #compactRevision(): Promise<number> {
    const abort = new AbortController();
    const told = Promise.withResolvers<number>();
    const cancelDeadline = this.#clock.after(operationMsMax, () =>
      told.reject(this.#connection.unreachable(new Error('it does not say what it has compacted'))),
    );
    const watcher: RangeWatcher = {
      onEvents: () => told.resolve(1),
      onProgress: () => {},
      onEnd: error => (error instanceof CompactedError ? told.resolve(error.compactRevision) : told.reject(error)),
    };
    const key = `${this.#prefix}/`;
    this.#watches.open({ key, end: endOfPrefix(key) }, 1, watcher, abort.signal).catch(watcher.onEnd);
    try {
      return await told.promise;
    } finally {
      cancelDeadline();
      abort.abort(new Error('the revision is known'));
    }
  }

  #awaited(revision: number): void {
    // Where all keys are watched every revision is seen.
    if (this.#tellsProgress && this.#watches.count > 0) this.#watches.askUntil(revision);
  }

  async #compactInTurn(revision: number): Promise<void> {
    const answer = await this.#connection.attempt(
      methods.swap,
      encodeSwap({ key: compactRevisionKey, version: this.#compactTime, value: Buffer.from(String(revision)) }),
    );
    this.#compactTime = answer.swapped ? this.#compactTime + 1 : (answer.found?.version ?? 0);
    if (answer.swapped) await this.compact(revision);
  }

  #entryOf({ key, value, createRevision, modRevision }: KeyValue): Entry {
    return { key: key.slice(this.#prefix.length), value: { bytes: value }, createRevision, modRevision };
  }
}

/** One watch of the contract, over one of etcd that may see more keys than are wanted. */
class StandingWatcher implements RangeWatcher {
  readonly prefix: string;
  readonly #keyStart: number;
  readonly #watcher: Watcher;
  readonly #own: OwnWrites;
  readonly #advanced: () => void;
  /** Everything up to here was told. */
  revision: number;
  onEnded: () => void = () => {};

  constructor(
    prefix: string,
    keyStart: number,
    watcher: Watcher,
    own: OwnWrites,
    revision: number,
    advanced: () => void,
  ) {
    this.prefix = prefix;
    this.#keyStart = keyStart;
    this.#watcher = watcher;
    this.#own = own;
    this.revision = revision;
    this.#advanced = advanced;
  }

  onEvents(events: readonly WatchedEvent[]): void {
    const wanted: StorageEvent[] = [];
    for (const event of events) if (event.entry.key.startsWith(this.prefix)) wanted.push(this.#eventOf(event));
    const last = (events.at(-1) as WatchedEvent).entry.modRevision;
    this.revision = last;
    if (wanted.length > 0) this.#watcher.onEvents(wanted);
    if (wanted.at(-1)?.revision !== last) this.#watcher.onProgress?.(last);
    this.#advanced();
  }

  onProgress(revision: number): void {
    this.revision = revision;
    this.#watcher.onProgress?.(revision);
    this.#advanced();
  }

  onEnd(error: Error): void {
    this.onEnded();
    this.#watcher.onEnd(error);
  }

  #eventOf(event: WatchedEvent): StorageEvent {
    const { deleted, entry, previous } = event;
    const own = this.#own.match(event);
    const key = entry.key.slice(this.#keyStart);
    if (!deleted) {
      const { value, createRevision, modRevision } = entry;
      return { type: 'put', key, revision: modRevision, value: own ?? { bytes: value }, createRevision };
    }
    // etcd reads what was deleted when it tells of it, and may have compacted it by then: nothing is told of it then.
    return {
      type: 'delete',
      key,
      revision: entry.modRevision,
      value: { bytes: previous?.value ?? Buffer.alloc(0) },
      createRevision: previous?.createRevision ?? 0,
    };
  }
}

const checksumBytes = 32;

function isCompacted(error: unknown): boolean {
  return detailsOf(error).includes('required revision has been compacted');
}

function isFuture(error: unknown): boolean {
  return detailsOf(error).includes('required revision is a future revision');
}

function isLeaseMissing(error: unknown): boolean {
  return detailsOf(error).includes('requested lease not found');
}

function detailsOf(error: unknown): string {
  return String((error as { readonly details?: unknown } | undefined)?.details ?? '');
}

/** gRPC's error as a sentence. */
function readable(error: unknown): Error {
  if (error instanceof StorageUnavailableError) return error;
  const details = detailsOf(error);
  if (details === '') return error instanceof Error ? error : new Error(String(error));
  return new Error(`cannot use etcd: ${details.replace(/^etcdserver: /, '')}`, { cause: error });
}

function unknownOutcome(cause: unknown, isOutcomeUnknown: boolean): StorageUnavailableError {
  if (!isOutcomeUnknown && cause instanceof StorageUnavailableError) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new StorageUnavailableError(`the outcome of the write is not known: ${why}`, {
    cause,
    isOutcomeUnknown: true,
  });
}

/** etcd #15220 and #17507: before, an answer could count revisions whose events had not been sent. */
export function tellsProgress(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(part => Number.parseInt(part, 10));
  if (major !== 3 || minor > 5) return major >= 3;
  return (minor === 4 && patch >= 31) || (minor === 5 && patch >= 13);
}
