import type { Step } from './progress.ts';

/** What a role's process tells its supervisor. */
export type FromRole =
  | { readonly type: 'step'; readonly step: Step }
  | { readonly type: 'ready' }
  /** It cannot go on, and trying again would not help. */
  | { readonly type: 'failed'; readonly reason: string };

/** What the supervisor tells a role's process. */
export type ToRole =
  /** The API server answers: go on. */
  | { readonly type: 'go' }
  /** End, and leave nothing behind. */
  | { readonly type: 'stop' };

/** An error as one sentence for a person; what a disk says without a word of what to do gets one. */
export function sentenceOf(error: unknown, path?: string): string {
  if (!(error instanceof Error)) return String(error);
  const { code, path: file } = error as NodeJS.ErrnoException;
  const trouble = code === undefined ? undefined : diskTroubles[code];
  if (trouble === undefined) return error.message;
  return `cannot write to ${file ?? path ?? 'the data directory'}: ${trouble} and try again`;
}

const diskTroubles: Readonly<Record<string, string | undefined>> = {
  ENOSPC: 'the disk is full; free space there',
  EDQUOT: 'the quota of the disk is used up; free space there',
  EROFS: 'the file system is read-only; mount it writable',
  EIO: "the disk fails; look into the kernel's log, see to the disk",
};
