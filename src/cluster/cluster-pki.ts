import type { Clock } from '#base/clock.ts';
import { kubeconfigFor } from '#auth/certificates/kubeconfig.ts';
import { ensurePki, type Pki } from '#auth/certificates/pki.ts';
import { writeAtomically, type ClusterConfig, type DataDir } from './data-dir.ts';
import { networkUser } from './dns-service.ts';
import { localNodes, machineNames } from './nodes.ts';

/** The cluster's certificates, those of this machine's nodes among them, and the admin's kubeconfig. */
export async function openClusterPki(dir: DataDir, config: ClusterConfig, clock: Clock): Promise<Pki> {
  const nodes = localNodes(dir, config);
  const machine = machineNames();
  const { hosts } = machine;
  // The address that nodes of this machine call; its link may not be there yet.
  const ips = [...new Set([...machine.ips, ...nodes.slice(0, 1).flatMap(({ address }) => address ?? [])])];
  const pki = await ensurePki(dir.pki, {
    clock,
    hosts,
    ips,
    clusterName: 'windlass',
    clusterDomain: config.clusterDomain,
    serviceIp: config.serviceIP,
  });
  writeKubeconfig(dir, config, pki);
  for (const { name, place } of nodes) await pki.node(name, place ? { ips: [place.address] } : { hosts, ips });
  if (config.nodes > 0) await pki.client('kube-proxy', networkUser);
  return pki;
}

export function writeKubeconfig(dir: DataDir, config: ClusterConfig, pki: Pki): void {
  const server = `https://127.0.0.1:${config.port}`;
  writeAtomically(dir.kubeconfig, kubeconfigFor({ server, caPem: pki.ca.certPem, ...pki.admin, name: 'windlass' }));
}
