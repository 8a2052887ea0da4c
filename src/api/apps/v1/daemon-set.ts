import { deepEqual } from '#base/deep-equal.ts';
import { defineKind, type Draft, type ObjectOf } from '../../machinery/kind.ts';
import { int32, int64, intOrString, list, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { PodTemplateSpec } from '../../core/v1/pod-template-spec.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { checkImmutable, checkNonNegative } from '../../machinery/checks.ts';
import { ageColumn, formatLabels, integer, nameColumn, text } from '../../machinery/columns.ts';
import { goForm } from '../../machinery/go-form.ts';
import { validateLabelSelector } from '../../machinery/object-meta-validation.ts';
import { Report } from '../../machinery/validation.ts';
import { defaultPodTemplate } from '../../core/v1/pod-spec-defaults.ts';
import { validatePodTemplate } from '../../core/v1/pod-spec-validation.ts';
import { changedTemplateWarnings } from '../../core/v1/pod-warnings.ts';
import { containersColumn, imagesColumn, selectorColumn } from '../../core/v1/workload-columns.ts';
import {
  amountOf,
  checkAtMostAll,
  checkIntOrPercent,
  checkKeptPod,
  checkNotDecremented,
  checkNotEmptySelector,
  checkSelectsTemplate,
  isSoundSelector,
  validateReplicaCounts,
} from '../../core/v1/workload-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const RollingUpdateDaemonSet = object('io.k8s.api.apps.v1.RollingUpdateDaemonSet', {
  maxSurge: intOrString(2, { pointer: true, default: 0, doc: 'Nodes that may have two pods during an update.' }),
  maxUnavailable: intOrString(1, { pointer: true, default: 1, doc: 'Nodes that may have none during an update.' }),
});
export type RollingUpdateDaemonSet = TypeOf<typeof RollingUpdateDaemonSet>;

export const DaemonSetUpdateStrategy = object('io.k8s.api.apps.v1.DaemonSetUpdateStrategy', {
  rollingUpdate: struct(2, RollingUpdateDaemonSet),
  type: string(1, { enum: ['OnDelete', 'RollingUpdate'], default: 'RollingUpdate' }),
});
export type DaemonSetUpdateStrategy = TypeOf<typeof DaemonSetUpdateStrategy>;

export const DaemonSetSpec = object('io.k8s.api.apps.v1.DaemonSetSpec', {
  minReadySeconds: int32(4, { doc: 'Seconds a pod must be ready before it counts as available.' }),
  revisionHistoryLimit: int32(6, { pointer: true, default: 10, doc: 'How many old revisions are kept.' }),
  selector: struct(1, LabelSelector, { required: true, doc: 'Which pods belong to it; cannot be changed.' }),
  template: struct(2, PodTemplateSpec, { required: true, always: true, doc: 'What its pods look like.' }),
  updateStrategy: struct(3, DaemonSetUpdateStrategy, { always: true }),
});
export type DaemonSetSpec = TypeOf<typeof DaemonSetSpec>;

