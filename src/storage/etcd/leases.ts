import type { Clock } from '#base/clock.ts';
import type { EtcdConnection } from './connection.ts';
import { decodeLeaseGrant, encodeLeaseGrant } from './messages.ts';

/** Upstream's values: a lease is shared by what is written within a minute, or 5 % of its time, and by 1,000 entries. */
const reuseSecondsMax = 60;
const reuseShare = 0.05;
const entriesPerLeaseMax = 1_000;

/** Leases that entries share, because granting one costs a write: an entry goes a little later than it asked to. */
export class Leases {
  readonly #connection: EtcdConnection;
  readonly #clock: Clock;
  readonly #byTtl = new Map<number, Shared>();

  constructor(connection: EtcdConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
  }

  async take(ttlMs: number): Promise<bigint> {
    const ttlSeconds = Math.ceil(ttlMs / 1000);
    const shared = this.#byTtl.get(ttlSeconds);
    if (shared && shared.entries < entriesPerLeaseMax && this.#clock.monotonic() < shared.untilMs) {
      shared.entries++;
      return shared.id;
    }
    const reuseSeconds = Math.min(reuseSecondsMax, Math.floor(ttlSeconds * reuseShare));
    const granted = this.#connection.call(grant, encodeLeaseGrant(ttlSeconds + reuseSeconds));
    const fresh: Shared = {
      id: granted.then(({ id }) => id),
      entries: 1,
      untilMs: this.#clock.monotonic() + reuseSeconds * 1000,
    };
    this.#byTtl.set(ttlSeconds, fresh);
    fresh.id.catch(() => this.#byTtl.delete(ttlSeconds));
    return fresh.id;
  }

  /** A lease was not found: the next entry gets another one. */
  forget(): void {
    this.#byTtl.clear();
  }
}

interface Shared {
  readonly id: Promise<bigint>;
  readonly untilMs: number;
  entries: number;
}

const grant = { path: '/etcdserverpb.Lease/LeaseGrant', decode: decodeLeaseGrant };
