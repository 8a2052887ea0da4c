/** What clients of an API server asked and were told, with the times of one clock. */
export interface History {
  readonly operations: readonly Operation[];
  readonly lists: readonly ListRead[];
  readonly watches: readonly WatchStream[];
}

/** One request about one object. Every write writes a value that no other writes. */
export interface Operation {
  readonly client: string;
  readonly key: string;
  readonly kind: 'create' | 'update' | 'delete' | 'get';
  /** When it was sent, and when its answer was there. */
  readonly calledMs: number;
  readonly returnedMs: number;
  /** What a create or update writes. */
  readonly value?: string;
  /** The revision that an update or a deletion wants to find. */
  readonly expected?: number;
  readonly outcome: Outcome;
}

export type Outcome =
  /** What it made, or found. A deletion does not tell its revision. */
  | { readonly type: 'done'; readonly revision?: number; readonly value?: string }
  /** There was no object; there was one already; there was one of another revision. */
  | { readonly type: 'absent' }
  | { readonly type: 'present' }
  | { readonly type: 'conflict' }
  /** The answer was lost. */
  | { readonly type: 'unknown' };

/** All objects as of one revision. */
export interface ListRead {
  readonly client: string;
  readonly calledMs: number;
  readonly returnedMs: number;
  readonly revision: number;
  readonly entries: readonly { readonly key: string; readonly revision: number; readonly value: string }[];
}

/** One watch, from when it was opened until it ended. */
export interface WatchStream {
  readonly client: string;
  /** It was to tell everything after this revision. */
  readonly after: number;
  readonly entries: readonly WatchEntry[];
}

export type WatchEntry =
  | { readonly type: 'put' | 'delete'; readonly revision: number; readonly key: string; readonly value: string }
  | { readonly type: 'bookmark'; readonly revision: number };

export type Change = Exclude<WatchEntry, { readonly type: 'bookmark' }>;

export function joined(histories: readonly History[]): History {
  return {
    operations: histories.flatMap(each => each.operations),
    lists: histories.flatMap(each => each.lists),
    watches: histories.flatMap(each => each.watches),
  };
}

/** The changes that any watch has told of, in the order of their revisions. */
export function changesIn({ watches }: History): readonly Change[] {
  const changes = new Map<number, Change>();
  for (const { entries } of watches)
    for (const entry of entries) if (entry.type !== 'bookmark') changes.set(entry.revision, entry);
  return [...changes.values()].toSorted((a, b) => a.revision - b.revision);
}
