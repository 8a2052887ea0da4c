import { cache } from './plugins/cache.ts';
import { errors } from './plugins/errors.ts';
import { forward } from './plugins/forward.ts';
import { health } from './plugins/health.ts';
import { kubernetes } from './plugins/kubernetes.ts';
import { loadbalance } from './plugins/loadbalance.ts';
import { log } from './plugins/log.ts';
import { loop } from './plugins/loop.ts';
import { metrics } from './plugins/metrics.ts';
import type { DnsContext, Handler, Plugin } from './plugin.ts';

/** Every plugin, outermost first. */
const plugins: readonly (readonly [name: string, plugin: Plugin])[] = [
  // Takes no part in queries.
  ['health', health],
  // Counts and times everything, also what fails.
  ['metrics', metrics],
  // Writes down the code that the client gets, so it is outside of what turns failures into codes.
  ['log', log],
  // Turns what is thrown into SERVFAIL.
  ['errors', errors],
  // Changes the order of addresses of whoever answered, also of the cache.
  ['loadbalance', loadbalance],
  // From memory: a cache before it would only make its answers old.
  ['kubernetes', kubernetes],
  ['cache', cache],
  // Sees only what would be forwarded.
  ['loop', loop],
  ['forward', forward],
];

/** The handler of all queries. */
export function buildChain(context: DnsContext): Handler {
  return plugins.reduceRight<Handler>((next, [, plugin]) => plugin(next, context), context.refuse);
}
