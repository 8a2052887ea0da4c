import type { StoredValue } from '../storage.ts';
import type { WatchedEvent } from './messages.ts';

/** A write of this process, from before it is sent until the watch has told of it. */
export interface OwnWrite {
  readonly key: string;
  /** Undefined deletes. */
  readonly value: StoredValue | undefined;
  /** The revision it replaces; 0 makes the entry. */
  readonly replaces: number;
  /** Where the watch has seen it. */
  seenAt: number | undefined;
  /** The write has its answer: nobody but the watch needs it any longer. */
  isOver: boolean;
}

/**
 * What this process writes, held against what the watch tells: so its own objects come back as they are, undecoded; and
 * when the answer to a write was lost, the watch knows whether it was done.
 */
export class OwnWrites {
  readonly #byKey = new Map<string, Set<OwnWrite>>();

  add(key: string, value: StoredValue | undefined, replaces: number): OwnWrite {
    const write: OwnWrite = { key, value, replaces, seenAt: undefined, isOver: false };
    let writes = this.#byKey.get(key);
    if (!writes) this.#byKey.set(key, (writes = new Set()));
    writes.add(write);
    return write;
  }

  /** The write has succeeded: it is kept until the watch tells of it. */
  over(write: OwnWrite): void {
    write.isOver = true;
    if (write.seenAt !== undefined) this.drop(write);
  }

  drop(write: OwnWrite): void {
    const writes = this.#byKey.get(write.key);
    if (writes?.delete(write) && writes.size === 0) this.#byKey.delete(write.key);
  }

  /** What this process has put there, when it is this event. */
  match({ deleted, entry, previous }: WatchedEvent): StoredValue | undefined {
    const writes = this.#byKey.get(entry.key);
    if (!writes) return undefined;
    for (const write of writes) {
      if (write.seenAt !== undefined) continue;
      const isThis = deleted
        ? write.value === undefined && previous?.modRevision === write.replaces
        : write.value !== undefined &&
          (write.replaces === 0) === (entry.version === 1) &&
          Buffer.compare(write.value.bytes, entry.value) === 0;
      if (!isThis) continue;
      write.seenAt = entry.modRevision;
      if (write.isOver) this.drop(write);
      return write.value;
    }
    return undefined;
  }

  clear(): void {
    for (const writes of this.#byKey.values()) for (const write of writes) if (write.isOver) this.drop(write);
  }
}
