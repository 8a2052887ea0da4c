import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { ClusterConfig, DataDir } from './data-dir.ts';
import { livePid, dataDirAt } from './data-dir.ts';

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

/** Running clusters of this machine tell each other their ranges here; the files go when they stop. */
const claims = '/run/windlass';

interface Claim extends Ranges {
  readonly dataDir: string;
}

/** Ranges that no other running cluster and no interface of this machine uses. */
export function freeRanges(own: DataDir): Ranges {
  const taken = otherClaims(own);
  const addresses = ipv4Addresses();
  const free = rangeChoices.find(
    choice => !taken.some(claim => overlaps(claim, choice)) && !addresses.some(address => covers(choice, address)),
  );
  if (!free) throw new Error(`cannot find free address ranges: ${taken.length} clusters run on this machine; stop one`);
  return free;
}

/** Claims the ranges for as long as the cluster runs. */
export function claimRanges(own: DataDir, ranges: Ranges): void {
  const other = otherClaims(own).find(claim => overlaps(claim, ranges));
  if (other)
    throw new Error(
      `cannot start: the cluster in ${other.dataDir} runs with the same addresses (${ranges.serviceCIDR}); stop it first`,
    );
  mkdirSync(claims, { recursive: true });
  writeFileSync(join(claims, `${own.id}.json`), JSON.stringify({ dataDir: own.path, ...ranges }));
}

export function releaseRanges(own: DataDir): void {
  rmSync(join(claims, `${own.id}.json`), { force: true });
  if (existsSync(claims) && readdirSync(claims).length === 0) rmSync(claims, { recursive: true, force: true });
}

function otherClaims(own: DataDir): readonly Claim[] {
  if (!existsSync(claims)) return [];
  return readdirSync(claims)
    .filter(name => name !== `${own.id}.json`)
    .flatMap(name => {
      const claim = JSON.parse(readFileSync(join(claims, name), 'utf8')) as Claim;
      return livePid(dataDirAt(claim.dataDir), 'supervisor') === undefined ? [] : [claim];
    });
}

function overlaps(a: Ranges, b: Ranges): boolean {
  return a.podCIDR === b.podCIDR || a.serviceCIDR === b.serviceCIDR;
}

/** Whether an address lies in one of the ranges, which all start at 10.x. */
function covers({ podCIDR, serviceCIDR }: Ranges, address: string): boolean {
  const [first, second = '0'] = address.split('.');
  if (first !== '10') return false;
  const octet = Number(second);
  const pod = Number(podCIDR.split('.')[1]);
  const service = Number(serviceCIDR.split('.')[1]);
  return octet === pod || (octet >= service && octet < service + 16);
}

/** Addresses of this machine, without its loopback and without the bridges of clusters. */
export function ipv4Addresses(): readonly string[] {
  return Object.entries(networkInterfaces())
    .filter(([name]) => !name.startsWith('wl-') && !name.startsWith('veth'))
    .flatMap(([, addresses]) => addresses ?? [])
    .filter(each => each.family === 'IPv4' && !each.internal)
    .map(each => each.address);
}
