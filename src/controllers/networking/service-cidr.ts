import { cidrContains, parseCidr, parseIp } from '#base/ip.ts';
import { IPAddress } from '#api/networking/v1/ip-address.ts';
import { ServiceCIDR } from '#api/networking/v1/service-cidr.ts';
import { event, update, updateStatus, wake } from '../actions.ts';
import { conditionOf, withCondition } from '../conditions.ts';
import { defineController } from '../controller.ts';
import { watched } from '../reads.ts';
import { timeText } from '../time.ts';

const finalizer = 'networking.k8s.io/service-cidr-finalizer';

/** Upstream's. */
const graceMs = 10_000;

/** A range of service addresses is ready to be used, and stays until nobody has an address of it. */
export const serviceCidrController = defineController({
  name: 'service-cidrs-controller',
  component: 'service-cidrs-controller',
  reconciles: ServiceCIDR,
  reads: {
    ranges: watched<ServiceCIDR, ServiceCIDR, Iterable<ServiceCIDR>>(
      ServiceCIDR,
      ranges => () => ranges.objects.values(),
      (_range, _old, ranges) => ranges.objects.keys(),
    ),
    addresses: watched<ServiceCIDR, IPAddress, Iterable<IPAddress>>(
      IPAddress,
      addresses => () => addresses.objects.values(),
      (_address, _old, ranges, change) =>
        change === 'deleted'
          ? [...ranges.objects]
              .filter(([, range]) => range.metadata.deletionTimestamp !== undefined)
              .map(([key]) => key)
          : [],
    ),
  },
  writes: [ServiceCIDR],
  decide(range, { ranges, addresses, nowMs }) {
    const { finalizers = [], deletionTimestamp } = range.metadata;
    if (deletionTimestamp !== undefined) {
      if (isNeeded(range, ranges, addresses)) {
        const message =
          'There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR';
        return ready(range, 'False', 'Terminating', message, nowMs);
      }
      // Until every API server has heard that it gives out no more of its addresses.
      const untilMs = Date.parse(deletionTimestamp) + graceMs;
      if (untilMs > nowMs) return [wake(untilMs)];
      const rest = finalizers.filter(each => each !== finalizer);
      return rest.length === finalizers.length
        ? []
        : [update(ServiceCIDR, { ...range, metadata: { ...range.metadata, finalizers: rest } })];
    }
    if (!finalizers.includes(finalizer))
      return [
        update(ServiceCIDR, { ...range, metadata: { ...range.metadata, finalizers: [...finalizers, finalizer] } }),
      ];
    return ready(range, 'True', '', 'Kubernetes Service CIDR is ready', nowMs);
  },
});

function ready(range: ServiceCIDR, state: string, reason: string, message: string, nowMs: number) {
  if (conditionOf(range.status?.conditions, 'Ready')?.status === state) return [];
  const conditions = withCondition(range.status?.conditions, {
    type: 'Ready',
    status: state,
    reason,
    message,
    lastTransitionTime: timeText(nowMs),
  });
  return [
    updateStatus(
      ServiceCIDR,
      { ...range, status: { ...range.status, conditions } },
      {
        succeeded: () =>
          state === 'True' ? undefined : event(range, 'Warning', `KubernetesServiceCIDR${reason}`, message),
      },
    ),
  ];
}

/** Has somebody an address of it that no other range has? */
function isNeeded(range: ServiceCIDR, all: Iterable<ServiceCIDR>, addresses: Iterable<IPAddress>): boolean {
  const networksOf = ({ spec }: ServiceCIDR) => (spec?.cidrs ?? []).flatMap(cidr => parseCidr(cidr) ?? []);
  const own = networksOf(range);
  const others = [...all]
    .filter(({ metadata }) => metadata.uid !== range.metadata.uid && metadata.deletionTimestamp === undefined)
    .flatMap(networksOf);
  for (const { metadata } of addresses) {
    const address = parseIp(metadata.name ?? '');
    if (!address || !own.some(network => cidrContains(network, address))) continue;
    if (!others.some(network => cidrContains(network, address))) return true;
  }
  return false;
}
