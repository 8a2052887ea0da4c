import { errors } from '#api/machinery/errors.ts';
import type { Call } from './call.ts';

/** Waits until the cache is as new as a read wants it. Undefined: it is already. */
export function awaitRevision(call: Call, resourceVersion: string): Promise<void> | undefined {
  const { cache } = call.foundation;
  if (resourceVersion === '0') return undefined;
  if (resourceVersion === '') return cache.catchUp();
  const revision = parseRevision(resourceVersion);
  return revision > cache.revision ? cache.waitFor(revision) : undefined;
}

/** Throws ApiError, as upstream without a reason, for what is no decimal number. */
export function parseRevision(resourceVersion: string): number {
  if (/^\d{1,19}$/.test(resourceVersion)) return Number(resourceVersion);
  throw errors.other('', whyNone(resourceVersion));
}

/** The same for lists, which tell it as the client's fault. */
export function listRevision(resourceVersion: string): number {
  if (/^\d{1,19}$/.test(resourceVersion)) return Number(resourceVersion);
  throw errors.badRequest(`invalid resource version: ${whyNone(resourceVersion)}`);
}

function whyNone(resourceVersion: string): string {
  const quoted = JSON.stringify(resourceVersion);
  return `resourceVersion: Invalid value: ${quoted}: strconv.ParseUint: parsing ${quoted}: invalid syntax`;
}
