import { posix } from 'node:path';
import { errors } from '#api/machinery/errors.ts';

/** Where a list goes on: a revision (-1: the newest) and the first key, inclusive. */
export interface ContinueAt {
  readonly revision: number;
  readonly start: string;
}

const version = 'meta.k8s.io/v1';

/** Upstream's form; `start` is told relative to the list's prefix, so that a token opens nothing beyond it. */
export function formatContinue(revision: number, prefix: string, start: string): string {
  const token = { v: version, rv: revision, start: start.slice(prefix.length) };
  return Buffer.from(JSON.stringify(token)).toString('base64url');
}

export function parseContinue(text: string, prefix: string): ContinueAt {
  const token = decode(text);
  const { v, rv, start } = token;
  if (v !== version) throw invalid(`server does not recognize this encoded version ${String(v ?? '')}`);
  if (typeof rv !== 'number' || !Number.isSafeInteger(rv) || rv === 0)
    throw invalid('incorrect encoded start resourceVersion (version meta.k8s.io/v1)');
  if (typeof start !== 'string' || start === '') throw invalid('encoded start key empty (version meta.k8s.io/v1)');
  // Upstream's keys are paths: one with `..` in it is not from here.
  const path = start.startsWith('/') ? start : `/${start}`;
  if (posix.normalize(path) !== path) throw invalid(start);
  return { revision: rv, start: prefix + start };
}

function decode(text: string): { v?: unknown; rv?: unknown; start?: unknown } {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Falls through to the same refusal.
  }
  throw invalid('unable to decode');
}

function invalid(why: string) {
  return errors.badRequest(`invalid continue token: continue key is not valid: ${why}`);
}
