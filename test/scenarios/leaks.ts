import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { dataDirAt } from '../../src/cluster/data-dir.ts';

/**
 * What a cluster that was stopped has left on this machine, as one line each: processes, mounts, network namespaces,
 * links, nftables tables, iptables rules, control groups, its claim on address ranges. Empty: nothing.
 */
export function leftBehind(dataDir: string, nodeNames: readonly string[] = []): readonly string[] {
  const { path, id } = dataDirAt(dataDir);
  // The first node carries the cluster's id, the others one of their own.
  const ids = [id, ...nodeNames.map(name => createHash('sha256').update(`${path}\0${name}`).digest('hex').slice(0, 6))];
  const ours = (text: string) => text.includes(path) || ids.some(each => text.includes(`windlass-${each}`));
  const ourLink = (text: string) => ids.some(each => new RegExp(`w[lnx]-${each}|w[nv]${each}`).test(text));
  const ourTable = (text: string) => ids.some(each => new RegExp(`(windlass|w[lnx])-${each}`).test(text));
  return [
    ...processes().filter(ours),
    ...lines(readFileSync('/proc/self/mountinfo', 'utf8'))
      .filter(ours)
      .map(line => `mount: ${line}`),
    ...namedNamespaces().filter(ourLink),
    ...lines(output('ip', ['-o', 'link', 'show']))
      .filter(ourLink)
      .map(line => `link: ${line}`),
    ...Object.keys(networkInterfaces())
      .filter(ourLink)
      .map(name => `interface: ${name}`),
    ...lines(output('nft', ['list', 'tables']))
      .filter(ourTable)
      .map(line => `nftables: ${line}`),
    ...['iptables', 'ip6tables']
      .flatMap(tool => lines(output(tool, ['-w', '-S'])).map(line => `${tool}: ${line}`))
      .filter(ourLink),
    ...ids.flatMap(each =>
      globSync([`/sys/fs/cgroup/windlass-${each}`, `/sys/fs/cgroup/*/windlass-${each}`]).map(path => `cgroup: ${path}`),
    ),
    ...globSync('/run/windlass/*').filter(file => readFileSync(file, 'utf8').includes(path)),
  ];
}

/** Every process with its arguments, and its control group: a container's do not tell where it comes from. */
function processes(): readonly string[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap(pid => {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        return [`process ${pid}: ${words} in ${lines(readFileSync(`/proc/${pid}/cgroup`, 'utf8')).at(0) ?? ''}`];
      } catch {
        // It ended while we looked.
        return [];
      }
    });
}

function namedNamespaces(): readonly string[] {
  return ['/run/netns', '/var/run/netns']
    .filter(existsSync)
    .flatMap(directory => readdirSync(directory).map(name => `network namespace: ${directory}/${name}`));
}

function output(command: string, args: readonly string[]): string {
  return execFileSync(command, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
}

function lines(text: string): readonly string[] {
  return text.split('\n').filter(line => line !== '');
}
