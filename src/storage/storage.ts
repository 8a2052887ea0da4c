/**
 * Where the API server keeps its objects, with etcd's semantics: one revision counts every change; an entry remembers the
 * revision that made it and the one that changed it last; old revisions can be read and watched from until they are
 * compacted. Three back ends (memory, sqlite, etcd) pass the one suite in `suite.ts`.
 */
export interface Storage extends AsyncDisposable {
  /** The newest revision. An empty store stands at 1. */
  currentRevision(): Promise<number>;

  /** The entry as it is now, or as it was at a revision. Throws `CompactedError` or `FutureRevisionError`. */
  get(key: string, options?: { readonly revision?: number }): Promise<Entry | undefined>;

  /** The entries under a prefix, ordered bytewise by key, all as of one revision. */
  range(prefix: string, options?: RangeOptions): Promise<RangeResult>;

  /**
   * Writes when the entry is as expected, and resolves with the new revision once the write is durable (back ends on disk:
   * synced). Throws `ExpectationError` when the entry is otherwise; nothing is written then.
   *
   * Back ends inside this process hand the event to every watcher before the promise resolves, so whoever writes and then
   * looks into a cache fed by a watch finds the own write there.
   */
  put(key: string, value: StoredValue, expected: Expected, options?: WriteOptions): Promise<number>;

  /** Deletes when the entry is as expected. Throws `ExpectationError` when it is otherwise, also when there is none. */
  delete(key: string, expected: Expected): Promise<number>;

  /**
   * Calls `onEvents` with every change under a prefix after a revision, in revision order, without gap or repetition, until
   * the signal aborts. Events of one commit come in one call. Rejects with `CompactedError` when the history is gone, and
   * with whatever ends the connection to a remote back end; resolves when the watch stands.
   */
  watch(prefix: string, afterRevision: number, watcher: Watcher, signal: AbortSignal): Promise<void>;

  /** Forgets what was overwritten or deleted before a revision. */
  compact(revision: number): Promise<void>;

  /** Writes a consistent copy to a file that is not there yet. Writes that come meanwhile wait. */
  snapshot(file: string): Promise<void>;

  /** There where several processes work on the store at once. */
  readonly shared?: SharedStorage;
}

/** What a store does for several API servers beside each other. It keeps `ttlMs` itself. */
export interface SharedStorage {
  /** Compacts, unless another process has done so since this one asked last. Upstream's protocol, so it may be upstream's. */
  compactInTurn(revision: number): Promise<void>;
  /** Somebody waits for a revision: watches shall hear of it soon, also when nothing changes under their prefix. */
  awaited(revision: number): void;
}

export interface WriteOptions {
  /** The entry goes by itself after this time, or a little later. Only shared stores do so. */
  readonly ttlMs?: number;
}

export interface Watcher {
  onEvents(events: readonly StorageEvent[]): void;
  /** Nothing under the prefix has changed up to this revision, other than what was told. Only of remote back ends. */
  onProgress?(revision: number): void;
  /** The watch broke after it stood; no more events will come. */
  onEnd(error: Error): void;
}

/** What is to be stored, with the decoded object riding along so that a watcher in this process need not decode it again. */
export interface StoredValue {
  readonly bytes: Uint8Array;
  readonly object?: unknown;
  /** Whether it would be stored in another form today (encrypted with another key): the next write puts it there anew. */
  readonly isOutdated?: () => boolean;
}

export interface Entry {
  readonly key: string;
  readonly value: StoredValue;
  readonly createRevision: number;
  readonly modRevision: number;
}

export interface StorageEvent {
  readonly type: 'put' | 'delete';
  readonly key: string;
  /** The revision of this change. */
  readonly revision: number;
  /** What was put; for a deletion what was deleted. */
  readonly value: StoredValue;
  /** The revision that created the entry. */
  readonly createRevision: number;
}

/** `absent`: there must be no entry. A number: the entry's modRevision. `any`: whatever is there. */
export type Expected = 'absent' | 'any' | number;

export interface RangeOptions {
  /** Read as of this revision instead of now. */
  readonly revision?: number;
  /** Only keys from this one on (inclusive). */
  readonly start?: string;
  readonly limit?: number;
}

export interface RangeResult {
  readonly entries: readonly Entry[];
  /** The revision the answer is as of. */
  readonly revision: number;
  /** How many entries are left behind the last one. */
  readonly remaining: number;
}

/** The entry was not as expected. Carries what is there, as far as the back end knows. */
export class ExpectationError extends Error {
  override readonly name = 'ExpectationError';
  readonly current: Entry | undefined;

  constructor(key: string, current: Entry | undefined) {
    super(`cannot write ${key}: it is ${current ? `at revision ${current.modRevision}` : 'absent'}`);
    this.current = current;
  }
}

export class CompactedError extends Error {
  override readonly name = 'CompactedError';
  readonly compactRevision: number;

  constructor(revision: number, compactRevision: number) {
    super(`cannot read revision ${revision}: compacted up to ${compactRevision}`);
    this.compactRevision = compactRevision;
  }
}

/**
 * The store cannot be reached, or has not answered in time. With `isOutcomeUnknown` the write may have been done, or may
 * still be.
 */
export class StorageUnavailableError extends Error {
  override readonly name = 'StorageUnavailableError';
  readonly isOutcomeUnknown: boolean;

  constructor(message: string, options: ErrorOptions & { readonly isOutcomeUnknown?: boolean } = {}) {
    super(message, options);
    this.isOutcomeUnknown = options.isOutcomeUnknown ?? false;
  }
}

export class FutureRevisionError extends Error {
  override readonly name = 'FutureRevisionError';
  readonly currentRevision: number;

  constructor(revision: number, currentRevision: number) {
    super(`cannot read revision ${revision}: the newest is ${currentRevision}`);
    this.currentRevision = currentRevision;
  }
}
