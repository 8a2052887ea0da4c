import { defineKind, type ObjectOf, schemaOf } from '../../machinery/kind.ts';
import { int32, int64, intOrString, list, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { PersistentVolumeClaim } from '../../core/v1/persistent-volume-claim.ts';
import { PodTemplateSpec } from '../../core/v1/pod-template-spec.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { checkNonNegative, sameValue } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { Report } from '../../machinery/validation.ts';
import { defaultPodTemplate } from '../../core/v1/pod-spec-defaults.ts';
import { validatePodTemplate } from '../../core/v1/pod-spec-validation.ts';
import { changedTemplateWarnings } from '../../core/v1/pod-warnings.ts';
import { containersColumn, imagesColumn } from '../../core/v1/workload-columns.ts';
import {
  amountOf,
  checkAtMostAll,
  checkIntOrPercent,
  checkKeptPod,
  checkNotDecremented,
  checkPolicy,
  checkSelectsTemplate,
  isSoundSelector,
  validateReplicaCounts,
  validateWorkloadSelector,
} from '../../core/v1/workload-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const RollingUpdateStatefulSetStrategy = object('io.k8s.api.apps.v1.RollingUpdateStatefulSetStrategy', {
  maxUnavailable: intOrString(2, { pointer: true, default: 1, doc: 'Pods that may be away during an update.' }),
  partition: int32(1, { pointer: true, default: 0, doc: 'Pods with a lower ordinal are not updated.' }),
});
export type RollingUpdateStatefulSetStrategy = TypeOf<typeof RollingUpdateStatefulSetStrategy>;

export const StatefulSetOrdinals = object('io.k8s.api.apps.v1.StatefulSetOrdinals', {
  start: int32(1, { always: true }),
});
export type StatefulSetOrdinals = TypeOf<typeof StatefulSetOrdinals>;

export const StatefulSetPersistentVolumeClaimRetentionPolicy = object(
  'io.k8s.api.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy',
  {
    whenDeleted: string(1, { default: 'Retain' }),
    whenScaled: string(2, { default: 'Retain' }),
  },
);
export type StatefulSetPersistentVolumeClaimRetentionPolicy = TypeOf<
  typeof StatefulSetPersistentVolumeClaimRetentionPolicy
>;

export const StatefulSetUpdateStrategy = object('io.k8s.api.apps.v1.StatefulSetUpdateStrategy', {
  rollingUpdate: struct(2, RollingUpdateStatefulSetStrategy),
  type: string(1, { enum: ['OnDelete', 'Recreate', 'RollingUpdate'], default: 'RollingUpdate' }),
});
export type StatefulSetUpdateStrategy = TypeOf<typeof StatefulSetUpdateStrategy>;

export const StatefulSetSpec = object('io.k8s.api.apps.v1.StatefulSetSpec', {
  minReadySeconds: int32(9),
  ordinals: struct(11, StatefulSetOrdinals),
  persistentVolumeClaimRetentionPolicy: struct(10, StatefulSetPersistentVolumeClaimRetentionPolicy, {
    default: {},
    doc: 'What becomes of its claims when it shrinks or goes.',
  }),
  podManagementPolicy: string(6, {
    enum: ['OrderedReady', 'Parallel'],
    default: 'OrderedReady',
    doc: 'Whether pods come and go one after another.',
  }),
  replicas: int32(1, { pointer: true, default: 1, doc: 'How many pods are wanted.' }),
  revisionHistoryLimit: int32(8, { pointer: true, default: 10, doc: 'How many old revisions are kept.' }),
  selector: struct(2, LabelSelector, { required: true, doc: 'Which pods belong to it; cannot be changed.' }),
  serviceName: string(5, { always: true, doc: 'The headless Service that gives its pods their DNS names.' }),
  template: struct(3, PodTemplateSpec, { required: true, always: true, doc: 'What its pods look like.' }),
  updateStrategy: struct(7, StatefulSetUpdateStrategy, { always: true, doc: 'How pods are replaced.' }),
  volumeClaimTemplates: list(4, schemaOf(PersistentVolumeClaim), {
    listType: 'atomic',
    doc: 'Claims that every pod gets for itself.',
  }),
});
export type StatefulSetSpec = TypeOf<typeof StatefulSetSpec>;

