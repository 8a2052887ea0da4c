import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, int64, list, map, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { PodTemplateSpec } from './pod-template-spec.ts';
import { checkNonNegative } from '../../machinery/checks.ts';
import { ageColumn, formatLabels, integer, joined, nameColumn, text, wide } from '../../machinery/columns.ts';
import { defaultPodTemplate } from './pod-spec-defaults.ts';
import { validatePodTemplate } from './pod-spec-validation.ts';
import { changedTemplateWarnings } from './pod-warnings.ts';
import { checkKeptPod, checkSelectsTemplate, validateReplicaCounts } from './workload-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ReplicationControllerSpec = object('io.k8s.api.core.v1.ReplicationControllerSpec', {
  minReadySeconds: int32(4, { default: 0 }),
  replicas: int32(1, { pointer: true, default: 1, doc: 'How many pods are wanted.' }),
  selector: map(2, types.string, { mapType: 'atomic' }),
  template: struct(3, PodTemplateSpec),
});
export type ReplicationControllerSpec = TypeOf<typeof ReplicationControllerSpec>;

export const ReplicationControllerCondition = object('io.k8s.api.core.v1.ReplicationControllerCondition', {
  lastTransitionTime: time(3, { always: true }),
  message: string(5),
  reason: string(4),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type ReplicationControllerCondition = TypeOf<typeof ReplicationControllerCondition>;

export const ReplicationControllerStatus = object('io.k8s.api.core.v1.ReplicationControllerStatus', {
  availableReplicas: int32(5),
  conditions: list(6, ReplicationControllerCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  fullyLabeledReplicas: int32(2),
  observedGeneration: int64(3),
  readyReplicas: int32(4),
  replicas: int32(1, { required: true, always: true }),
});
export type ReplicationControllerStatus = TypeOf<typeof ReplicationControllerStatus>;

export const ReplicationController = defineKind({
  group: '',
  version: 'v1',
  kind: 'ReplicationController',
  plural: 'replicationcontrollers',
  namespaced: true,
  shortNames: ['rc'],
  doc: 'Keeps a number of identical pods running; ReplicaSet is its successor.',
  categories: ['all'],
  orphansByDefault: true,
  subresources: {
    scale: { verbs: ['get', 'patch', 'update'], kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' } },
    status: { verbs: ['get', 'patch', 'update'] },
  },
  type: 'io.k8s.api.core.v1.ReplicationController',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ReplicationControllerSpec, { always: true }),
    status: struct(3, ReplicationControllerStatus, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: [
    nameColumn,
    integer('Desired', 'Wanted pods.', ({ spec }) => spec.replicas),
    integer('Current', 'Existing pods.', ({ status }) => status.replicas),
    integer('Ready', 'Ready pods.', ({ status }) => status.readyReplicas ?? 0),
    ageColumn,
    wide(text('Containers', 'Names of the containers.', ({ spec }) => joined(spec.template?.spec.containers, 'name'))),
    wide(text('Images', 'Images of the containers.', ({ spec }) => joined(spec.template?.spec.containers, 'image'))),
    wide(text('Selector', 'Which pods belong to it.', ({ spec }) => formatLabels(spec.selector))),
  ],
  fieldSelectors: { 'status.replicas': ({ status }) => String(status.replicas) },
  default(controller) {
    const { metadata, spec } = controller;
    if (!spec.template) return;
    defaultPodTemplate(spec.template);
    const labels = spec.template.metadata?.labels;
    if (!labels) return;
    if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
    if (Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels };
  },
  validate({ spec }, report) {
    const at = report.at('spec');
    checkNonNegative(spec.minReadySeconds, at.at('minReadySeconds'));
    const hasSelector = Object.keys(spec.selector ?? {}).length > 0;
    if (!hasSelector) at.at('selector').required();
    checkNonNegative(spec.replicas, at.at('replicas'));
    if (!spec.template) {
      at.at('template').required();
      return;
    }
    if (hasSelector) checkSelectsTemplate({ selector: { matchLabels: spec.selector }, template: spec.template }, at);
    validatePodTemplate(spec.template, at.at('template'));
    checkKeptPod(spec.template, 'ReplicationController', at.at('template', 'spec'));
  },
  validateStatusUpdate({ status }, _, report) {
    const parts = ['fullyLabeledReplicas', 'readyReplicas', 'availableReplicas'];
    validateReplicaCounts(status, ['replicas', ...parts, 'observedGeneration'], parts, report.at('status'));
  },
  // On a change upstream warns of the template that was there before.
  warnings: (controller, old) =>
    changedTemplateWarnings(controller, old, (old ?? controller).spec.template, 'spec.template'),
});
export type ReplicationController = ObjectOf<typeof ReplicationController>;
