import { addressAt, formatIp, parseCidr } from '#base/ip.ts';
import type { Log } from '#base/log.ts';
import { Node } from '#api/core/v1/node.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { isReason } from '#api/machinery/errors.ts';
import { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import { RoleBinding } from '#api/rbac/v1/role-binding.ts';
import { Role } from '#api/rbac/v1/role.ts';
import type { Client } from '#client/client.ts';
import { createIfAbsent, createOrPatch } from '#client/ensure.ts';
import type { Informers } from '#client/informers.ts';
import { corefileConfigMap } from '#dns/corefile-config-map.ts';

/** Node agents that serve DNS on their bridge say so with this label. */
export const dnsNodeLabel = 'windlass.dev/dns';

const namespace = 'kube-system';
const name = 'kube-dns';
const ports = [
  { name: 'dns', port: 53, protocol: 'UDP' },
  { name: 'dns-tcp', port: 53, protocol: 'TCP' },
];

/** Who runs the service proxy and DNS on a node; upstream's role for proxies is bound to this name. */
export const networkUser = 'system:kube-proxy';

/**
 * The Service `kube-dns` with one EndpointSlice for each node whose agent serves DNS, and the permissions of those agents.
 * The address is the node's own on its pod network: the first of its range.
 */
export async function keepDnsService(
  { client, informers, log }: { readonly client: Client; readonly informers: Informers; readonly log: Log },
  clusterDNS: string,
): Promise<void> {
  await Promise.all([
    createIfAbsent(client, ClusterRole, {
      metadata: { name: 'system:coredns' },
      rules: [
        {
          apiGroups: [''],
          resources: ['endpoints', 'services', 'pods', 'namespaces', 'nodes'],
          verbs: ['list', 'watch'],
        },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
      ],
    }),
    createIfAbsent(client, ClusterRoleBinding, {
      metadata: { name: 'system:coredns' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:coredns' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: networkUser }],
    }),
    // The Corefile, when somebody writes one; no other ConfigMap.
    createIfAbsent(client, Role, {
      metadata: { name: 'system:coredns', namespace },
      rules: [
        {
          apiGroups: [''],
          resources: ['configmaps'],
          resourceNames: [corefileConfigMap.name],
          verbs: ['get', 'list', 'watch'],
        },
      ],
    }),
    createIfAbsent(client, RoleBinding, {
      metadata: { name: 'system:coredns', namespace },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'system:coredns' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: networkUser }],
    }),
    createIfAbsent(client, Service, {
      metadata: {
        name,
        namespace,
        labels: { 'k8s-app': name, 'kubernetes.io/cluster-service': 'true', 'kubernetes.io/name': 'CoreDNS' },
      },
      spec: { clusterIP: clusterDNS, ports: ports.map(port => ({ ...port, targetPort: 53 })) },
    }),
  ]);
  const update = (node: Node) => {
    publish(client, node).catch((error: unknown) =>
      log.warn('cannot publish the DNS of a node', { node: node.metadata.name, error }),
    );
  };
  informers.of(Node).subscribe({
    added: update,
    updated(node, old) {
      if (addressOf(node) !== addressOf(old) || isReady(node) !== isReady(old)) update(node);
    },
    deleted(node) {
      client.delete(EndpointSlice, sliceName(node), { namespace }).catch((error: unknown) => {
        if (!isReason(error, 'NotFound'))
          log.warn('cannot withdraw the DNS of a node', { node: node.metadata.name, error });
      });
    },
  });
}

async function publish(client: Client, node: Node): Promise<void> {
  const address = addressOf(node);
  if (address === undefined) return;
  const ready = isReady(node);
  const slice = {
    metadata: {
      namespace,
      name: sliceName(node),
      labels: { 'kubernetes.io/service-name': name, 'endpointslice.kubernetes.io/managed-by': 'windlass' },
    },
    addressType: address.includes(':') ? 'IPv6' : 'IPv4',
    endpoints: [
      {
        addresses: [address],
        nodeName: node.metadata.name ?? '',
        conditions: { ready, serving: ready, terminating: false },
        // Pods ask the node they run on: the answer is a look-up away, and no policy stands between them.
        hints: { forNodes: [{ name: node.metadata.name ?? '' }] },
      },
    ],
    ports,
  };
  await createOrPatch(client, EndpointSlice, slice);
}

function addressOf({ metadata, spec }: Node): string | undefined {
  if (metadata.labels?.[dnsNodeLabel] !== 'true' || !spec.podCIDR) return undefined;
  const network = parseCidr(spec.podCIDR);
  return network && formatIp(addressAt(network, 1n));
}

function isReady({ status }: Node): boolean {
  return status.conditions?.some(each => each.type === 'Ready' && each.status === 'True') ?? false;
}

function sliceName({ metadata }: Node): string {
  return `${name}-${metadata.name}`;
}