export const DaemonSetCondition = object('io.k8s.api.apps.v1.DaemonSetCondition', {
  lastTransitionTime: time(3, { always: true }),
  message: string(5),
  reason: string(4),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type DaemonSetCondition = TypeOf<typeof DaemonSetCondition>;

export const DaemonSetStatus = object('io.k8s.api.apps.v1.DaemonSetStatus', {
  collisionCount: int32(9, { pointer: true }),
  conditions: list(10, DaemonSetCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  currentNumberScheduled: int32(1, { required: true, always: true }),
  desiredNumberScheduled: int32(3, { required: true, always: true }),
  numberAvailable: int32(7),
  numberMisscheduled: int32(2, { required: true, always: true }),
  numberReady: int32(4, { required: true, always: true }),
  numberUnavailable: int32(8),
  observedGeneration: int64(5),
  updatedNumberScheduled: int32(6),
});
export type DaemonSetStatus = TypeOf<typeof DaemonSetStatus>;

export const DaemonSet = defineKind({
  group: 'apps',
  version: 'v1',
  kind: 'DaemonSet',
  plural: 'daemonsets',
  namespaced: true,
  shortNames: ['ds'],
  doc: 'Runs one pod on every node, or on every node of a kind.',
  categories: ['all'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.apps.v1.DaemonSet',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, DaemonSetSpec, { always: true }),
    status: struct(3, DaemonSetStatus, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: [
    nameColumn,
    integer('Desired', 'Nodes that should have a pod.', ({ status }) => status.desiredNumberScheduled),
    integer('Current', 'Nodes that have one.', ({ status }) => status.currentNumberScheduled),
    integer('Ready', 'Nodes with a ready one.', ({ status }) => status.numberReady),
    integer(
      'Up-to-date',
      'Nodes with one made from the present template.',
      ({ status }) => status.updatedNumberScheduled ?? 0,
    ),
    integer(
      'Available',
      'Nodes with one that has been ready long enough.',
      ({ status }) => status.numberAvailable ?? 0,
    ),
    text('Node Selector', 'Labels that a node must have.', ({ spec }) => formatLabels(spec.template.spec.nodeSelector)),
    ageColumn,
    containersColumn,
    imagesColumn,
    selectorColumn,
  ],
  default({ spec }) {
    defaultPodTemplate(spec.template);
    if (spec.updateStrategy.type === 'RollingUpdate')
      spec.updateStrategy.rollingUpdate ??= { maxUnavailable: 1, maxSurge: 0 };
  },
  prepareForCreate({ metadata }) {
    setTemplateGeneration(metadata, Math.max(1, templateGeneration(metadata)));
  },
  prepareForUpdate({ metadata, spec }, old) {
    const changes = deepEqual(spec.template, old.spec.template) ? 0 : 1;
    setTemplateGeneration(metadata, templateGeneration(old.metadata) + changes);
  },
  prepareForStatusUpdate({ metadata }, old) {
    setTemplateGeneration(metadata, templateGeneration(old.metadata));
  },
  validate({ spec }, report) {
    validateDaemonSetSpec(spec, report.at('spec'));
  },
  validateUpdate({ spec }, old, report) {
    checkImmutable(spec.selector, old.spec.selector, report.at('spec', 'selector'));
  },
  validateStatusUpdate({ status }, old, report) {
    const at = report.at('status');
    validateReplicaCounts(status, statusCounts, [], at);
    checkNotDecremented(status.collisionCount, old.status.collisionCount, at.at('collisionCount'));
  },
  warnings: (set, old) => changedTemplateWarnings(set, old, set.spec.template, 'spec.template'),
});
export type DaemonSet = ObjectOf<typeof DaemonSet>;

const generationAnnotation = 'deprecated.daemonset.template.generation';

/** Counts changes of the template; a field of its own in versions that are no more. */
function templateGeneration({ annotations }: ObjectMeta): number {
  return Number.parseInt(annotations?.[generationAnnotation] ?? '0', 10) || 0;
}

function setTemplateGeneration(metadata: Draft<ObjectMeta>, generation: number): void {
  if (templateGeneration(metadata) === generation) return;
  metadata.annotations = { ...metadata.annotations, [generationAnnotation]: String(generation) };
}

const statusCounts = [
  'currentNumberScheduled',
  'numberMisscheduled',
  'desiredNumberScheduled',
  'numberReady',
  'observedGeneration',
  'updatedNumberScheduled',
  'numberAvailable',
  'numberUnavailable',
  'collisionCount',
];

function validateDaemonSetSpec(spec: DaemonSetSpec, report: Report): void {
  const { selector, template } = spec as Partial<DaemonSetSpec> & DaemonSetSpec;
  validateLabelSelector(selector, report.at('selector'));
  if (isSoundSelector(selector)) checkSelectsTemplate(spec, report);
  if (selector) checkNotEmptySelector(selector, 'daemonset', report.at('selector'));
  validatePodTemplate(template, report.at('template'));
  checkKeptPod(template, 'DaemonSet', report.at('template', 'spec'));
  checkNonNegative(spec.minReadySeconds, report.at('minReadySeconds'));
  validateUpdateStrategy(spec.updateStrategy, report.at('updateStrategy'));
  checkNonNegative(spec.revisionHistoryLimit, report.at('revisionHistoryLimit'));
}

function validateUpdateStrategy(strategy: DaemonSetUpdateStrategy, report: Report): void {
  if (strategy.type === 'OnDelete') return;
  if (strategy.type !== 'RollingUpdate') {
    report.notSupported(goForm(DaemonSetUpdateStrategy, strategy), ['RollingUpdate', 'OnDelete']);
    return;
  }
  const at = report.at('rollingUpdate');
  const { maxUnavailable, maxSurge } = strategy.rollingUpdate ?? {};
  for (const [name, value] of Object.entries({ maxUnavailable, maxSurge })) {
    checkIntOrPercent(value, at.at(name));
    checkAtMostAll(value, at.at(name));
  }
  const [isUnavailable, isSurging] = [amountOf(maxUnavailable) !== 0, amountOf(maxSurge) !== 0];
  if (isUnavailable && isSurging) at.at('maxSurge').invalid(maxSurge, 'may not be set when maxUnavailable is non-zero');
  if (!isUnavailable && !isSurging) at.at('maxUnavailable').required('cannot be 0 when maxSurge is 0');
}