export const StatefulSetCondition = object('io.k8s.api.apps.v1.StatefulSetCondition', {
  lastTransitionTime: time(3, { always: true }),
  message: string(5),
  reason: string(4),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type StatefulSetCondition = TypeOf<typeof StatefulSetCondition>;

export const StatefulSetStatus = object('io.k8s.api.apps.v1.StatefulSetStatus', {
  availableReplicas: int32(11, { always: true }),
  collisionCount: int32(9, { pointer: true }),
  conditions: list(10, StatefulSetCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  currentReplicas: int32(4),
  currentRevision: string(6),
  observedGeneration: int64(1),
  readyReplicas: int32(3),
  replicas: int32(2, { required: true, always: true }),
  updateRevision: string(7),
  updatedReplicas: int32(5),
});
export type StatefulSetStatus = TypeOf<typeof StatefulSetStatus>;

export const StatefulSet = defineKind({
  group: 'apps',
  version: 'v1',
  kind: 'StatefulSet',
  plural: 'statefulsets',
  namespaced: true,
  shortNames: ['sts'],
  doc: 'Keeps a number of pods running that each have a name and storage of their own.',
  categories: ['all'],
  subresources: {
    scale: { verbs: ['get', 'patch', 'update'], kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' } },
    status: { verbs: ['get', 'patch', 'update'] },
  },
  type: 'io.k8s.api.apps.v1.StatefulSet',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, StatefulSetSpec, { always: true }),
    status: struct(3, StatefulSetStatus, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: [
    nameColumn,
    text('Ready', 'Ready pods of those wanted.', ({ spec, status }) => `${status.readyReplicas ?? 0}/${spec.replicas}`),
    ageColumn,
    containersColumn,
    imagesColumn,
  ],
  default({ spec }) {
    defaultPodTemplate(spec.template);
    if (spec.updateStrategy.type === 'RollingUpdate')
      spec.updateStrategy.rollingUpdate ??= { partition: 0, maxUnavailable: 1 };
    for (const claim of spec.volumeClaimTemplates ?? []) {
      // Upstream decodes them as claims of their own.
      claim.apiVersion ??= 'v1';
      claim.kind ??= 'PersistentVolumeClaim';
      claim.status.phase ??= 'Pending';
    }
  },
  validate({ spec }, report) {
    validateStatefulSetSpec(spec, report.at('spec'));
  },
  validateUpdate({ spec }, old, report) {
    const mutable = {
      replicas: spec.replicas,
      ordinals: spec.ordinals,
      template: spec.template,
      updateStrategy: spec.updateStrategy,
      revisionHistoryLimit: spec.revisionHistoryLimit,
      persistentVolumeClaimRetentionPolicy: spec.persistentVolumeClaimRetentionPolicy,
      minReadySeconds: spec.minReadySeconds,
    };
    if (!sameValue({ ...old.spec, ...mutable }, spec))
      report
        .at('spec')
        .forbidden(
          "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        );
  },
  validateStatusUpdate({ status }, old, report) {
    const at = report.at('status');
    const parts = ['readyReplicas', 'currentReplicas', 'updatedReplicas', 'availableReplicas'];
    validateReplicaCounts(status, ['replicas', ...parts, 'observedGeneration', 'collisionCount'], parts, at);
    checkNotDecremented(status.collisionCount, old.status.collisionCount, at.at('collisionCount'));
  },
  warnings: (set, old) => changedTemplateWarnings(set, old, set.spec.template, 'spec.template'),
});
export type StatefulSet = ObjectOf<typeof StatefulSet>;

function validateStatefulSetSpec(spec: StatefulSetSpec, report: Report): void {
  const { podManagementPolicy } = spec;
  if (podManagementPolicy !== 'OrderedReady' && podManagementPolicy !== 'Parallel')
    report.at('podManagementPolicy').invalid(podManagementPolicy, "must be 'OrderedReady' or 'Parallel'");
  validateUpdateStrategy(spec.updateStrategy, report.at('updateStrategy'));
  const retention = spec.persistentVolumeClaimRetentionPolicy;
  for (const name of ['whenDeleted', 'whenScaled'] as const)
    checkPolicy(retention[name], report.at('persistentVolumeClaimRetentionPolicy', name));
  checkNonNegative(spec.replicas, report.at('replicas'));
  checkNonNegative(spec.minReadySeconds, report.at('minReadySeconds'));
  checkNonNegative(spec.ordinals?.start, report.at('ordinals', 'start'));
  checkNonNegative(spec.revisionHistoryLimit, report.at('revisionHistoryLimit'));
  validateWorkloadSelector(spec.selector, 'statefulset', report.at('selector'));
  if (!isSoundSelector(spec.selector)) report.at('selector').invalid(spec.selector, '');
  else {
    checkSelectsTemplate(spec, report);
    validatePodTemplate(withClaims(spec), report.at('template'));
  }
  checkKeptPod(spec.template, 'StatefulSet', report.at('template', 'spec'));
}

/** The claims of the templates are volumes of the pods, before volumes of the same name. */
function withClaims({ template, volumeClaimTemplates }: StatefulSetSpec): PodTemplateSpec {
  const claims = (volumeClaimTemplates ?? []).map(claim => claim.metadata.name ?? '').filter(name => name !== '');
  if (claims.length === 0) return template;
  const volumes = [
    ...(template.spec.volumes ?? []).filter(volume => !claims.includes(volume.name)),
    ...claims.map(name => ({ name, persistentVolumeClaim: { claimName: name } })),
  ];
  return { ...template, spec: { ...template.spec, volumes } };
}

function validateUpdateStrategy(strategy: StatefulSetUpdateStrategy, report: Report): void {
  const { type, rollingUpdate } = strategy;
  const at = report.at('rollingUpdate');
  if (type === 'OnDelete') {
    if (rollingUpdate) at.invalid(rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'");
  } else if (type !== 'RollingUpdate') report.invalid(strategy, "must be 'RollingUpdate' or 'OnDelete'");
  else if (rollingUpdate) {
    checkNonNegative(rollingUpdate.partition, at.at('partition'));
    checkIntOrPercent(rollingUpdate.maxUnavailable, at.at('maxUnavailable'));
    if (amountOf(rollingUpdate.maxUnavailable) === 0)
      at.at('maxUnavailable').invalid(rollingUpdate.maxUnavailable, 'cannot be 0');
    checkAtMostAll(rollingUpdate.maxUnavailable, at.at('maxUnavailable'));
  }
}
