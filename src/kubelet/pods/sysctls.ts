import type { Pod } from '#api/core/v1/pod.ts';
import type { Waiting } from './decide.ts';

/** Those that concern nobody but the pod, as upstream lists them. */
const safe = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_wmem',
];

/** Why a pod may not have the sysctls it asks for. `allowed` are unsafe ones; a `*` at the end stands for the rest. */
export function sysctlRefusal({ spec }: Pod, allowed: readonly string[]): Waiting | undefined {
  for (const { name } of spec?.securityContext?.sysctls ?? []) {
    const dotted = name.replaceAll('/', '.');
    const why = refusalOf(dotted, spec?.hostNetwork === true, spec?.hostIPC === true, allowed);
    if (why !== undefined)
      return { reason: 'SysctlForbidden', message: `forbidden sysctl: ${JSON.stringify(name)} ${why}` };
  }
  return undefined;
}

function refusalOf(
  name: string,
  hostNetwork: boolean,
  hostIpc: boolean,
  allowed: readonly string[],
): string | undefined {
  const isListed = [...safe, ...allowed.map(each => each.replaceAll('/', '.'))].some(each =>
    each.endsWith('*') ? name.startsWith(each.slice(0, -1)) : name === each,
  );
  if (!isListed) return 'not allowlisted';
  if (name.startsWith('net.') && hostNetwork) return 'not allowed with host net enabled';
  if (/^(?:kernel\.(?:shm|msg|sem)|fs\.mqueue\.)/.test(name) && hostIpc) return 'not allowed with host ipc enabled';
  return undefined;
}
