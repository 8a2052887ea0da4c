import type { Random } from '#base/random.ts';
import { kinds } from '#api/kinds.ts';
import { resourceNameOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import type { Schema } from '#api/machinery/schema.ts';
import { between, happens, pick } from './chance.ts';

/** What of an object is not its metadata. */
type Body = Readonly<Record<string, unknown>>;

const image = { name: 'main', image: 'image:1', resources: { requests: { cpu: '50m', memory: '16Mi' } } };
/** A pod that any node takes. */
export const quick = { containers: [image], terminationGracePeriodSeconds: 5 };
const rule = { apiGroups: ['example.com'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['others'] };
const hook = {
  name: 'hook.example.com',
  clientConfig: { url: 'https://hook.example.com/' },
  rules: [rule],
  admissionReviewVersions: ['v1'],
  sideEffects: 'None',
};
const matched = { resourceRules: [rule] };
const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' };

/**
 * A valid object of every kind that users make, by resource: only what cannot be left out. It disturbs nothing: hooks and
 * policies are about a group that nobody serves.
 */
export const specimens: Readonly<Record<string, (random: Random, name: string, namespace: string) => Body>> = {
  configmaps: random => ({ data: { key: String(random.next()) } }),
  secrets: () => ({ stringData: { key: 'value' } }),
  serviceaccounts: () => ({}),
  endpoints: random => ({
    subsets: [{ addresses: [{ ip: `10.1.0.${between(random, 1, 250)}` }], ports: [{ port: 80 }] }],
  }),
  events: (_, __, namespace) => ({
    involvedObject: { kind: 'Pod', namespace, name: 'nothing' },
    reason: 'Simulated',
    type: 'Normal',
  }),
  limitranges: () => ({ spec: { limits: [{ type: 'Container', defaultRequest: { cpu: '10m' } }] } }),
  persistentvolumeclaims: random => ({
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'manual',
      resources: { requests: { storage: `${between(random, 1, 3)}Gi` } },
    },
  }),
  persistentvolumes: random => ({
    spec: {
      accessModes: ['ReadWriteOnce'],
      storageClassName: 'manual',
      capacity: { storage: `${between(random, 1, 5)}Gi` },
      hostPath: { path: '/simulated' },
      persistentVolumeReclaimPolicy: 'Retain',
    },
  }),
  pods: () => ({ spec: quick }),
  podtemplates: (_, name) => ({ template: { metadata: { labels: { app: name } }, spec: quick } }),
  replicationcontrollers: (random, name) => ({
    spec: {
      replicas: between(random, 0, 3),
      selector: { app: name },
      template: { metadata: { labels: { app: name } }, spec: quick },
    },
  }),
  services: random => ({
    spec: {
      ports: [{ port: between(random, 1, 1000) }],
      type: pick(random, ['ClusterIP', 'NodePort', 'LoadBalancer']),
    },
  }),
  'apiservices.apiregistration.k8s.io': (_, name) => ({
    metadata: { name: `v1.${name}.example.com` },
    spec: { group: `${name}.example.com`, version: 'v1', groupPriorityMinimum: 100, versionPriority: 10 },
  }),
  'controllerrevisions.apps': () => ({ revision: 1, data: { a: 1 } }),
  'replicasets.apps': (random, name) => ({
    spec: {
      replicas: between(random, 0, 3),
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: quick },
    },
  }),
  'horizontalpodautoscalers.autoscaling': random => ({
    spec: {
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'nothing' },
      maxReplicas: between(random, 1, 5),
    },
  }),
  'cronjobs.batch': random => ({
    spec: {
      schedule: `*/${between(random, 2, 9)} * * * *`,
      concurrencyPolicy: pick(random, ['Allow', 'Forbid', 'Replace']),
      jobTemplate: { spec: { template: { spec: { ...quick, restartPolicy: 'Never' } } } },
    },
  }),
  'certificatesigningrequests.certificates.k8s.io': () => ({
    spec: { request: certificateRequest, signerName: 'example.com/signer', usages: ['client auth'] },
  }),
  'ingressclasses.networking.k8s.io': () => ({ spec: { controller: 'example.com/controller' } }),
  'ingresses.networking.k8s.io': () => ({
    spec: { defaultBackend: { service: { name: 'web', port: { number: 80 } } } },
  }),
  'ipaddresses.networking.k8s.io': random => ({
    metadata: { name: `192.0.2.${between(random, 1, 250)}` },
    spec: { parentRef: { resource: 'services', namespace: 'default', name: 'kubernetes' } },
  }),
  'networkpolicies.networking.k8s.io': () => ({ spec: { podSelector: {} } }),
  'servicecidrs.networking.k8s.io': random => ({ spec: { cidrs: [`10.97.${between(random, 0, 250)}.0/24`] } }),
  'clusterrolebindings.rbac.authorization.k8s.io': () => ({
    roleRef,
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'nobody' }],
  }),
  'clusterroles.rbac.authorization.k8s.io': random =>
    happens(random, 0.5)
      ? { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { simulated: 'yes' } }] } }
      : {
          metadata: { labels: { simulated: 'yes' } },
          rules: [{ apiGroups: [''], resources: ['pods'], verbs: [pick(random, ['get', 'list', 'watch'])] }],
        },
  'rolebindings.rbac.authorization.k8s.io': () => ({
    roleRef,
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'nobody' }],
  }),
  'roles.rbac.authorization.k8s.io': () => ({ rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] }),
  'csidrivers.storage.k8s.io': () => ({ spec: { attachRequired: false } }),
  'csinodes.storage.k8s.io': (_, name) => ({ spec: { drivers: [{ name: 'example.com', nodeID: name }] } }),
  'csistoragecapacities.storage.k8s.io': () => ({ storageClassName: 'manual', capacity: '1Gi' }),
  'storageclasses.storage.k8s.io': () => ({ provisioner: 'kubernetes.io/no-provisioner' }),
  'volumeattachments.storage.k8s.io': () => ({
    spec: { attacher: 'example.com', nodeName: 'hollow-0', source: { persistentVolumeName: 'nothing' } },
  }),
  'volumeattributesclasses.storage.k8s.io': () => ({ driverName: 'example.com', parameters: { speed: 'high' } }),
  'mutatingadmissionpolicies.admissionregistration.k8s.io': () => ({
    spec: {
      matchConstraints: matched,
      reinvocationPolicy: 'Never',
      failurePolicy: 'Ignore',
      mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression: 'Object{}' } }],
    },
  }),
  'mutatingadmissionpolicybindings.admissionregistration.k8s.io': () => ({ spec: { policyName: 'nothing' } }),
  'mutatingwebhookconfigurations.admissionregistration.k8s.io': () => ({ webhooks: [hook] }),
  'validatingadmissionpolicies.admissionregistration.k8s.io': () => ({
    spec: { matchConstraints: matched, validations: [{ expression: 'object.metadata.name != "forbidden"' }] },
  }),
  'validatingadmissionpolicybindings.admissionregistration.k8s.io': () => ({
    spec: { policyName: 'nothing', validationActions: ['Deny'] },
  }),
  'validatingwebhookconfigurations.admissionregistration.k8s.io': () => ({ webhooks: [hook] }),
  'customresourcedefinitions.apiextensions.k8s.io': (_, name) => ({
    metadata: { name: `${name}s.example.com` },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: `${name}s`, kind: name.replace(/^[a-z]/, first => first.toUpperCase()).replaceAll('-', '') },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
    },
  }),
  'priorityclasses.scheduling.k8s.io': random => ({ value: between(random, 0, 100) }),
  'leases.coordination.k8s.io': random => ({
    spec: { holderIdentity: 'user', leaseDurationSeconds: between(random, 1, 60) },
  }),
  'runtimeclasses.node.k8s.io': () => ({ handler: 'runc' }),
  'endpointslices.discovery.k8s.io': random => ({
    addressType: 'IPv4',
    ports: [{ port: 80 }],
    endpoints: [{ addresses: [`10.1.0.${between(random, 1, 250)}`] }],
  }),
  'deviceclasses.resource.k8s.io': () => ({ spec: { selectors: [{ cel: { expression: 'true' } }] } }),
  'resourceclaims.resource.k8s.io': () => ({
    spec: { devices: { requests: [{ name: 'one', exactly: { deviceClassName: 'nothing' } }] } },
  }),
  'resourceclaimtemplates.resource.k8s.io': () => ({
    spec: { spec: { devices: { requests: [{ name: 'one', exactly: { deviceClassName: 'nothing' } }] } } },
  }),
  'resourceslices.resource.k8s.io': (_, name) => ({
    spec: {
      driver: 'example.com',
      allNodes: true,
      pool: { name, generation: 1, resourceSliceCount: 1 },
      devices: [{ name: 'device-0' }],
    },
  }),
  'flowschemas.flowcontrol.apiserver.k8s.io': () => ({
    spec: {
      priorityLevelConfiguration: { name: 'workload-low' },
      matchingPrecedence: 9000,
      rules: [
        {
          subjects: [{ kind: 'User', user: { name: 'nobody' } }],
          resourceRules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'], namespaces: ['*'] }],
        },
      ],
    },
  }),
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io': random => ({
    spec: {
      type: 'Limited',
      limited: { nominalConcurrencyShares: between(random, 1, 10), limitResponse: { type: 'Reject' } },
    },
  }),
};

