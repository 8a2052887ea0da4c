import type { ClientDuplexStream } from '@grpc/grpc-js';
import { exponentialBackoff } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import { CompactedError } from '../storage.ts';
import { failureOf, operationMsMax, type EtcdConnection } from './connection.ts';
import {
  decodeWatch,
  encodeWatchCancel,
  encodeWatchCreate,
  encodeWatchProgress,
  type WatchedEvent,
  type WatchResponse,
} from './messages.ts';

export interface WatchedRange {
  readonly key: string;
  readonly end: Uint8Array;
}

export interface RangeWatcher {
  /** Whole revisions, in order. */
  onEvents(events: readonly WatchedEvent[]): void;
  onProgress(revision: number): void;
  onEnd(error: Error): void;
}

/**
 * All watches of this process over one stream. When the stream breaks they go on over another one, from the revision behind
 * the last that was told: whoever watches sees neither gap nor repetition, and hears of an end only when etcd has forgotten
 * the revisions meanwhile.
 */
export class Watches implements Disposable {
  readonly #connection: EtcdConnection;
  readonly #clock: Clock;
  readonly #onBreak: (error: unknown) => void;
  readonly #trustsProgress: boolean;
  readonly #standing = new Map<number, StandingWatch>();
  readonly #backoff = exponentialBackoff({ initialMs: 25, maxMs: 1_000 });
  #stream: ClientDuplexStream<Buffer, Buffer> | undefined;
  #nextId = 1;
  #cancelReconnect: (() => void) | undefined;
  #asksUntil = 0;
  #asksUntilMs = 0;
  #cancelAsking: (() => void) | undefined;
  #isClosed = false;

  constructor(options: {
    readonly connection: EtcdConnection;
    readonly clock: Clock;
    /** Older versions of etcd may tell of progress before the events that it counts. */
    readonly trustsProgress: boolean;
    readonly onBreak: (error: unknown) => void;
  }) {
    this.#connection = options.connection;
    this.#clock = options.clock;
    this.#trustsProgress = options.trustsProgress;
    this.#onBreak = options.onBreak;
  }

  /** Resolves when etcd has taken the watch. */
  open(range: WatchedRange, startRevision: number, watcher: RangeWatcher, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const id = this.#nextId++;
      const settled = () => {
        cancelDeadline();
        watch.onCreated = undefined;
      };
      const stop = (error: Error) => {
        settled();
        this.#drop(id);
        reject(error);
      };
      const watch: StandingWatch = {
        range,
        watcher,
        next: startRevision,
        parts: [],
        isCreated: false,
        onCreated: error => {
          if (error) return stop(error);
          settled();
          resolve();
        },
      };
      const cancelDeadline = this.#clock.after(operationMsMax, () =>
        stop(this.#connection.unreachable(new Error('the watch was not taken in time'))),
      );
      signal.addEventListener('abort', () => stop(signal.reason as Error), { once: true });
      this.#standing.set(id, watch);
      if (this.#stream) this.#stream.write(createMessage(id, watch));
      else if (!this.#cancelReconnect) this.#connect();
    });
  }

  get count(): number {
    return this.#standing.size;
  }

  /** Asks etcd how far it is, again and again for some seconds, until every watch has heard of the revision. */
  askUntil(revision: number): void {
    this.#asksUntil = Math.max(this.#asksUntil, revision);
    this.#asksUntilMs = this.#clock.monotonic() + askingMsMax;
    this.#ask();
  }

  #ask(): void {
    this.#cancelAsking?.();
    this.#cancelAsking = undefined;
    const isOver = this.#isClosed || this.#clock.monotonic() > this.#asksUntilMs;
    if (isOver || [...this.#standing.values()].every(({ next }) => next > this.#asksUntil)) {
      this.#asksUntil = 0;
      return;
    }
    this.#stream?.write(encodeWatchProgress());
    this.#cancelAsking = this.#clock.after(progressIntervalMs, () => this.#ask());
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#cancelReconnect?.();
    this.#cancelAsking?.();
    this.#standing.clear();
    this.#stream?.cancel();
  }

