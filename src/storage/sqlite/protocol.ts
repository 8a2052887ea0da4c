/** What the two sides of the worker thread say to each other. Answers come in the order of the questions. */
export type Question =
  | WriteBatch
  | { readonly type: 'get'; readonly id: number; readonly key: string; readonly revision: number | undefined }
  | {
      readonly type: 'range';
      readonly id: number;
      readonly prefix: string;
      readonly revision: number | undefined;
      readonly start: string | undefined;
      readonly limit: number | undefined;
    }
  | { readonly type: 'history'; readonly id: number; readonly prefix: string; readonly after: number }
  | { readonly type: 'compact'; readonly id: number; readonly revision: number }
  | { readonly type: 'snapshot'; readonly id: number; readonly file: string }
  | { readonly type: 'close'; readonly id: number };

/** Many writes in one transaction. One array a column: that is what crosses threads most cheaply. */
export interface WriteBatch {
  readonly type: 'write';
  readonly id: number;
  readonly keys: readonly string[];
  /** The modRevision, or one of the two below. */
  readonly expected: readonly number[];
  /** Bytes of each value within `values`; -1 for a deletion. */
  readonly lengths: readonly number[];
  readonly values: Uint8Array;
}

export const expectAbsent = -1;
export const expectAny = -2;
export const isDeletion = -1;

export type Answer =
  | { readonly id: number; readonly ok: true; readonly value: unknown; readonly revision: number }
  | { readonly id: number; readonly ok: false; readonly error: WireError };

export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly revision?: number;
  readonly other?: number;
}

/** How each write of a batch went, by position. */
export interface WriteResults {
  /** 0: the entry was otherwise than expected, or the write was refused. */
  readonly revisions: readonly number[];
  readonly createRevisions: readonly number[];
  /** What was deleted, or what was there instead of what was expected. */
  readonly found: readonly (WireEntry | undefined)[];
  /** Why a write was refused although the entry was as expected. */
  readonly refused: readonly (string | undefined)[];
}

export interface WireEntry {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly bytes: Uint8Array;
}

export interface WireRange {
  readonly entries: readonly WireEntry[];
  readonly revision: number;
  readonly remaining: number;
}

export interface WireEvent {
  readonly key: string;
  readonly deleted: boolean;
  readonly revision: number;
  readonly createRevision: number;
  readonly bytes: Uint8Array;
}
