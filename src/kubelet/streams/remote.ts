import type { Readable, Writable } from 'node:stream';
import type { TerminalSize } from '#runtime/runtime.ts';

/** The client's side of an exec or attach, whatever carries it. Streams that were not asked for are `undefined`. */
export interface Remote {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  onResize(resized: (size: TerminalSize) => void): void;
  /** Tells how it ended and closes the connection. */
  finish(outcome: Outcome): Promise<void>;
  /** Aborted when the client has gone. */
  readonly gone: AbortSignal;
}

export type Outcome =
  | { readonly kind: 'success' }
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'failure'; readonly message: string };

export interface Wanted {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** As a Status, which the newer protocols have. */
export function statusOf(outcome: Outcome): object {
  const base = { kind: 'Status', apiVersion: 'v1', metadata: {} };
  switch (outcome.kind) {
    case 'success':
      return { ...base, status: 'Success' };
    case 'exit':
      return {
        ...base,
        status: 'Failure',
        reason: 'NonZeroExitCode',
        message: textOf(outcome),
        details: { causes: [{ reason: 'ExitCode', message: String(outcome.code) }] },
      };
    case 'failure':
      return {
        ...base,
        status: 'Failure',
        reason: 'InternalError',
        message: `Internal error occurred: ${outcome.message}`,
        details: { causes: [{ message: outcome.message }] },
        code: 500,
      };
  }
}

/** As plain text, which the older ones have; nothing on success. */
export function textOf(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'success':
      return '';
    case 'exit':
      return `command terminated with non-zero exit code: exit status ${outcome.code}`;
    case 'failure':
      return outcome.message;
  }
}

/** `{"Width":80,"Height":24}` as clients send it. */
export function parseSize(text: string): TerminalSize | undefined {
  try {
    const { Width, Height } = JSON.parse(text) as { Width?: unknown; Height?: unknown };
    if (typeof Width !== 'number' || typeof Height !== 'number') return undefined;
    return { columns: Width, rows: Height };
  } catch {
    // Not a size; the next one may be.
    return undefined;
  }
}
