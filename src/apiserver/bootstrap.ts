import { Endpoints } from '#api/core/v1/endpoints.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import { ServiceCIDR } from '#api/networking/v1/service-cidr.ts';
import { PriorityClass } from '#api/scheduling/v1/priority-class.ts';
import type { Client } from '#client/client.ts';

export interface BootstrapOptions {
  readonly serviceCIDR: string;
  /** The first address of the service range: the `kubernetes` Service's. */
  readonly serviceIP: string;
  /** Where the API server is reached behind that Service. */
  readonly advertise: { readonly address: string; readonly port: number };
}

const namespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

const priorityClasses = [
  { name: 'system-node-critical', value: 2_000_001_000, description: 'Must run on this very node.' },
  { name: 'system-cluster-critical', value: 2_000_000_000, description: 'Must run in the cluster, on whatever node.' },
];

/** Makes the objects that every cluster begins with, and brings the API server's own address up to date. */
export async function ensureBootstrapObjects(client: Client, options: BootstrapOptions): Promise<void> {
  await Promise.all(namespaces.map(name => createIfAbsent(client, Namespace, { metadata: { name } })));
  await Promise.all([
    ...priorityClasses.map(({ name, value, description }) =>
      createIfAbsent(client, PriorityClass, { metadata: { name }, value, description }),
    ),
    createIfAbsent(client, ServiceCIDR, { metadata: { name: 'kubernetes' }, spec: { cidrs: [options.serviceCIDR] } }),
    ensureKubernetesService(client, options),
  ]);
}

async function ensureKubernetesService(client: Client, { serviceIP, advertise }: BootstrapOptions): Promise<void> {
  const labels = { component: 'apiserver', provider: 'kubernetes' };
  const port = { name: 'https', port: 443, protocol: 'TCP', targetPort: advertise.port };
  await createOrPatch(client, Service, 'kubernetes', {
    metadata: { labels },
    spec: { type: 'ClusterIP', clusterIP: serviceIP, clusterIPs: [serviceIP], ports: [port], sessionAffinity: 'None' },
  });
  const ports = [{ name: 'https', port: advertise.port, protocol: 'TCP' }];
  await createOrPatch(client, Endpoints, 'kubernetes', {
    metadata: { labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
    subsets: [{ addresses: [{ ip: advertise.address }], ports }],
  });
  await createOrPatch(client, EndpointSlice, 'kubernetes', {
    metadata: { labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: advertise.address.includes(':') ? 'IPv6' : 'IPv4',
    endpoints: [{ addresses: [advertise.address], conditions: { ready: true } }],
    ports,
  });
}

async function createIfAbsent<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  object: Partly<Type>,
): Promise<void> {
  try {
    await client.create(kind, object);
  } catch (error) {
    if (!isReason(error, 'AlreadyExists')) throw error;
  }
}

/** In namespace default. A patch that changes nothing is not written. */
async function createOrPatch<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  name: string,
  object: Partly<Type>,
): Promise<void> {
  const where = { namespace: 'default' };
  try {
    await client.create(kind, { ...object, metadata: { ...object.metadata, name } } as Partly<Type>, where);
  } catch (error) {
    if (!isReason(error, 'AlreadyExists')) throw error;
    await client.patch(kind, name, { type: 'merge', patch: object }, where);
  }
}
