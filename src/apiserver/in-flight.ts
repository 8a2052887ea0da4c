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

export function isReadOnly(verb: string): boolean {
  return readOnlyVerbs.has(verb);
}

/** How many requests are worked on at once. */
export interface InFlightLimits {
  readonly readOnlyMax: number;
  readonly mutatingMax: number;
}

/** Bounds how many requests are worked on at once, as upstream does without priority and fairness. */
export class InFlightLimit {
  #readOnly = 0;
  #mutating = 0;

  readonly #limits: InFlightLimits;

  constructor(metrics: ApiMetrics, limits: InFlightLimits) {
    this.#limits = limits;
    metrics.collectInFlight(() => ({ readOnly: this.#readOnly, mutating: this.#mutating }));
  }

  async admit(call: Call, next: () => Promise<ApiResponse>): Promise<ApiResponse> {
    if (isLongRunning(call)) return next();
    const readOnly = isReadOnly(call.info.verb);
    const full = readOnly ? this.#readOnly >= this.#limits.readOnlyMax : this.#mutating >= this.#limits.mutatingMax;
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
