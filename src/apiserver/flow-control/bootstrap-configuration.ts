import {
  FlowSchema,
  type FlowSchemaSpec,
  type PolicyRulesWithSubjects,
  type Subject,
} from '#api/flowcontrol/v1/flow-schema.ts';
import { mandatoryLevels, mandatorySchemas } from '#api/flowcontrol/v1/mandatory.ts';
import {
  PriorityLevelConfiguration,
  type PriorityLevelConfigurationSpec,
} from '#api/flowcontrol/v1/priority-level-configuration.ts';
import { wellKnownGroups } from '#auth/user.ts';

/** `true` on what the server keeps as it ships it. */
export const autoUpdateAnnotation = 'apf.kubernetes.io/autoupdate-spec';

export interface PriorityLevelPreset {
  readonly name: string;
  readonly spec: PriorityLevelConfigurationSpec;
  /** Is put right whatever its annotation says; and counts even while nobody has stored it. */
  readonly mandatory: boolean;
}

export interface FlowSchemaPreset {
  readonly name: string;
  readonly spec: FlowSchemaSpec;
  readonly mandatory: boolean;
}

/** Upstream's levels of v1.36. */
export const priorityLevelPresets: readonly PriorityLevelPreset[] = [
  { name: 'exempt', mandatory: true, spec: mandatoryLevels.exempt },
  { name: 'catch-all', mandatory: true, spec: mandatoryLevels['catch-all'] },
  queued('system', 30, 33, 64, 6),
  queued('node-high', 40, 25, 64, 6),
  queued('leader-election', 10, 0, 16, 4),
  queued('workload-high', 40, 50, 128, 6),
  queued('workload-low', 100, 90, 128, 6),
  queued('global-default', 20, 50, 128, 6),
];

const { nodes, authenticated, unauthenticated, serviceAccounts } = wellKnownGroups;

const everyResource = resource(['*'], ['*'], ['*'], true);
const everyPath = { verbs: ['*'], nonResourceURLs: ['*'] };
const everything = { resourceRules: [everyResource], nonResourceRules: [everyPath] };

/** Upstream's schemas of v1.36, in the order in which they are tried. */
export const flowSchemaPresets: readonly FlowSchemaPreset[] = [
  { name: 'exempt', mandatory: true, spec: mandatorySchemas.exempt },
  schema('probes', 'exempt', 2, undefined, {
    subjects: groups(unauthenticated, authenticated),
    nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/healthz', '/readyz', '/livez'] }],
  }),
  schema('system-leader-election', 'leader-election', 100, 'ByUser', {
    subjects: [...users('system:kube-controller-manager', 'system:kube-scheduler'), kubeSystemServiceAccounts()],
    resourceRules: [resource(['get', 'create', 'update'], ['coordination.k8s.io'], ['leases'], false)],
  }),
  schema('system-node-high', 'node-high', 400, 'ByUser', {
    subjects: groups(nodes),
    resourceRules: [
      resource(['*'], [''], ['nodes', 'nodes/status'], true),
      resource(['*'], ['coordination.k8s.io'], ['leases'], false),
    ],
  }),
  schema('system-nodes', 'system', 500, 'ByUser', { subjects: groups(nodes), ...everything }),
  schema('kube-controller-manager', 'workload-high', 800, 'ByNamespace', {
    subjects: users('system:kube-controller-manager'),
    ...everything,
  }),
  schema('kube-scheduler', 'workload-high', 800, 'ByNamespace', {
    subjects: users('system:kube-scheduler'),
    ...everything,
  }),
  schema('kube-system-service-accounts', 'workload-high', 900, 'ByNamespace', {
    subjects: [kubeSystemServiceAccounts()],
    ...everything,
  }),
  schema('service-accounts', 'workload-low', 9_000, 'ByUser', { subjects: groups(serviceAccounts), ...everything }),
  schema('global-default', 'global-default', 9_900, 'ByUser', {
    subjects: groups(unauthenticated, authenticated),
    ...everything,
  }),
  { name: 'catch-all', mandatory: true, spec: mandatorySchemas['catch-all'] },
];

/** What counts while nothing of that name is stored. */
export function imaginedLevel(name: string): PriorityLevelConfiguration {
  const preset = priorityLevelPresets.find(each => each.name === name) as PriorityLevelPreset;
  return { metadata: { name }, spec: preset.spec } as unknown as PriorityLevelConfiguration;
}

export function imaginedSchema(name: string): FlowSchema {
  const preset = flowSchemaPresets.find(each => each.name === name) as FlowSchemaPreset;
  return { metadata: { name }, spec: preset.spec } as unknown as FlowSchema;
}

function queued(
  name: string,
  nominalConcurrencyShares: number,
  lendablePercent: number,
  queues: number,
  handSize: number,
): PriorityLevelPreset {
  const limitResponse = { type: 'Queue', queuing: { queues, handSize, queueLengthLimit: 50 } };
  const limited = { nominalConcurrencyShares, lendablePercent, limitResponse };
  return { name, mandatory: false, spec: { type: 'Limited', limited } };
}

function schema(
  name: string,
  level: string,
  matchingPrecedence: number,
  distinguisher: 'ByUser' | 'ByNamespace' | undefined,
  rule: PolicyRulesWithSubjects,
): FlowSchemaPreset {
  return {
    name,
    mandatory: false,
    spec: {
      priorityLevelConfiguration: { name: level },
      matchingPrecedence,
      ...(distinguisher && { distinguisherMethod: { type: distinguisher } }),
      rules: [rule],
    },
  };
}

function resource(verbs: string[], apiGroups: string[], resources: string[], clusterScope: boolean) {
  return { verbs, apiGroups, resources, namespaces: ['*'], ...(clusterScope && { clusterScope }) };
}

function groups(...names: string[]): Subject[] {
  return names.map(name => ({ kind: 'Group', group: { name } }));
}

function users(...names: string[]): Subject[] {
  return names.map(name => ({ kind: 'User', user: { name } }));
}

function kubeSystemServiceAccounts(): Subject {
  return { kind: 'ServiceAccount', serviceAccount: { name: '*', namespace: 'kube-system' } };
}
