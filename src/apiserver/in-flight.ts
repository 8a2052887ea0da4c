import { limits } from '#base/limits.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { Call } from './call.ts';
import type { ApiMetrics } from './metrics.ts';
import { textResponse } from './text.ts';
import { wellKnownGroups } from '#auth/user.ts';

const longRunningSubresources = new Set(['attach', 'exec', 'proxy', 'log', 'portforward']);

/** Requests that last as long as the client likes: no deadline, no place in the count. */
export function isLongRunning({ info }: Call): boolean {
  return info.verb === 'watch' || info.verb === 'proxy' || longRunningSubresources.has(info.subresource);
}

const readOnlyVerbs = new Set(['get', 'list', 'watch', 'head', 'options']);

/** Bounds how many requests are worked on at once, as upstream does without priority and fairness. */
export class InFlightLimit {
  #readOnly = 0;
  #mutating = 0;

  constructor(metrics: ApiMetrics) {
    metrics.collectInFlight(() => ({ readOnly: this.#readOnly, mutating: this.#mutating }));
  }

  async admit(call: Call, next: () => Promise<ApiResponse>): Promise<ApiResponse> {
    if (isLongRunning(call)) return next();
    const readOnly = readOnlyVerbs.has(call.info.verb);
    const full = readOnly
      ? this.#readOnly >= limits.readOnlyRequestsInFlightMax
      : this.#mutating >= limits.mutatingRequestsInFlightMax;
    if (full && !call.user.groups.includes(wellKnownGroups.masters))
      return textResponse(429, 'Too many requests, please try again later.\n', { 'retry-after': '1' });
    if (readOnly) this.#readOnly++;
    else this.#mutating++;
    try {
      return await next();
    } finally {
      if (readOnly) this.#readOnly--;
      else this.#mutating--;
    }
  }
}
