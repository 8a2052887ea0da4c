import { readFileSync } from 'node:fs';
import type { Capabilities } from '../runtime.ts';

/** In the kernel's order: the index is the capability's number. */
export const allCapabilities = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const;

/** What a container may do when nobody says otherwise; the same set as Docker's and containerd's. */
const defaultCapabilities: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
];

export interface CapabilitySets {
  readonly granted: readonly string[];
  readonly ambient: readonly string[];
}

/** Adds and drops, and leaves out what this process itself does not have and so cannot give. */
export function decideCapabilities(
  wanted: Capabilities | undefined,
  privileged: boolean,
  available: ReadonlySet<string>,
): CapabilitySets {
  const add = (wanted?.addCapabilities ?? []).map(fullName);
  const drop = new Set((wanted?.dropCapabilities ?? []).map(fullName));
  const ambient = (wanted?.addAmbientCapabilities ?? []).map(fullName);
  const granted = new Set<string>(privileged || add.includes('CAP_ALL') ? allCapabilities : defaultCapabilities);
  // As upstream: ALL first, the named ones after it, and a name that is added wins over a dropped ALL.
  if (drop.has('CAP_ALL') && !privileged) granted.clear();
  if (add.includes('CAP_ALL')) for (const name of allCapabilities) granted.add(name);
  for (const name of [...add, ...ambient]) if (name !== 'CAP_ALL') granted.add(name);
  for (const name of drop) granted.delete(name);
  const has = (name: string) => available.has(name);
  return { granted: [...granted].filter(has), ambient: ambient.filter(name => granted.has(name) && has(name)) };
}

/** The capabilities in this process's bounding set. */
export function availableCapabilities(): ReadonlySet<string> {
  const line = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  const bits = BigInt(`0x${line?.[1] ?? '0'}`);
  return new Set(allCapabilities.filter((_, number) => (bits >> BigInt(number)) & 1n));
}

function fullName(name: string): string {
  const upper = name.toUpperCase();
  return upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
}
