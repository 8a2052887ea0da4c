import { spawnToEnd } from '#base/kernel/process.ts';
import type { Log } from '#base/log.ts';

/**
 * Lets a bridge's traffic through where the host forwards nothing by default, as Docker sets it up: a table of our own
 * cannot allow what another one drops. Hosts whose filter lets everything through are left alone.
 */
export async function openFirewall(bridge: string, families: readonly (4 | 6)[], log: Log): Promise<void> {
  for (const family of families) {
    const tool = toolOf(family);
    const rules = await listForward(tool, log);
    if (rules === undefined || !isClosed(rules)) continue;
    for (const rule of rulesOf(bridge))
      if (!rules.includes(`-A FORWARD ${rule.join(' ')}`)) await run(tool, ['-w', '-I', 'FORWARD', ...rule], log);
  }
}

/** Takes those rules back. */
export async function closeFirewall(bridge: string, log: Log): Promise<void> {
  for (const family of [4, 6] as const) {
    const tool = toolOf(family);
    const rules = await listForward(tool, log);
    for (const rule of rulesOf(bridge))
      if (rules?.includes(`-A FORWARD ${rule.join(' ')}`)) await run(tool, ['-w', '-D', 'FORWARD', ...rule], log);
  }
}

function rulesOf(bridge: string): readonly (readonly string[])[] {
  return [
    ['-i', bridge, '-j', 'ACCEPT'],
    ['-o', bridge, '-j', 'ACCEPT'],
  ];
}

/** Drops by default, or has rules that may. */
function isClosed(rules: readonly string[]): boolean {
  return rules.some(rule => rule !== '-P FORWARD ACCEPT');
}

function toolOf(family: 4 | 6): string {
  return family === 4 ? 'iptables' : 'ip6tables';
}

/** `undefined` where there is no iptables: then nobody has used it to close the host. */
async function listForward(tool: string, log: Log): Promise<readonly string[] | undefined> {
  try {
    const { exitCode, stdout, stderr } = await spawnToEnd(tool, ['-w', '-S', 'FORWARD']);
    if (exitCode === 0) return stdout.toString().trimEnd().split('\n');
    log.warn('cannot read the firewall', { tool, said: stderr.toString().trim() });
  } catch (error) {
    log.debug('no iptables on this host', { tool, error });
  }
  return undefined;
}

async function run(tool: string, args: readonly string[], log: Log): Promise<void> {
  const { exitCode, stderr } = await spawnToEnd(tool, args);
  if (exitCode !== 0) log.warn('cannot change the firewall', { tool, args, said: stderr.toString().trim() });
}
