/** Linux packages: which are needed, which are missing, and how to get them. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, resolve } from 'node:path';

export interface Package {
  /** A program on the PATH, or an absolute path, that shows that it is there. */
  readonly command: string;
  readonly debian: string;
}

/** What real containers and pod networks need. */
export const nodePackages: readonly Package[] = [
  { command: 'crun', debian: 'crun' },
  { command: 'conmon', debian: 'conmon' },
  { command: 'nft', debian: 'nftables' },
  { command: 'ip', debian: 'iproute2' },
  { command: 'conntrack', debian: 'conntrack' },
  { command: 'iptables', debian: 'iptables' },
];

/** What Ingresses and Gateways need. */
export const proxyPackages: readonly Package[] = [{ command: 'haproxy', debian: 'haproxy' }];

export function missing(packages: readonly Package[]): readonly Package[] {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin'];
  return packages.filter(({ command }) => !folders.some(folder => existsSync(resolve(folder, command))));
}

/** What is missing, as a sentence with the remedy. */
export function lackOf(packages: readonly Package[], purpose: string): string | undefined {
  const names = missing(packages)
    .map(each => each.debian)
    .join(' ');
  if (names === '') return undefined;
  return existsSync('/usr/bin/apt-get')
    ? `${names} missing: run \`sudo apt-get install ${names}\` for ${purpose}.`
    : `${names} missing: install them with this system's package manager for ${purpose}.`;
}

/** Installs what is missing when it may; otherwise one sentence that says what is missing and what to do. */
export function installPackages(packages: readonly Package[], purpose = 'real containers'): string | undefined {
  const absent = missing(packages);
  if (absent.length === 0) return undefined;
  const names = absent.map(each => each.debian).join(' ');
  if (process.platform !== 'linux') return `${purpose} need Linux; without it nodes are simulated.`;
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return lackOf(packages, purpose);
  process.stderr.write(`windlass: installing ${names} …\n`);
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args: string[]) => spawnSync('apt-get', args, { env: environment, encoding: 'utf8' });
  const install = () => apt('install', '-y', '-qq', '--no-install-recommends', ...absent.map(each => each.debian));
  let done = install();
  if (done.status !== 0) {
    apt('update', '-qq');
    done = install();
  }
  const left = missing(packages);
  if (left.length === 0) return undefined;
  const reason = (done.stderr || '').trim().split('\n').at(-1) ?? '';
  return `cannot install ${left.map(each => each.debian).join(' ')}: ${reason}`;
}
