import { defineKind, type ObjectOf, statusMetadata } from '../../machinery/kind.ts';
import { boolean, int32, list, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { validateConditions, validateFlowSchema } from './flow-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const FlowDistinguisherMethod = object('io.k8s.api.flowcontrol.v1.FlowDistinguisherMethod', {
  type: string(1, { required: true, always: true }),
});
export type FlowDistinguisherMethod = TypeOf<typeof FlowDistinguisherMethod>;

export const PriorityLevelConfigurationReference = object(
  'io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationReference',
  {
    name: string(1, { required: true, always: true }),
  },
);
export type PriorityLevelConfigurationReference = TypeOf<typeof PriorityLevelConfigurationReference>;

export const NonResourcePolicyRule = object('io.k8s.api.flowcontrol.v1.NonResourcePolicyRule', {
  nonResourceURLs: list(6, types.string, { required: true, always: true, listType: 'set' }),
  verbs: list(1, types.string, { required: true, always: true, listType: 'set' }),
});
export type NonResourcePolicyRule = TypeOf<typeof NonResourcePolicyRule>;

export const ResourcePolicyRule = object('io.k8s.api.flowcontrol.v1.ResourcePolicyRule', {
  apiGroups: list(2, types.string, { required: true, always: true, listType: 'set' }),
  clusterScope: boolean(4),
  namespaces: list(5, types.string, { always: true, listType: 'set' }),
  resources: list(3, types.string, { required: true, always: true, listType: 'set' }),
  verbs: list(1, types.string, { required: true, always: true, listType: 'set' }),
});
export type ResourcePolicyRule = TypeOf<typeof ResourcePolicyRule>;

export const GroupSubject = object('io.k8s.api.flowcontrol.v1.GroupSubject', {
  name: string(1, { required: true, always: true }),
});
export type GroupSubject = TypeOf<typeof GroupSubject>;

export const ServiceAccountSubject = object('io.k8s.api.flowcontrol.v1.ServiceAccountSubject', {
  name: string(2, { required: true, always: true }),
  namespace: string(1, { required: true, always: true }),
});
export type ServiceAccountSubject = TypeOf<typeof ServiceAccountSubject>;

export const UserSubject = object('io.k8s.api.flowcontrol.v1.UserSubject', {
  name: string(1, { required: true, always: true }),
});
export type UserSubject = TypeOf<typeof UserSubject>;

export const Subject = object(
  'io.k8s.api.flowcontrol.v1.Subject',
  {
    group: struct(3, GroupSubject),
    kind: string(1, { required: true, always: true }),
    serviceAccount: struct(4, ServiceAccountSubject),
    user: struct(2, UserSubject),
  },
  {
    unions: [
      {
        discriminator: 'kind',
        'fields-to-discriminateBy': { group: 'Group', serviceAccount: 'ServiceAccount', user: 'User' },
      },
    ],
  },
);
export type Subject = TypeOf<typeof Subject>;

export const PolicyRulesWithSubjects = object('io.k8s.api.flowcontrol.v1.PolicyRulesWithSubjects', {
  nonResourceRules: list(3, NonResourcePolicyRule, { listType: 'atomic' }),
  resourceRules: list(2, ResourcePolicyRule, { listType: 'atomic' }),
  subjects: list(1, Subject, { required: true, always: true, listType: 'atomic' }),
});
export type PolicyRulesWithSubjects = TypeOf<typeof PolicyRulesWithSubjects>;

export const FlowSchemaSpec = object('io.k8s.api.flowcontrol.v1.FlowSchemaSpec', {
  distinguisherMethod: struct(3, FlowDistinguisherMethod),
  matchingPrecedence: int32(2, { always: true, default: 1000 }),
  priorityLevelConfiguration: struct(1, PriorityLevelConfigurationReference, { required: true, always: true }),
  rules: list(4, PolicyRulesWithSubjects, { listType: 'atomic' }),
});
export type FlowSchemaSpec = TypeOf<typeof FlowSchemaSpec>;

export const FlowSchemaCondition = object('io.k8s.api.flowcontrol.v1.FlowSchemaCondition', {
  lastTransitionTime: time(3, { always: true }),
  message: string(5),
  reason: string(4),
  status: string(2),
  type: string(1),
});
export type FlowSchemaCondition = TypeOf<typeof FlowSchemaCondition>;

export const FlowSchemaStatus = object('io.k8s.api.flowcontrol.v1.FlowSchemaStatus', {
  conditions: list(1, FlowSchemaCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
});
export type FlowSchemaStatus = TypeOf<typeof FlowSchemaStatus>;

export const FlowSchema = defineKind({
  group: 'flowcontrol.apiserver.k8s.io',
  version: 'v1',
  kind: 'FlowSchema',
  plural: 'flowschemas',
  namespaced: false,
  doc: 'Sorts requests to the API into priority levels.',
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.flowcontrol.v1.FlowSchema',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, FlowSchemaSpec, { always: true }),
    status: struct(3, FlowSchemaStatus, { always: true }),
  },
  metadataChecks: { update: ['new'] },
  statusKeeps: statusMetadata,
  columns: [
    nameColumn,
    text('PriorityLevel', 'The level its requests get.', ({ spec }) => spec.priorityLevelConfiguration.name),
    text('MatchingPrecedence', 'Lower ones are tried first.', ({ spec }) => spec.matchingPrecedence),
    text(
      'DistinguisherMethod',
      'What tells its flows apart.',
      ({ spec }) => spec.distinguisherMethod?.type ?? '<none>',
    ),
    ageColumn,
    text('MissingPL', 'Whether its level does not exist.', ({ status }) => missingLevel(status)),
  ],
  validate({ metadata, spec }, report) {
    validateFlowSchema(metadata.name ?? '', spec, report.at('spec'));
  },
  validateStatusUpdate({ status }, _, report) {
    validateConditions(status.conditions ?? [], report.at('status', 'conditions'));
  },
});
export type FlowSchema = ObjectOf<typeof FlowSchema>;

function missingLevel({ conditions }: FlowSchemaStatus): string {
  return (conditions ?? []).find(({ type }) => type === 'Dangling')?.status ?? '?';
}
