import type { StorageEvent, Watcher } from './storage.ts';

/** The watches that stand, for back ends inside this process. */
export class Watchers {
  readonly #standing = new Set<{ readonly prefix: string; readonly watcher: Watcher; after: number }>();

  /** Events up to `afterRevision` are withheld: the watcher has them, or they are not in its future. */
  add(prefix: string, watcher: Watcher, signal: AbortSignal, afterRevision = 0): void {
    const standing = { prefix, watcher, after: afterRevision };
    this.#standing.add(standing);
    signal.addEventListener('abort', () => this.#standing.delete(standing), { once: true });
  }

  /** Events of one commit, in revision order. */
  deliver(events: readonly StorageEvent[]): void {
    for (const { prefix, watcher, after } of this.#standing) {
      const wanted = events.filter(event => event.revision > after && event.key.startsWith(prefix));
      if (wanted.length > 0) watcher.onEvents(wanted);
    }
  }

  end(error: Error): void {
    const ended = [...this.#standing];
    this.#standing.clear();
    for (const { watcher } of ended) watcher.onEnd(error);
  }

  clear(): void {
    this.#standing.clear();
  }
}
