import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { Upstream } from './plugin.ts';

/** glibc reads no more. */
const serversMax = 3;

/** The name servers of a resolv.conf, without those that we are ourselves. */
export function parseResolvConf(text: string, ownAddresses: readonly string[]): readonly Upstream[] {
  return text
    .split('\n')
    .map(line => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? '')
    .filter(address => isIP(address) !== 0 && !ownAddresses.includes(address))
    .slice(0, serversMax)
    .map(address => ({ address, port: 53 }));
}

/**
 * The node's servers. Where systemd-resolved stands before them (127.0.0.53) it is passed over: it may ask us, and the
 * real ones are known.
 */
export function readUpstreams(ownAddresses: readonly string[]): readonly Upstream[] {
  const servers = parseResolvConf(read('/etc/resolv.conf'), ownAddresses);
  if (!servers.some(({ address }) => address === '127.0.0.53')) return servers;
  const behind = parseResolvConf(read('/run/systemd/resolve/resolv.conf'), ownAddresses);
  return behind.length > 0 ? behind : servers;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
    throw error;
  }
}
