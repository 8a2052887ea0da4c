import type { Random } from '#base/random.ts';
import {
  CompactedError,
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
  /** It fails, and it was written all the same; only over a wire. */
  failsAfterwards: number;
}

export const calmDisk: DiskFaults = { slowMs: 2, fails: 0, failsAfterwards: 0 };

export interface DiskOptions {
  readonly storage: Storage;
  readonly time: VirtualTime;
  readonly random: Random;
  readonly faults: DiskFaults;
  /** The server and the store do not hear each other. */
  readonly isCut: () => boolean;
}

/** How long a server that the store does not answer waits. */
const answerMsMax = 5_000;

/**
 * The store that several API servers share, as one of them sees it: over a wire, with the time and the faults of a disk.
 * When the server is killed, what is under way is done or is not, and nobody hears of it.
 */
export function sharedStoreOf(life: Life, options: DiskOptions): Storage {
  const { storage, time, random, faults, isCut } = options;
  const standing = new Set<Watcher>();
  /** So that watchers of this server get the object of its own writes, as the real back ends do. */
  let ownKey: string | undefined;
  let compactionSeen = 0;

  const wait = async (): Promise<void> => {
    await time.sleep(between(random, 0, faults.slowMs));
    if (life.isOver) await new Promise<never>(() => undefined);
  };
  const reach = async (): Promise<void> => {
    await wait();
    if (!isCut()) return;
    await time.sleep(answerMsMax);
    throw new StorageUnavailableError('the simulated store cannot be reached');
  };
  const read = async <Value>(run: () => Promise<Value>): Promise<Value> => {
    await reach();
    if (happens(random, faults.fails)) throw new StorageUnavailableError('the simulated store does not answer');
    return run();
  };
  const write = async (key: string, run: () => Promise<number>): Promise<number> => {
    await reach();
    if (happens(random, faults.fails)) throw new StorageUnavailableError('the simulated store does not answer');
    ownKey = key;
    // The memory store does it, and tells of it, before it first awaits something.
    const written = run();
    ownKey = undefined;
    const revision = await written;
    await wait();
    if (isCut() || happens(random, faults.failsAfterwards))
      throw new StorageUnavailableError('the simulated store has not answered', { isOutcomeUnknown: true });
    return revision;
  };
  const shared: SharedStorage = {
    async compactInTurn(revision) {
      await reach();
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
    if (isCut()) return;
    const revision = await storage.currentRevision();
    const queue = queueOf.get(watcher);
    queue?.(() => watcher.onProgress?.(revision));
  };
  const queueOf = new Map<Watcher, (act: () => void) => void>();

  return {
    currentRevision: () => read(() => storage.currentRevision()),
    get: (key, at) => read(() => storage.get(key, at)),
    range: (prefix: string, range?: RangeOptions) => read(() => storage.range(prefix, range)),
    put: (key: string, value: StoredValue, expected: Expected) => write(key, () => storage.put(key, value, expected)),
    delete: (key: string, expected: Expected) => write(key, () => storage.delete(key, expected)),
    async watch(prefix, afterRevision, watcher, signal) {
      const over = new AbortController();
      const end = () => over.abort(new Error('the watch is over'));
      signal.addEventListener('abort', end, { once: true });
      life.atEnd(end);
      let told = afterRevision;
      /** As the etcd back end: what a lost connection has left out comes over the next one. */
      const follow = async (): Promise<void> => {
        await reach();
        const connection = new AbortController();
        const ended = connection.signal;
        over.signal.addEventListener('abort', () => connection.abort(over.signal.reason), { once: true });
        if (over.signal.aborted) return;
        const broken = () => {
          if (ended.aborted) return;
          connection.abort(new Error('the connection to the store was lost'));
          again();
        };
        const queue = inOrder({ time, random, faults, isCut, broken, ended });
        queueOf.set(watcher, queue);
        standing.add(watcher);
        ended.addEventListener('abort', () => {
          queueOf.delete(watcher);
          standing.delete(watcher);
        });
        await storage.watch(
          prefix,
          told,
          {
            onEvents: events => {
              const seen = events.map(event => (event.key === ownKey ? event : withoutObject(event)));
              queue(() => {
                told = seen.at(-1)?.revision ?? told;
                watcher.onEvents(seen);
              });
            },
            onEnd: error => watcher.onEnd(error),
          },
          ended,
        );
      };
      const again = (): void => {
        follow().catch((error: unknown) => {
          if (over.signal.aborted) return;
          if (error instanceof CompactedError) watcher.onEnd(error);
          else time.after(500, again);
        });
      };
      await follow();
    },
    compact: revision => read(() => storage.compact(revision)),
    snapshot: file => storage.snapshot(file),
    shared,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

export const compactionKey = '/compaction';

function withoutObject(event: StorageEvent): StorageEvent {
  return event.value.object === undefined ? event : { ...event, value: { bytes: event.value.bytes } };
}

/** Acts in the order of the calls, each a little later; what waits when the connection is cut for long is lost with it. */
function inOrder({
  time,
  random,
  faults,
  isCut,
  broken,
  ended,
}: Pick<DiskOptions, 'time' | 'random' | 'faults' | 'isCut'> & {
  readonly broken: () => void;
  readonly ended: AbortSignal;
}): (act: () => void) => void {
  let lastMs = 0;
  let waiting: (() => void)[] = [];
  let isLost = false;
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
      if (isLost || ended.aborted) return;
      isLost = isCut();
      if (isLost) time.after(answerMsMax, broken);
      else for (const each of batch) each();
    });
  };
}
