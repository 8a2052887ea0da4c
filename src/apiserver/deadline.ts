import { limits } from '#base/limits.ts';
import { errors } from '#api/machinery/errors.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { Call } from './call.ts';
import { isLongRunning } from './in-flight.ts';

/** Ends the waiting for an answer when the time is up: upstream's 60 seconds, or less when the client says `?timeout=`. */
export async function deadline(call: Call, next: () => Promise<ApiResponse>): Promise<ApiResponse> {
  if (isLongRunning(call)) return next();
  const timeoutMs = timeoutOf(call);
  return new Promise((resolve, reject) => {
    const cancel = call.foundation.clock.after(timeoutMs, () =>
      reject(errors.timeout('request did not complete within requested timeout - context deadline exceeded')),
    );
    next().then(
      response => {
        cancel();
        resolve(response);
      },
      (error: unknown) => {
        cancel();
        reject(error);
      },
    );
  });
}

/** Throws ApiError BadRequest for a timeout that cannot be read. */
export function timeoutOf({ request: { query }, foundation }: Call): number {
  const asked = query.get('timeout') ?? '';
  const timeoutMsMax = foundation.requestTimeoutMs ?? limits.requestTimeoutMs;
  if (asked === '') return timeoutMsMax;
  const wantedMs = goDurationMs(asked);
  if (wantedMs === undefined)
    throw errors.badRequest(
      `invalid timeout specified in the request URL - time: invalid duration ${JSON.stringify(asked)}`,
    );
  if (wantedMs === 0) return timeoutMsMax;
  return Math.min(wantedMs, timeoutMsMax);
}

const unitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** `1m30s`, `500ms`. Undefined for what Go would not read, and for less than nothing. */
function goDurationMs(text: string): number | undefined {
  if (text === '0') return 0;
  const parts = [...text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(part => part[0]).join('') !== text) return undefined;
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (unitsMs[unit as string] as number), 0);
}
