import { limits } from '#base/limits.ts';
import { parseGoDuration } from '#api/machinery/duration.ts';
import { errors } from '#api/machinery/errors.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { Call } from './call.ts';
import { isLongRunning } from './in-flight.ts';

/**
 * Ends the waiting for an answer when the time is up: upstream's 60 seconds, 34 for a write, or less when the client says
 * `?timeout=`.
 */
export async function deadline(call: Call, next: () => Promise<ApiResponse>): Promise<ApiResponse> {
  if (isLongRunning(call)) return next();
  const timeoutMs = Math.min(
    timeoutOf(call),
    writes.has(call.info.verb) ? limits.writeTimeoutMs : Number.POSITIVE_INFINITY,
  );
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

const writes = new Set(['create', 'update', 'patch', 'delete']);

/** Throws ApiError BadRequest for a timeout that cannot be read. Nothing, or less than that, asks for the server's own. */
export function timeoutOf({ request: { query }, foundation }: Call): number {
  const asked = query.get('timeout') ?? '';
  const timeoutMsMax = foundation.requestTimeoutMs ?? limits.requestTimeoutMs;
  if (asked === '') return timeoutMsMax;
  let wantedMs: number;
  try {
    wantedMs = parseGoDuration(asked);
  } catch (error) {
    throw errors.badRequest(`invalid timeout specified in the request URL - ${(error as Error).message}`);
  }
  return wantedMs > 0 ? Math.min(wantedMs, timeoutMsMax) : timeoutMsMax;
}
