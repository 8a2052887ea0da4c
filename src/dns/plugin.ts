import type { Clock } from '#base/clock.ts';
import type { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { Informers } from '#client/informers.ts';
import type { Directive } from './corefile.ts';
import type { HttpRoutes } from './http-endpoints.ts';
import type { Answer, Query } from './message.ts';
import type { DnsMetrics } from './dns-metrics.ts';
import type { CompilePattern } from './pattern.ts';

export interface Client {
  readonly transport: 'udp' | 'tcp';
  readonly address: string;
  readonly port?: number;
}

/** Answers a query. At once where it can: most answers come from memory, and a promise costs more than they do. */
export type Handler = (query: Query, client: Client) => Answer | Promise<Answer>;

/** Wraps the handler behind it. Only this may open something. */
export type Wrap = (next: Handler, context: DnsContext) => Handler;

/** Reads its directives of one server block; what is wrong with them is a `CorefileError`. */
export type Plugin = (directives: readonly Directive[], scope: Scope) => Wrap;

/** What a plugin may know while the Corefile is read. */
export interface Scope {
  /** Of the server block: lower case, without the last dot, the root empty. */
  readonly zones: readonly string[];
  /** A file that a directive names: `/etc/…` of the node where that is allowed, or another key of the ConfigMap. */
  readFile(directive: Directive, path: string): string;
  /** What stands for `/etc/resolv.conf`. */
  readonly nodeUpstreams: readonly Upstream[];
  readonly pattern: CompilePattern;
}

/** What the plugins of one server block share while it serves. */
export interface DnsContext {
  readonly informers: Informers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Undefined where the block has no `prometheus`. */
  readonly metrics: DnsMetrics | undefined;
  /** The zones of the block's `kubernetes`. */
  readonly clusterZones: readonly string[];
  /** Where the server listens. */
  readonly address: string;
  /** Collects what is served by HTTP. */
  readonly http: HttpRoutes;
  /** Plugins say here by their name that they are ready. */
  readonly readiness: Map<string, () => boolean>;
  /** What must be known before the first answer. */
  readonly synced: Promise<void>[];
  /** Ends with this configuration; plugins give it what they open. */
  readonly lifetime: Lifetime;
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