/** Made by nobody, by the nodes, or by actions of the workload that know more of them. */
export const otherwiseMade: ReadonlySet<string> = new Set([
  'componentstatuses',
  'namespaces',
  'nodes',
  'deployments.apps',
  'statefulsets.apps',
  'daemonsets.apps',
  'jobs.batch',
  'poddisruptionbudgets.policy',
  'resourcequotas',
]);

/** Kinds that are served and stored, under their first version. */
export const storedKinds: ReadonlyMap<string, Kind> = new Map(
  kinds
    .filter(kind => kind.served && kind.plural !== '' && kind.verbs.includes('list') && !kind.storedAs)
    .map(kind => [resourceNameOf(kind), kind]),
);

/** An object of the kind: what has to be there and, by chance, what the schema allows beside that. */
export function specimenOf(
  kind: Kind,
  name: string,
  namespace: string,
  random: Random,
): { readonly plain: ApiObject; readonly adorned: ApiObject } {
  const body = specimens[resourceNameOf(kind)]?.(random, name, namespace) ?? {};
  const plain = { ...body, metadata: { name, ...(body['metadata'] as object | undefined) } };
  const adorned = structuredClone(plain) as Record<string, unknown>;
  for (let count = between(random, 0, 2); count > 0; count--)
    adorn(adorned, kind.schema, random, ['apiVersion', 'kind', 'metadata', 'status']);
  return { plain: plain as unknown as ApiObject, adorned: adorned as unknown as ApiObject };
}

