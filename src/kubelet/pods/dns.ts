import { readFileSync } from 'node:fs';
import type { Pod } from '#api/core/v1/pod.ts';
import type { DnsConfig } from '#runtime/runtime.ts';

export interface ClusterDns {
  readonly servers: readonly string[];
  readonly domain: string;
}

/** What stands in the pod's resolv.conf. */
export function dnsOf(pod: Pod, cluster: ClusterDns, host: DnsConfig): DnsConfig {
  const { dnsPolicy = 'ClusterFirst', dnsConfig, hostNetwork } = pod.spec ?? {};
  const usesCluster = dnsPolicy === 'ClusterFirstWithHostNet' || (dnsPolicy === 'ClusterFirst' && !hostNetwork);
  const base =
    dnsPolicy === 'None' ? emptyDns : usesCluster && cluster.servers.length > 0 ? clusterDns(pod, cluster, host) : host;
  if (!dnsConfig) return base;
  const options = new Map(base.options.map(option => [option.split(':')[0] ?? option, option]));
  for (const { name = '', value } of dnsConfig.options ?? [])
    options.set(name, value === undefined || value === '' ? name : `${name}:${value}`);
  return {
    servers: unique([...base.servers, ...(dnsConfig.nameservers ?? [])]),
    searches: unique([...base.searches, ...(dnsConfig.searches ?? [])]),
    options: [...options.values()],
  };
}

const emptyDns: DnsConfig = { servers: [], searches: [], options: [] };

function clusterDns(pod: Pod, { servers, domain }: ClusterDns, host: DnsConfig): DnsConfig {
  const own = [`${pod.metadata.namespace}.svc.${domain}`, `svc.${domain}`, domain];
  return { servers, searches: unique([...own, ...host.searches]), options: ['ndots:5'] };
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}

/** The node's own resolver. A file that is not there means none. */
export function hostDns(file: string): DnsConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // No resolver on this node: pods with the policy Default get none either.
    return emptyDns;
  }
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === 'nameserver' && values[0]) servers.push(values[0]);
    if (keyword === 'search') searches = values.filter(value => value !== '.');
    if (keyword === 'options') options = [...options, ...values];
  }
  return { servers, searches, options };
}
