import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { kinds } from '#api/kinds.ts';
import { apiVersionOf, type Kind } from '#api/machinery/kind.ts';
import type { Json, JsonObject } from '#api/machinery/schema.ts';

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'web',
    namespace: 'default',
    labels: { app: 'web', tier: 'front' },
    annotations: { 'example.com/a': '1' },
    finalizers: ['example.com/one', 'example.com/two'],
    creationTimestamp: '2026-01-01T00:00:00Z',
    ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'rs', uid: 'u1', controller: true }],
  },
  spec: {
    containers: [
      {
        name: 'main',
        image: 'nginx:1',
        args: ['-a', '-b'],
        env: [
          { name: 'A', value: '1' },
          { name: 'B', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
        ],
        ports: [
          { containerPort: 80, protocol: 'TCP', name: 'http' },
          { containerPort: 80, protocol: 'UDP' },
        ],
        resources: { limits: { cpu: '500m', memory: '1Gi' }, requests: { cpu: '0.1' } },
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
        livenessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 5 },
      },
      { name: 'side', image: 'busybox' },
    ],
    volumes: [
      { name: 'data', emptyDir: { sizeLimit: '1Gi' } },
      { name: 'config', configMap: { name: 'settings', items: [{ key: 'a', path: 'a' }] } },
    ],
    tolerations: [{ key: 'k', operator: 'Exists', effect: 'NoSchedule', tolerationSeconds: 30 }],
    nodeSelector: { zone: 'a' },
    imagePullSecrets: [{ name: 'one' }, { name: 'two' }],
    hostAliases: [{ ip: '10.0.0.1', hostnames: ['a', 'b'] }],
    topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule' }],
  },
};

/** Small objects that between them have every kind of list, map and scalar. */
export const samples: readonly JsonObject[] = [
  pod,
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      replicas: 2,
      selector: {
        matchLabels: { app: 'web' },
        matchExpressions: [{ key: 'tier', operator: 'In', values: ['a', 'b'] }],
      },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: 1 } },
      template: { metadata: { labels: { app: 'web' } }, spec: pod.spec },
    },
    status: {
      replicas: 2,
      conditions: [{ type: 'Available', status: 'True', lastUpdateTime: '2026-01-01T00:00:00Z' }],
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      selector: { app: 'web' },
      ports: [
        { name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' },
        { name: 'dns', port: 80, targetPort: 'dns', protocol: 'UDP' },
      ],
      externalIPs: ['192.0.2.1'],
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 10 } },
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'secret', namespace: 'default' },
    data: { a: 'AAAA', b: '' },
    immutable: true,
    type: 'Opaque',
  },
  {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'node' },
    spec: {
      taints: [{ key: 'a', effect: 'NoSchedule', timeAdded: '2026-01-01T00:00:00Z' }],
      podCIDRs: ['10.0.0.0/24'],
    },
    status: {
      capacity: { cpu: '4', memory: '8Gi' },
      addresses: [
        { type: 'InternalIP', address: '10.0.0.1' },
        { type: 'Hostname', address: 'node' },
      ],
      conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: '2026-01-01T00:00:00Z' }],
      images: [{ names: ['a', 'b'], sizeBytes: 9_007_199_254_740_991 }],
    },
  },
  {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'lease', namespace: 'default' },
    spec: { holderIdentity: 'me', leaseDurationSeconds: 15, renewTime: '2026-01-01T00:00:00.123456Z' },
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'role', namespace: 'default' },
    rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] }],
  },
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name: 'web', namespace: 'default' },
    spec: {
      rules: [
        {
          host: 'a.b',
          http: {
            paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { number: 80 } } } }],
          },
        },
      ],
    },
  },
];

const kindsByName = new Map(kinds.map(kind => [`${apiVersionOf(kind)}/${kind.kind}`, kind]));
const fallback = kindsByName.get('v1/Pod') as Kind;

/** The kind that an input names; Pod, when it names none. */
export function kindOf(value: Json | undefined): Kind {
  if (typeof value !== 'object' || value === null) return fallback;
  const { apiVersion, kind } = value as JsonObject;
  return kindsByName.get(`${String(apiVersion)}/${String(kind)}`) ?? fallback;
}

const testdata = join(import.meta.dirname, '../../../../shared/reference/kubernetes-1.36/testdata');

/** Upstream's golden objects of these kinds, where they lie beside the project. */
export function goldenObjects(extension: 'json' | 'pb' | 'yaml'): readonly Buffer[] {
  return samples
    .map(sample => kindOf(sample))
    .map(({ group, version, kind }) => join(testdata, `${group || 'core'}.${version}.${kind}.${extension}`))
    .filter(file => existsSync(file))
    .map(file => readFileSync(file));
}

/** Freezes a value all the way down: whoever changes it throws. */
export function frozen<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const each of Object.values(value)) frozen(each);
  }
  return value;
}

/** What a strategic merge patch is made of. */
export const strategicWords = [
  '$patch',
  '$retainKeys',
  '$setElementOrder/containers',
  '$deleteFromPrimitiveList/finalizers',
  'replace',
  'delete',
  'merge',
  'containers',
  'name',
  'ports',
  'containerPort',
  'env',
  'volumes',
  'finalizers',
] as const;
