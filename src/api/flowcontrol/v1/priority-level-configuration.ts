import { defineKind, type ObjectOf, statusMetadata } from '../../machinery/kind.ts';
import { int32, list, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { validateConditions, validatePriorityLevel } from './flow-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ExemptPriorityLevelConfiguration = object('io.k8s.api.flowcontrol.v1.ExemptPriorityLevelConfiguration', {
  lendablePercent: int32(2, { pointer: true, default: 0 }),
  nominalConcurrencyShares: int32(1, { pointer: true, default: 0 }),
});
export type ExemptPriorityLevelConfiguration = TypeOf<typeof ExemptPriorityLevelConfiguration>;

export const QueuingConfiguration = object('io.k8s.api.flowcontrol.v1.QueuingConfiguration', {
  handSize: int32(2, { always: true, default: 8 }),
  queueLengthLimit: int32(3, { always: true, default: 50 }),
  queues: int32(1, { always: true, default: 64 }),
});
export type QueuingConfiguration = TypeOf<typeof QueuingConfiguration>;

export const LimitResponse = object(
  'io.k8s.api.flowcontrol.v1.LimitResponse',
  {
    queuing: struct(2, QueuingConfiguration),
    type: string(1, { required: true, always: true }),
  },
  { unions: [{ discriminator: 'type', 'fields-to-discriminateBy': { queuing: 'Queuing' } }] },
);
export type LimitResponse = TypeOf<typeof LimitResponse>;

export const LimitedPriorityLevelConfiguration = object('io.k8s.api.flowcontrol.v1.LimitedPriorityLevelConfiguration', {
  borrowingLimitPercent: int32(4, { pointer: true }),
  lendablePercent: int32(3, { pointer: true, default: 0 }),
  limitResponse: struct(2, LimitResponse, { always: true }),
  nominalConcurrencyShares: int32(1, { pointer: true, default: 30 }),
});
export type LimitedPriorityLevelConfiguration = TypeOf<typeof LimitedPriorityLevelConfiguration>;

export const PriorityLevelConfigurationSpec = object(
  'io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec',
  {
    exempt: struct(3, ExemptPriorityLevelConfiguration),
    limited: struct(2, LimitedPriorityLevelConfiguration),
    type: string(1, { required: true, always: true }),
  },
  { unions: [{ discriminator: 'type', 'fields-to-discriminateBy': { exempt: 'Exempt', limited: 'Limited' } }] },
);
export type PriorityLevelConfigurationSpec = TypeOf<typeof PriorityLevelConfigurationSpec>;

export const PriorityLevelConfigurationCondition = object(
  'io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationCondition',
  {
    lastTransitionTime: time(3, { always: true }),
    message: string(5),
    reason: string(4),
    status: string(2),
    type: string(1),
  },
);
export type PriorityLevelConfigurationCondition = TypeOf<typeof PriorityLevelConfigurationCondition>;

export const PriorityLevelConfigurationStatus = object('io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationStatus', {
  conditions: list(1, PriorityLevelConfigurationCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
});
export type PriorityLevelConfigurationStatus = TypeOf<typeof PriorityLevelConfigurationStatus>;

export const PriorityLevelConfiguration = defineKind({
  group: 'flowcontrol.apiserver.k8s.io',
  version: 'v1',
  kind: 'PriorityLevelConfiguration',
  plural: 'prioritylevelconfigurations',
  namespaced: false,
  doc: "A share of the API servers' work for some requests.",
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, PriorityLevelConfigurationSpec, { always: true }),
    status: struct(3, PriorityLevelConfigurationStatus, { always: true }),
  },
  metadataChecks: { update: ['new'] },
  statusKeeps: statusMetadata,
  columns: [
    nameColumn,
    text('Type', 'Limited or Exempt.', ({ spec }) => spec.type),
    text(
      'NominalConcurrencyShares',
      'Its share of the work.',
      ({ spec }) => spec.limited?.nominalConcurrencyShares ?? '<none>',
    ),
    text('Queues', 'How many queues it has.', ({ spec }) => spec.limited?.limitResponse.queuing?.queues ?? '<none>'),
    text(
      'HandSize',
      'Queues that one flow may use.',
      ({ spec }) => spec.limited?.limitResponse.queuing?.handSize ?? '<none>',
    ),
    text(
      'QueueLengthLimit',
      'Requests that may wait in one queue.',
      ({ spec }) => spec.limited?.limitResponse.queuing?.queueLengthLimit ?? '<none>',
    ),
    ageColumn,
  ],
  validate({ metadata, spec }, report) {
    validatePriorityLevel(metadata.name ?? '', spec, report.at('spec'));
  },
  validateStatusUpdate({ status }, _, report) {
    validateConditions(status.conditions ?? [], report.at('status', 'conditions'));
  },
});
export type PriorityLevelConfiguration = ObjectOf<typeof PriorityLevelConfiguration>;
