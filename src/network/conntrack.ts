import { spawnToEnd } from '#base/kernel/process.ts';
import type { Log } from '#base/log.ts';

/** Flows to forget: those to `address` and `port` (either may be left out) that were led to `target`. */
export interface FlowSelection {
  readonly protocol: 'udp' | 'sctp';
  readonly address?: string;
  readonly port?: number;
  /** Absent: whatever the target, also those that were led nowhere. */
  readonly target?: string;
}

const conntrackProcessesMax = 4;

/**
 * Makes the kernel forget flows, so that their next packet is judged by today's rules. A failure is logged and no more:
 * such flows end by themselves after some silence.
 */
export async function forgetConnections(flows: readonly FlowSelection[], log: Log): Promise<void> {
  for (let at = 0; at < flows.length; at += conntrackProcessesMax)
    await Promise.all(flows.slice(at, at + conntrackProcessesMax).map(flow => forget(flow, log)));
}

/** A flow of UDP that was led to another address than the one it was sent to. */
export interface LedFlow {
  readonly address: string;
  readonly port: number;
  readonly target: string;
}

/** The flows of UDP that are led somewhere now. A failure is logged: none. */
export async function listLedFlows(family: 4 | 6, log: Log): Promise<readonly LedFlow[]> {
  try {
    const { exitCode, stdout, stderr } = await spawnToEnd('conntrack', ['-L', '-f', `ipv${family}`, '-p', 'udp', '-g']);
    if (exitCode !== 0) throw new Error(stderr.toString().trim());
    const flows = stdout.toString().matchAll(/ src=\S+ dst=(\S+) sport=\d+ dport=(\d+) .*?src=(\S+) /g);
    return Array.from(flows, ([, address = '', port, target = '']) => ({ address, port: Number(port), target }));
  } catch (error) {
    log.warn('cannot list connections', { error });
    return [];
  }
}

async function forget({ protocol, address, port, target }: FlowSelection, log: Log): Promise<void> {
  const family = (address ?? target ?? '').includes(':') ? 'ipv6' : 'ipv4';
  const args = ['-D', '-f', family, '-p', protocol];
  if (address !== undefined) args.push('--orig-dst', address);
  if (port !== undefined) args.push('--orig-port-dst', String(port));
  if (target !== undefined) args.push('--dst-nat', target);
  try {
    const { exitCode, stderr } = await spawnToEnd('conntrack', args);
    const said = stderr.toString();
    // No match is an error to conntrack.
    if (exitCode !== 0 && !said.includes('0 flow entries')) throw new Error(said.trim());
  } catch (error) {
    log.warn('cannot forget connections', { protocol, address, port, target, error });
  }
}