  #connect(): void {
    this.#cancelReconnect = undefined;
    const stream = this.#connection.stream('/etcdserverpb.Watch/Watch');
    this.#stream = stream;
    for (const [id, watch] of this.#standing) {
      watch.parts = [];
      watch.isCreated = false;
      stream.write(createMessage(id, watch));
    }
    stream.on('data', (message: Buffer) => {
      if (stream === this.#stream) this.#received(decodeWatch(message));
    });
    stream.on('error', (error: unknown) => this.#broke(stream, error));
    stream.on('end', () => this.#broke(stream, new Error('etcd has ended the watch stream')));
  }

  #broke(stream: ClientDuplexStream<Buffer, Buffer>, error: unknown): void {
    if (stream !== this.#stream || this.#isClosed) return;
    this.#stream = undefined;
    stream.cancel();
    this.#connection.leave();
    if (failureOf(error) === 'refused' && (error as { code?: number }).code !== undefined) {
      for (const id of this.#standing.keys()) this.#end(id, error as Error);
      return;
    }
    this.#onBreak(error);
    if (this.#standing.size > 0) this.#cancelReconnect = this.#clock.after(this.#backoff.next(), () => this.#connect());
  }

  #received(response: WatchResponse): void {
    const { watchId, revision, events } = response;
    if (watchId === wholeStream) {
      for (const watch of this.#standing.values()) if (watch.isCreated) this.#progressed(watch, revision);
      return;
    }
    const watch = this.#standing.get(watchId);
    if (!watch) return;
    if (response.canceled) return this.#canceled(watchId, watch, response);
    if (response.created) {
      watch.isCreated = true;
      this.#backoff.reset();
      watch.onCreated?.();
      return;
    }
    if (events.length === 0) return this.#progressed(watch, revision);
    watch.parts.push(...events);
    if (response.fragment) return;
    const whole = watch.parts;
    watch.parts = [];
    watch.next = (whole.at(-1) as WatchedEvent).entry.modRevision + 1;
    watch.watcher.onEvents(whole);
  }

  #progressed(watch: StandingWatch, revision: number): void {
    if (!this.#trustsProgress || revision < watch.next) return;
    watch.next = revision + 1;
    watch.watcher.onProgress(revision);
  }

  #canceled(id: number, watch: StandingWatch, { compactRevision, cancelReason }: WatchResponse): void {
    if (compactRevision > 0) return this.#end(id, new CompactedError(watch.next - 1, compactRevision));
    if (/permission denied|auth/.test(cancelReason)) return this.#end(id, new Error(`cannot watch: ${cancelReason}`));
    // For example the member has lost its leader: another one may have it.
    const stream = this.#stream;
    if (stream) this.#broke(stream, new Error(cancelReason));
  }

  #end(id: number, error: Error): void {
    const watch = this.#standing.get(id);
    this.#standing.delete(id);
    if (watch?.onCreated) watch.onCreated(error);
    else watch?.watcher.onEnd(error);
  }

  #drop(id: number): void {
    if (!this.#standing.delete(id)) return;
    if (this.#standing.size > 0) {
      this.#stream?.write(encodeWatchCancel(id));
      return;
    }
    this.#cancelReconnect?.();
    this.#cancelReconnect = undefined;
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.cancel();
  }
}

interface StandingWatch {
  readonly range: WatchedRange;
  readonly watcher: RangeWatcher;
  /** The first revision that was not told yet. */
  next: number;
  /** Events of an answer that came in parts and is not complete. */
  parts: WatchedEvent[];
  isCreated: boolean;
  /** Until the watch was taken for the first time. */
  onCreated: ((error?: Error) => void) | undefined;
}

/** Nobody waits longer for a revision, which may be one that never comes. */
const askingMsMax = 5_000;

/** Upstream's pace. */
const progressIntervalMs = 100;

/** The watch id under which etcd answers for all watches of a stream. */
const wholeStream = -1;

function createMessage(id: number, { range, next }: StandingWatch): Buffer {
  return encodeWatchCreate({ watchId: id, ...range, startRevision: next });
}
