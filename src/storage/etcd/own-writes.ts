import type { StoredValue } from '../storage.ts';
import type { WatchedEvent } from './messages.ts';

/** A write of this process, from before it is sent until the watch has told of it. */
export interface OwnWrite {
  readonly key: string;
  /** Undefined deletes. */
  readonly value: StoredValue | undefined;
  /** The revision it replaces; 0 makes the entry. */
  readonly replaces: number;
  /**
   * Where the watch has seen this very change. Somebody else may have made the same change of the same revision; it counts
   * only where the answer was lost.
   */
  seenAt: number | undefined;
  /** What etcd has answered: nobody but the watch needs the write any longer. */
  revision: number | undefined;
}

/**
 * What this process writes, held against what the watch tells: so its own objects come back as they are, undecoded, where
 * etcd's answer comes first; and when the answer to a write was lost, the watch knows whether it was done.
 */
export class OwnWrites {
  readonly #byKey = new Map<string, Set<OwnWrite>>();

  add(key: string, value: StoredValue | undefined, replaces: number): OwnWrite {
    const write: OwnWrite = { key, value, replaces, seenAt: undefined, revision: undefined };
    let writes = this.#byKey.get(key);
    if (!writes) this.#byKey.set(key, (writes = new Set()));
    writes.add(write);
    return write;
  }

  /** The write has succeeded: it is kept until the watch tells of it. */
  over(write: OwnWrite, revision: number): void {
    write.revision = revision;
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
      if (write.revision !== undefined) {
        if (write.revision > entry.modRevision) continue;
        this.drop(write);
        if (write.revision === entry.modRevision) return write.value;
        continue;
      }
      if (write.seenAt !== undefined) continue;
      const isInPlace = (entry.version === 1 ? 0 : previous?.modRevision) === write.replaces;
      const isThis = deleted
        ? write.value === undefined && previous?.modRevision === write.replaces
        : isInPlace && write.value !== undefined && Buffer.compare(write.value.bytes, entry.value) === 0;
      // Whose it is is not certain yet, so the object stays the writer's.
      if (isThis) write.seenAt = entry.modRevision;
    }
    return undefined;
  }

  clear(): void {
    for (const writes of this.#byKey.values())
      for (const write of writes) if (write.revision !== undefined) this.drop(write);
  }
}
