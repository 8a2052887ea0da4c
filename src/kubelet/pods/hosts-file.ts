import { readFileSync } from 'node:fs';
import type { Pod } from '#api/core/v1/pod.ts';

/** The content of a pod's /etc/hosts. */
export function hostsFile(pod: Pod, podIps: readonly string[], clusterDomain: string, hostFile = '/etc/hosts'): string {
  const { hostNetwork, hostAliases = [] } = pod.spec ?? {};
  const base = hostNetwork ? nodeHosts(hostFile) : podHosts(pod, podIps, clusterDomain);
  if (hostAliases.length === 0) return base;
  const lines = hostAliases.map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join('\t')}\n`);
  return `${base}\n# Entries added by HostAliases.\n${lines.join('')}`;
}

function podHosts(pod: Pod, podIps: readonly string[], clusterDomain: string): string {
  const { hostname, domain } = hostNames(pod, clusterDomain);
  const names = domain === '' ? hostname : `${hostname}.${domain}\t${hostname}`;
  return [
    '# Kubernetes-managed hosts file.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'fe00::0\tip6-mcastprefix',
    'fe00::1\tip6-allnodes',
    'fe00::2\tip6-allrouters',
    ...podIps.map(ip => `${ip}\t${names}`),
    '',
  ].join('\n');
}

function nodeHosts(file: string): string {
  const header = '# Kubernetes-managed hosts file (host network).\n';
  try {
    return header + readFileSync(file, 'utf8');
  } catch {
    // A node without the file has nothing to hand on.
    return header;
  }
}

/** The kernel's bound on a host name. */
const hostnameMax = 63;

export function hostNames(pod: Pod, clusterDomain: string): { readonly hostname: string; readonly domain: string } {
  const { hostname, hostnameOverride, subdomain } = pod.spec ?? {};
  if (hostnameOverride) return { hostname: hostnameOverride, domain: '' };
  const name = hostname || (pod.metadata.name ?? '').slice(0, hostnameMax).replace(/[-.]+$/, '');
  const domain = subdomain ? `${subdomain}.${pod.metadata.namespace}.svc.${clusterDomain}` : '';
  return { hostname: name, domain };
}
