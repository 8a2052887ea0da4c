/** Upstream's --event-ttl. */
export const defaultEventTtlMs = 3_600_000;
