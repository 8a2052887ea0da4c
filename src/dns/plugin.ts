import type { Registry } from 'prom-client';
import type { Clock } from '#base/clock.ts';
import type { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { Answer, Query } from './message.ts';
import type { ClusterRecords } from './records.ts';

export interface Client {
  readonly transport: 'udp' | 'tcp';
  readonly address: string;
}

/** Answers a query. At once where it can: most answers come from memory, and a promise costs more than they do. */
export type Handler = (query: Query, client: Client) => Answer | Promise<Answer>;

/** Wraps the handler behind it. */
export type Plugin = (next: Handler, context: DnsContext) => Handler;

/** What the plugins of one server share. */
export interface DnsContext {
  readonly records: ClusterRecords;
  readonly upstreams: readonly Upstream[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly registry: Registry | undefined;
  readonly logQueries: boolean;
  /** Where the server listens. */
  readonly address: string;
  /** Absent: no HTTP. */
  readonly healthPort: number | undefined;
  /** Ends with the server; plugins give it what they open. */
  readonly lifetime: Lifetime;
  /** The end of the chain. */
  readonly refuse: Handler;
}

export interface Upstream {
  readonly address: string;
  readonly port: number;
}

/** The server's name in metrics, as upstream has it. */
export const serverLabel = 'dns://:53';

/** Goes on with the answer, at once when it is there. */
export function then<Value, Result>(value: Value | Promise<Value>, next: (value: Value) => Result) {
  return value instanceof Promise ? value.then(next) : next(value);
}
