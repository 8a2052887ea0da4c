/** Upstream's --event-ttl. */
export const eventTtlMs = 3_600_000;
