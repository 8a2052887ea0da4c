import { posix } from 'node:path';
import { errors } from '#api/machinery/errors.ts';
import { decodeJson } from '#api/machinery/json.ts';

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
  const wrongAt = /[^\w-]/.exec(text)?.index ?? (text.length % 4 === 1 ? text.length - 1 : -1);
  if (wrongAt >= 0) throw invalid(`illegal base64 data at input byte ${wrongAt}`);
  try {
    const value = decodeJson(Buffer.from(text, 'base64url')) ?? {};
    if (typeof value === 'object' && !Array.isArray(value)) return value as ReturnType<typeof decode>;
    const sort = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
    throw new Error(`json: cannot unmarshal ${sort} into Go value of type storage.continueToken`);
  } catch (error) {
    throw invalid((error as Error).message);
  }
}

function invalid(why: string) {
  return errors.badRequest(`invalid continue token: continue key is not valid: ${why}`);
}
