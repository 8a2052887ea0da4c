import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import { canonicalJson } from '../canonical-json.ts';
import { sameApartFromZeros } from '../same.ts';
import { lookup, selected, type Read } from '../reads.ts';
import { isReady, isTerminal } from '../core/pod-state.ts';
import type { Informer } from '#client/informer.ts';

type ServicePort = NonNullable<NonNullable<Service['spec']>['ports']>[number];

/** A port of a service as one pod serves it. */
export interface PodPort {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly appProtocol?: string;
}

/** Who serves a service, for the two controllers that publish it. */
export const servicePods: {
  readonly pods: Read<Service, readonly Pod[]>;
  readonly nodes: Read<Service, Informer<Node>>;
} = {
  pods: selected<Service, Pod>(Pod, selectorOf, matters),
  nodes: lookup<Service, Node>(Node),
};

/** The labels that a service selects its pods by; undefined when nobody but its user says who serves it. */
export function selectorOf({ spec }: Service): Readonly<Record<string, string>> | undefined {
  const selector = spec?.selector;
  if (!selector || Object.keys(selector).length === 0 || spec?.type === 'ExternalName') return undefined;
  return selector;
}

/** May it be found, now or when it becomes ready? */
export function isPublished(pod: Pod, withTerminating: boolean): boolean {
  if (isTerminal(pod) || (pod.status?.podIPs ?? []).length === 0) return false;
  return withTerminating || pod.metadata.deletionTimestamp === undefined;
}

/** The address of a pod in a family. */
export function addressOf(pod: Pod, family: 'IPv4' | 'IPv6'): string | undefined {
  return (pod.status?.podIPs ?? [])
    .map(({ ip }) => ip ?? '')
    .find(ip => ip !== '' && ip.includes(':') === (family === 'IPv6'));
}

export function familiesOf({ spec }: Service): readonly ('IPv4' | 'IPv6')[] {
  const families = (spec?.ipFamilies ?? []).filter(family => family === 'IPv4' || family === 'IPv6');
  return families.length > 0 ? families : [spec?.clusterIP?.includes(':') ? 'IPv6' : 'IPv4'];
}

export function isHeadless({ spec }: Service): boolean {
  return spec?.clusterIP === 'None';
}

/** The hostname under which a pod is found below the service's name. */
export function hostnameIn(service: Service, pod: Pod): string | undefined {
  const { hostname = '', subdomain } = pod.spec ?? {};
  return hostname !== '' && subdomain === service.metadata.name ? hostname : undefined;
}

/** Ports that many pods share, with a text that is the same for the same ports. */
export interface PodPorts {
  readonly ports: readonly PodPort[];
  readonly key: string;
}

/** The service's ports at a pod; a named port that the pod does not have is left out. */
export function portsAt(service: Service): (pod: Pod) => PodPorts {
  const all = service.spec?.ports ?? [];
  // Only a port by name differs from pod to pod.
  const named = all.some(({ targetPort }) => typeof targetPort === 'string' && targetPort !== '');
  const known = new Map<string, PodPorts>();
  const at = (pod: Pod): PodPorts => {
    const ports = portsOf(all, pod);
    const key = canonicalJson(ports);
    const same = known.get(key) ?? { ports, key };
    known.set(key, same);
    return same;
  };
  if (named) return at;
  let common: PodPorts | undefined;
  return pod => (common ??= at(pod));
}

function portsOf(all: readonly ServicePort[], pod: Pod): PodPort[] {
  const ports: PodPort[] = [];
  for (const each of all) {
    const port = portNumber(each, pod);
    if (port === undefined) continue;
    const { name = '', protocol = 'TCP', appProtocol } = each;
    ports.push({ name, port, protocol, ...(appProtocol !== undefined && { appProtocol }) });
  }
  return ports;
}

function portNumber({ targetPort, port, protocol = 'TCP' }: ServicePort, pod: Pod): number | undefined {
  if (targetPort === undefined || targetPort === 0 || targetPort === '') return port;
  if (typeof targetPort === 'number') return targetPort;
  const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  for (const { ports = [] } of [...(pod.spec?.containers ?? []), ...sidecars])
    for (const each of ports)
      if (each.name === targetPort && (each.protocol ?? 'TCP') === protocol) return each.containerPort;
  return undefined;
}

/** Does a change of a pod change what is published of it? */
function matters(pod: Pod, old: Pod): boolean {
  return (
    isReady(pod) !== isReady(old) ||
    isTerminal(pod) !== isTerminal(old) ||
    pod.metadata.deletionTimestamp !== old.metadata.deletionTimestamp ||
    pod.spec?.nodeName !== old.spec?.nodeName ||
    !sameApartFromZeros(pod.status?.podIPs, old.status?.podIPs)
  );
}
