import type { ApiResponse } from '#client/transport.ts';

/** A plain text answer. */
export function textResponse(code: number, text: string, headers: Readonly<Record<string, string>> = {}): ApiResponse {
  return {
    kind: 'bytes',
    code,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff', ...headers },
    bytes: [Buffer.from(text)],
  };
}

/** For paths that belong to nobody. */
export const pageNotFound = textResponse(404, '404 page not found\n');

/** Indented, as upstream answers where there is nothing to negotiate. */
export function jsonResponse(code: number, value: unknown): ApiResponse {
  return {
    kind: 'object',
    code,
    headers: { 'content-type': 'application/json' },
    object: value,
    bytes: () => [Buffer.from(JSON.stringify(value, undefined, 2))],
  };
}
