import { CorefileError, type Directive } from './corefile.ts';
import { failure, responseCode } from './message.ts';
import type { DnsContext, Handler, Plugin, Scope, Wrap } from './plugin.ts';
import { cache } from './plugins/cache.ts';
import { errors } from './plugins/errors.ts';
import { forward } from './plugins/forward.ts';
import { health, ready } from './plugins/health.ts';
import { hosts } from './plugins/hosts.ts';
import { kubernetes } from './plugins/kubernetes.ts';
import { loadbalance } from './plugins/loadbalance.ts';
import { log } from './plugins/log.ts';
import { loop } from './plugins/loop.ts';
import { prometheus } from './plugins/metrics.ts';
import { reload } from './plugins/reload.ts';
import { rewrite } from './plugins/rewrite.ts';
import { template } from './plugins/template.ts';

/** Every plugin, outermost first. The order is CoreDNS', whatever the order of the lines in a Corefile is. */
const plugins: readonly (readonly [name: string, plugin: Plugin])[] = [
  // These take no part in queries.
  ['reload', reload],
  ['ready', ready],
  ['health', health],
  // Counts and times everything, also what fails.
  ['prometheus', prometheus],
  // Turns what is thrown into SERVFAIL.
  ['errors', errors],
  // Writes down the code that the client gets.
  ['log', log],
  // Changes the order of addresses of whoever answered, also of the cache.
  ['loadbalance', loadbalance],
  // Keeps only what comes from outside: what comes from memory at once passes.
  ['cache', cache],
  // From here on names may be others than those that were asked for.
  ['rewrite', rewrite],
  ['template', template],
  ['hosts', hosts],
  ['kubernetes', kubernetes],
  // Sees only what would be forwarded.
  ['loop', loop],
  ['forward', forward],
];

/** Reads the directives of a server block. What they ask for is opened by the answer, not before. */
export function readChain(directives: readonly Directive[], scope: Scope): (context: DnsContext) => Handler {
  const byName = new Map<string, Directive[]>();
  for (const directive of directives) {
    if (!plugins.some(([name]) => name === directive.name))
      throw new CorefileError(directive.line, `Unknown directive '${directive.name}'`);
    const same = byName.get(directive.name) ?? [];
    same.push(directive);
    byName.set(directive.name, same);
  }
  const wraps = plugins.flatMap(([name, plugin]): Wrap[] => {
    const own = byName.get(name);
    return own ? [plugin(own, scope)] : [];
  });
  return context =>
    wraps.reduceRight<Handler>(
      (next, wrap) => wrap(next, context),
      () => failure(responseCode.REFUSED),
    );
}
