import { Namespace } from '#api/core/v1/namespace.ts';
import { Service } from '#api/core/v1/service.ts';
import { ServiceCIDR } from '#api/networking/v1/service-cidr.ts';
import { PriorityClass } from '#api/scheduling/v1/priority-class.ts';
import type { Client } from '#client/client.ts';
import { type Advertised, writeEndpoints } from './endpoint-leases.ts';
import type { Seed } from './seed.ts';

export interface BootstrapOptions {
  readonly serviceCIDR: string;
  /** The first address of the service range: the `kubernetes` Service's. */
  readonly serviceIP: string;
  /** Where the API server is reached behind that Service; absent where only this machine reaches it. */
  readonly advertise: Advertised | undefined;
  /** The only API server: the Service's endpoints are its address. */
  readonly isAlone: boolean;
}

const namespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

const priorityClasses = [
  { name: 'system-node-critical', value: 2_000_001_000, description: 'Must run on this very node.' },
  { name: 'system-cluster-critical', value: 2_000_000_000, description: 'Must run in the cluster, on whatever node.' },
];

/** Makes the objects that every cluster begins with, and brings the API server's own address up to date. */
export async function ensureBootstrapObjects(client: Client, seed: Seed, options: BootstrapOptions): Promise<void> {
  await Promise.all([
    ...namespaces.map(name => seed(Namespace, { metadata: { name } })),
    // Before the first Service gets an address.
    seed(ServiceCIDR, {
      metadata: { name: 'kubernetes' },
      spec: { cidrs: options.serviceCIDR.split(',').map(cidr => cidr.trim()) },
    }),
  ]);
  await Promise.all([
    ...priorityClasses.map(({ name, value, description }) =>
      seed(PriorityClass, { metadata: { name }, value, description }),
    ),
    ensureKubernetesService(client, seed, options),
  ]);
}

async function ensureKubernetesService(
  client: Client,
  seed: Seed,
  { serviceIP, advertise, isAlone }: BootstrapOptions,
): Promise<void> {
  const labels = { component: 'apiserver', provider: 'kubernetes' };
  const port = { name: 'https', port: 443, protocol: 'TCP', targetPort: advertise?.port ?? 443 };
  const service = {
    metadata: { name: 'kubernetes', namespace: 'default', labels },
    spec: {
      type: 'ClusterIP',
      clusterIP: serviceIP,
      clusterIPs: [serviceIP],
      ports: [port],
      sessionAffinity: 'None',
    },
  } as const;
  // Brought up to date where it is there: the server may be reached elsewhere since.
  if (!(await seed(Service, service)))
    await client.patch(Service, 'kubernetes', { type: 'merge', patch: service }, { namespace: 'default' });
  if (advertise && isAlone) await writeEndpoints(client, [advertise.address], advertise.port);
}
