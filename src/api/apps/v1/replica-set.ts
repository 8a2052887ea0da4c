import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, int64, list, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { PodTemplateSpec } from '../../core/v1/pod-template-spec.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { checkImmutable, checkNonNegative } from '../../machinery/checks.ts';
import { ageColumn, integer, nameColumn } from '../../machinery/columns.ts';
import { defaultPodTemplate } from '../../core/v1/pod-spec-defaults.ts';
import { changedTemplateWarnings } from '../../core/v1/pod-warnings.ts';
import { containersColumn, imagesColumn, selectorColumn } from '../../core/v1/workload-columns.ts';
import {
  validateKeptTemplate,
  validateReplicaCounts,
  validateWorkloadSelector,
} from '../../core/v1/workload-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ReplicaSetSpec = object('io.k8s.api.apps.v1.ReplicaSetSpec', {
  minReadySeconds: int32(4, { doc: 'Seconds a pod must be ready before it counts as available.' }),
  replicas: int32(1, { pointer: true, default: 1, doc: 'How many pods are wanted.' }),
  selector: struct(2, LabelSelector, { required: true, doc: 'Which pods belong to it; cannot be changed.' }),
  template: struct(3, PodTemplateSpec, { always: true, doc: 'What its pods look like.' }),
});
export type ReplicaSetSpec = TypeOf<typeof ReplicaSetSpec>;

export const ReplicaSetCondition = object('io.k8s.api.apps.v1.ReplicaSetCondition', {
  lastTransitionTime: time(3, { always: true }),
  message: string(5),
  reason: string(4),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type ReplicaSetCondition = TypeOf<typeof ReplicaSetCondition>;

export const ReplicaSetStatus = object('io.k8s.api.apps.v1.ReplicaSetStatus', {
  availableReplicas: int32(5),
  conditions: list(6, ReplicaSetCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  fullyLabeledReplicas: int32(2),
  observedGeneration: int64(3),
  readyReplicas: int32(4),
  replicas: int32(1, { required: true, always: true }),
  terminatingReplicas: int32(7, { pointer: true }),
});
export type ReplicaSetStatus = TypeOf<typeof ReplicaSetStatus>;

export const ReplicaSet = defineKind({
  group: 'apps',
  version: 'v1',
  kind: 'ReplicaSet',
  plural: 'replicasets',
  namespaced: true,
  shortNames: ['rs'],
  doc: 'Keeps a number of identical pods running.',
  categories: ['all'],
  subresources: {
    scale: { verbs: ['get', 'patch', 'update'], kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' } },
    status: { verbs: ['get', 'patch', 'update'] },
  },
  type: 'io.k8s.api.apps.v1.ReplicaSet',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ReplicaSetSpec, { always: true }),
    status: struct(3, ReplicaSetStatus, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: [
    nameColumn,
    integer('Desired', 'Wanted pods.', ({ spec }) => spec.replicas),
    integer('Current', 'Existing pods.', ({ status }) => status.replicas),
    integer('Ready', 'Ready pods.', ({ status }) => status.readyReplicas ?? 0),
    ageColumn,
    containersColumn,
    imagesColumn,
    selectorColumn,
  ],
  fieldSelectors: { 'status.replicas': ({ status }) => String(status.replicas) },
  default({ spec }) {
    defaultPodTemplate(spec.template);
  },
  validate({ spec }, report) {
    const at = report.at('spec');
    checkNonNegative(spec.replicas, at.at('replicas'));
    checkNonNegative(spec.minReadySeconds, at.at('minReadySeconds'));
    validateWorkloadSelector(spec.selector, 'deployment', at.at('selector'));
    validateKeptTemplate(spec, 'ReplicaSet', at);
  },
  validateUpdate({ spec }, old, report) {
    checkImmutable(spec.selector, old.spec.selector, report.at('spec', 'selector'));
  },
  validateStatusUpdate({ status }, _, report) {
    const parts = ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'];
    validateReplicaCounts(
      status,
      ['replicas', ...parts, 'observedGeneration', 'terminatingReplicas'],
      parts,
      report.at('status'),
    );
  },
  warnings: (set, old) => changedTemplateWarnings(set, old, set.spec.template, 'spec.template'),
});
export type ReplicaSet = ObjectOf<typeof ReplicaSet>;
