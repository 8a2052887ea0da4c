import type { Random } from '#base/random.ts';
import {
  type Expected,
  type RangeOptions,
  type SharedStorage,
  type Storage,
  type StorageEvent,
  StorageUnavailableError,
  type StoredValue,
  type Watcher,
} from '#storage/storage.ts';
import { between, happens } from './chance.ts';
import type { Life, VirtualTime } from './virtual-time.ts';

/** What can be wrong with the store, as probabilities of one operation. */
export interface DiskFaults {
  /** Milliseconds that an operation takes at most. */
  slowMs: number;
  /** It fails, and nothing was written. */
  fails: number;
  /** It fails, and it was written all the same. */
  failsAfterwards: number;
}

export interface DiskOptions {
  readonly storage: Storage;
  readonly time: VirtualTime;
  readonly random: Random;
  readonly faults: DiskFaults;
  /** Several API servers share it, and hear of each other's writes a little later; otherwise it is inside the one server. */
  readonly isShared: boolean;
}

/**
 * The store as one API server sees it: over a wire (shared) or inside its process, with the time and the faults of a disk.
 * When the server is killed, what is under way is done or is not, and nobody hears of it.
 */
export function diskOf(life: Life, options: DiskOptions): Storage {
  const { storage, time, random, faults, isShared } = options;
  const queues = new Set<(act: () => void) => void>();
  const standing = new Set<Watcher>();
  /** So that watchers of this server get the object of its own writes, as the real back ends do. */
  let ownKey: string | undefined;
  let compactionSeen = 0;

  const wait = async (): Promise<void> => {
    await time.sleep(between(random, 0, faults.slowMs));
    if (life.isOver) await new Promise<never>(() => undefined);
  };
  const read = async <Value>(run: () => Promise<Value>): Promise<Value> => {
    await wait();
    if (happens(random, faults.fails)) throw new StorageUnavailableError('the simulated store does not answer');
    return run();
  };
  const write = async (key: string, run: () => Promise<number>): Promise<number> => {
    await wait();
    if (happens(random, faults.fails)) throw new StorageUnavailableError('the simulated store does not answer');
    ownKey = key;
    // The memory store does it, and tells of it, before it first awaits something.
    const written = run();
    ownKey = undefined;
    const revision = await written;
    if (isShared) await wait();
    if (happens(random, faults.failsAfterwards))
      throw new StorageUnavailableError('the simulated store has not answered', { isOutcomeUnknown: true });
    return revision;
  };
  const shared: SharedStorage = {
    async compactInTurn(revision) {
      await wait();
      const marker = await storage.get(compactionKey);
      const seen = marker?.modRevision ?? 0;
      if (seen !== compactionSeen) {
        compactionSeen = seen;
        return;
      }
      compactionSeen = await storage.put(compactionKey, { bytes: Buffer.from('{}') }, marker?.modRevision ?? 'absent');
      await storage.compact(revision);
    },
    awaited() {
      for (const watcher of standing) void tellProgress(watcher);
    },
  };
  const tellProgress = async (watcher: Watcher): Promise<void> => {
    await wait();
    const revision = await storage.currentRevision();
    const queue = queueOf.get(watcher);
    queue?.(() => watcher.onProgress?.(revision));
  };
  const queueOf = new Map<Watcher, (act: () => void) => void>();

  return {
    currentRevision: () => (isShared ? read(() => storage.currentRevision()) : storage.currentRevision()),
    get: (key, at) => read(() => storage.get(key, at)),
    range: (prefix: string, range?: RangeOptions) => read(() => storage.range(prefix, range)),
    put: (key: string, value: StoredValue, expected: Expected) => write(key, () => storage.put(key, value, expected)),
    delete: (key: string, expected: Expected) => write(key, () => storage.delete(key, expected)),
    async watch(prefix, afterRevision, watcher, signal) {
      if (isShared) await wait();
      const stop = new AbortController();
      const ended = stop.signal;
      signal.addEventListener('abort', () => stop.abort(signal.reason), { once: true });
      life.atEnd(() => stop.abort(new Error('the API server was killed')));
      const queue = isShared ? inOrder(time, random, faults, ended) : (act: () => void) => act();
      queues.add(queue);
      queueOf.set(watcher, queue);
      standing.add(watcher);
      ended.addEventListener('abort', () => {
        queues.delete(queue);
        queueOf.delete(watcher);
        standing.delete(watcher);
      });
      await storage.watch(
        prefix,
        afterRevision,
        {
          onEvents: events => {
            const seen = events.map(event => (event.key === ownKey ? event : withoutObject(event)));
            queue(() => watcher.onEvents(seen));
          },
          onEnd: error => watcher.onEnd(error),
        },
        ended,
      );
    },
    compact: revision => read(() => storage.compact(revision)),
    snapshot: file => storage.snapshot(file),
    ...(isShared && { shared }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

export const compactionKey = '/compaction';

function withoutObject(event: StorageEvent): StorageEvent {
  return event.value.object === undefined ? event : { ...event, value: { bytes: event.value.bytes } };
}

/** Acts in the order of the calls, each a little later. */
function inOrder(time: VirtualTime, random: Random, faults: DiskFaults, ended: AbortSignal): (act: () => void) => void {
  let lastMs = 0;
  let waiting: (() => void)[] = [];
  return act => {
    const dueMs = Math.max(lastMs, time.nowMs + between(random, 0, faults.slowMs));
    if (waiting.length > 0 && dueMs === lastMs) {
      waiting.push(act);
      return;
    }
    lastMs = dueMs;
    const batch = [act];
    waiting = batch;
    time.after(dueMs - time.nowMs, () => {
      if (waiting === batch) waiting = [];
      if (!ended.aborted) for (const each of batch) each();
    });
  };
}
