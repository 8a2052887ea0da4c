import { existsSync, linkSync, mkdirSync, readFileSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { identifyProcess, isAlive, type ProcessIdentity } from '#base/kernel/process.ts';
import type { ClusterConfig, DataDir } from './data-dir.ts';

/** Address ranges of a cluster on this machine. */
export type Ranges = Pick<ClusterConfig, 'podCIDR' | 'serviceCIDR' | 'serviceIP' | 'clusterDNS'>;

/** Kubernetes' usual ranges first; a second cluster beside the first takes the next. */
export const rangeChoices: readonly Ranges[] = Array.from({ length: 8 }, (_, index) => {
  const service = 96 + 16 * index;
  return {
    podCIDR: `10.${244 + index}.0.0/16`,
    serviceCIDR: `10.${service}.0.0/12`,
    serviceIP: `10.${service}.0.1`,
    clusterDNS: `10.${service}.0.10`,
  };
});

/** Clusters of this machine tell each other their ranges here, one file a range; the files go when they stop. */
const claims = '/run/windlass';

interface Claim extends Ranges {
  readonly dataDir: string;
  /** Who starts or supervises the cluster; a claim without a living holder counts for nothing. */
  readonly holder: ProcessIdentity;
}

/** Takes ranges that no other cluster and no interface of this machine uses. */
export function claimFreeRanges(own: DataDir): Ranges {
  const addresses = ipv4Addresses();
  const free = rangeChoices.find(
    choice => !addresses.some(address => covers(choice, address)) && claim(own, choice) === undefined,
  );
  if (!free) throw new Error('cannot find free address ranges: too many clusters run on this machine; stop one');
  return free;
}

/** Takes the ranges of a cluster for as long as this process lives, or until they are released. */
export function claimRanges(own: DataDir, ranges: Ranges): void {
  const other = claim(own, ranges);
  if (other)
    throw new Error(
      `cannot start: the cluster in ${other.dataDir} runs with the same addresses (${ranges.serviceCIDR}); stop it first`,
    );
}

export function releaseRanges(own: DataDir): void {
  for (const { file, claim: each } of readClaims()) if (each?.dataDir === own.path) rmSync(file, { force: true });
  try {
    rmdirSync(claims);
  } catch (error) {
    // Other clusters have theirs there.
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) throw error;
  }
}

/** Who has the ranges; `undefined` when it is this cluster now. */
function claim(own: DataDir, { podCIDR, serviceCIDR, serviceIP, clusterDNS }: Ranges): Claim | undefined {
  const holder = identifyProcess(process.pid);
  if (!holder) throw new Error('cannot claim address ranges: /proc does not show this process');
  const wanted: Claim = { podCIDR, serviceCIDR, serviceIP, clusterDNS, dataDir: own.path, holder };
  for (const { file, claim: other } of readClaims()) {
    if (!other || !overlaps(other, wanted)) continue;
    if (other.dataDir !== own.path && isAlive(other.holder)) return other;
    rmSync(file, { force: true });
  }
  mkdirSync(claims, { recursive: true });
  const file = join(claims, `${podCIDR.replace('/', '-')}.json`);
  const part = `${file}.${process.pid}`;
  writeFileSync(part, JSON.stringify(wanted));
  try {
    // Unlike a rename it fails when another cluster that starts just now was quicker.
    linkSync(part, file);
    return undefined;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return claim(own, wanted);
  } finally {
    rmSync(part);
  }
}

function readClaims(): readonly { readonly file: string; readonly claim: Claim | undefined }[] {
  if (!existsSync(claims)) return [];
  return readdirSync(claims)
    .filter(name => name.endsWith('.json'))
    .map(name => ({ file: join(claims, name), claim: readClaim(join(claims, name)) }));
}

function readClaim(file: string): Claim | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Claim;
  } catch (error) {
    // Released between the two looks.
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

function overlaps(a: Ranges, b: Ranges): boolean {
  return a.podCIDR === b.podCIDR || a.serviceCIDR === b.serviceCIDR;
}

/** Whether an address lies in one of the ranges, which all start at 10.x. */
function covers({ podCIDR, serviceCIDR }: Ranges, address: string): boolean {
  const [first, second = '0', third = '0'] = address.split('.');
  if (first !== '10') return false;
  const octet = Number(second);
  const pod = Number(podCIDR.split('.')[1]);
  const service = Number(serviceCIDR.split('.')[1]);
  // Nodes beside each other on one machine have addresses there (nodes.ts).
  const isOfNodes = octet === 252 && Number(third) === pod - 244;
  return octet === pod || isOfNodes || (octet >= service && octet < service + 16);
}

/** Addresses of this machine, without its loopback and without the bridges of clusters. */
export function ipv4Addresses(): readonly string[] {
  return Object.entries(networkInterfaces())
    .filter(([name]) => !/^(w[lnx]-|veth)/.test(name))
    .flatMap(([, addresses]) => addresses ?? [])
    .filter(each => each.family === 'IPv4' && !each.internal)
    .map(each => each.address);
}
