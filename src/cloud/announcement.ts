import type { Service } from '#api/core/v1/service.ts';
import { exponentialBackoff } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import { cidrContains, formatIp, parseCidr, parseIp } from '#base/ip.ts';
import type { LinkChange, Step } from '#base/kernel/netlink.ts';
import type { Log } from '#base/log.ts';
import type { Informer } from '#client/informer.ts';

export interface AnnouncementOptions {
  readonly services: Informer<Service>;
  /** CIDRs; only their addresses are announced. */
  readonly pool: readonly string[];
  /** A link of this machine: the kernel answers ARP for an address on any of its links. */
  readonly link: string;
  readonly netlink: { apply(steps: readonly Step[]): Promise<void> };
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Gives this machine the pool's addresses that load balancers have, so that the network around sends them here; the service
 * proxy leads them on. What was announced stays when it ends: pods run on, and so do their services.
 */
export function announceLoadBalancers(options: AnnouncementOptions): AsyncDisposable {
  const { services, pool, link, netlink, clock, log } = options;
  const networks = pool.flatMap(cidr => parseCidr(cidr) ?? []);
  const stop = new AbortController();
  const backoff = exponentialBackoff({ initialMs: 500, maxMs: 30_000 });
  let announced: ReadonlySet<string> = new Set();
  let working: Promise<void> | undefined;
  let dirty = false;
  const wanted = () => {
    const found = new Set<string>();
    for (const { spec, status } of services.objects.values())
      if (spec?.type === 'LoadBalancer')
        for (const { ip, ipMode = 'VIP' } of status?.loadBalancer?.ingress ?? []) {
          const address = parseIp(ip ?? '');
          if (address && ipMode === 'VIP' && networks.some(network => cidrContains(network, address)))
            found.add(`${formatIp(address)}/${address.family === 4 ? 32 : 128}`);
        }
    return found;
  };
  const work = async () => {
    while (dirty && !stop.signal.aborted) {
      dirty = false;
      const next = wanted();
      const change = (what: 'addAddress' | 'deleteAddress', from: ReadonlySet<string>, to: ReadonlySet<string>) =>
        [...from.difference(to)].map((address): LinkChange => ({ do: what, link, address }));
      const steps: readonly Step[] = [
        { changes: change('addAddress', next, announced), tolerate: ['EEXIST'] },
        { changes: change('deleteAddress', announced, next), tolerate: ['EADDRNOTAVAIL', 'ENODEV'] },
      ];
      try {
        for (const step of steps) if (step.changes.length > 0) await netlink.apply([step]);
        announced = next;
        backoff.reset();
      } catch (error) {
        log.error("cannot announce load balancers' addresses", { link, error });
        dirty = true;
        await clock.sleep(backoff.next(), stop.signal).catch(() => undefined);
      }
    }
  };
  const changed = () => {
    dirty = true;
    working ??= work().finally(() => {
      working = undefined;
    });
  };
  const ifItMatters = (service: Service) => {
    if (service.spec?.type === 'LoadBalancer') changed();
  };
  const unsubscribe = services.subscribe({
    added: ifItMatters,
    updated: (service, old) => {
      ifItMatters(service);
      if (service.spec?.type !== old.spec?.type) changed();
    },
    deleted: ifItMatters,
  });
  return {
    async [Symbol.asyncDispose]() {
      unsubscribe();
      stop.abort(new Error('the announcement ended'));
      await working;
    },
  };
}