/** Adds one value somewhere that the schema has and the object has not. */
function adorn(object: Record<string, unknown>, schema: Schema, random: Random, except: readonly string[] = []): void {
  const is = schema.type === 'lazy' ? schema.of() : schema;
  if (is.type !== 'object') return;
  const names = Object.keys(is.fields).filter(name => !except.includes(name));
  const name = pick(random, names);
  const field = name === undefined ? undefined : is.fields[name];
  if (name === undefined || !field) return;
  const inner = field.schema.type === 'lazy' ? field.schema.of() : field.schema;
  const there = object[name];
  if (inner.type === 'object') {
    const within = (typeof there === 'object' && there !== null ? there : {}) as Record<string, unknown>;
    adorn(within, inner, random);
    if (Object.keys(within).length > 0) object[name] = within;
  } else if (there === undefined) {
    const value = field.enum ? pick(random, field.enum) : valueOf(inner, random);
    if (value !== undefined) object[name] = value;
  }
}

function valueOf(schema: Schema, random: Random): unknown {
  switch (schema.type) {
    case 'string':
      return 'simulated';
    case 'int32':
    case 'int64':
      return between(random, 1, 100);
    case 'boolean':
      return happens(random, 0.5);
    case 'quantity':
      return `${between(random, 1, 100)}Mi`;
    case 'map':
      return schema.values.type === 'string' ? { simulated: 'yes' } : undefined;
    case 'list':
      return schema.items.type === 'string' ? ['simulated'] : undefined;
    default:
      return undefined;
  }
}

/** A request of `CN=simulated`, signed by its key; nobody looks at more of it than that it is one. */
export const certificateRequest =
  'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlITk1IWUNBUUF3RkRFU01CQUdBMVVFQXd3SmMybHRkV3hoZEdWa01Ga3dFd1lIS29aSXpqMENBUVlJS29aSQp6ajBEQVFjRFFnQUU4YjA2L3d5OFBiRWhMZ29vZDlZMnhZalZiTEQxYWlLZFhZd0EzNExlcHZJQ1FpTzhYS3E3CmE0Z3p0SVpZeFBBaVZ1OVNtMHNJTVNUN0FPOTk0OUJXT0tBQU1Bb0dDQ3FHU000OUJBTUNBMGNBTUVRQ0lBRTkKaDBESnBzTlNvcUMvRWJoclhvSnMxamNRakF1MXNDUHROdXBXZHdmYkFpQS9qQ2dEVzdkQUh6VHcxTFRKenBLKwoycXhPZGZ1QlpZNUtoakRXUUZsRUJ3PT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==';
