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
