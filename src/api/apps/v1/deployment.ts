import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import {
  boolean,
  int32,
  int64,
  intOrString,
  list,
  object,
  string,
  struct,
  time,
  type TypeOf,
} from '../../machinery/schema.ts';
import { PodTemplateSpec } from '../../core/v1/pod-template-spec.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { checkImmutable, checkNonNegative } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { Report } from '../../machinery/validation.ts';
import { defaultPodTemplate } from '../../core/v1/pod-spec-defaults.ts';
import { changedTemplateWarnings } from '../../core/v1/pod-warnings.ts';
import { containersColumn, imagesColumn, selectorColumn } from '../../core/v1/workload-columns.ts';
import {
  amountOf,
  checkAtMostAll,
  checkIntOrPercent,
  checkNotDecremented,
  validateKeptTemplate,
  validateReplicaCounts,
  validateWorkloadSelector,
} from '../../core/v1/workload-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const RollingUpdateDeployment = object('io.k8s.api.apps.v1.RollingUpdateDeployment', {
  maxSurge: intOrString(2, { pointer: true, default: '25%', doc: 'Pods above the wanted number during an update.' }),
  maxUnavailable: intOrString(1, {
    pointer: true,
    default: '25%',
    doc: 'Pods below the wanted number during an update.',
  }),
});
export type RollingUpdateDeployment = TypeOf<typeof RollingUpdateDeployment>;

export const DeploymentStrategy = object('io.k8s.api.apps.v1.DeploymentStrategy', {
  rollingUpdate: struct(2, RollingUpdateDeployment, { doc: 'How many pods may be away or too many meanwhile.' }),
  type: string(1, {
    enum: ['Recreate', 'RollingUpdate'],
    default: 'RollingUpdate',
    doc: 'Whether old pods go before new ones come.',
  }),
});
export type DeploymentStrategy = TypeOf<typeof DeploymentStrategy>;

export const DeploymentSpec = object('io.k8s.api.apps.v1.DeploymentSpec', {
  minReadySeconds: int32(5, { doc: 'Seconds a pod must be ready before it counts as available.' }),
  paused: boolean(7, { doc: 'Holds back the rollout of changes.' }),
  progressDeadlineSeconds: int32(9, {
    pointer: true,
    default: 600,
    doc: 'Seconds without progress after which a rollout counts as failed.',
  }),
  replicas: int32(1, { pointer: true, default: 1, doc: 'How many pods are wanted.' }),
  revisionHistoryLimit: int32(6, {
    pointer: true,
    default: 10,
    doc: 'How many old ReplicaSets are kept for going back.',
  }),
  selector: struct(2, LabelSelector, { required: true, doc: 'Which pods belong to it; cannot be changed.' }),
  strategy: struct(4, DeploymentStrategy, {
    always: true,
    patchStrategy: 'retainKeys',
    doc: 'How old pods are replaced by new ones.',
  }),
  template: struct(3, PodTemplateSpec, { required: true, always: true, doc: 'What its pods look like.' }),
});
export type DeploymentSpec = TypeOf<typeof DeploymentSpec>;

export const DeploymentCondition = object('io.k8s.api.apps.v1.DeploymentCondition', {
  lastTransitionTime: time(7, { always: true }),
  lastUpdateTime: time(6, { always: true }),
  message: string(5),
  reason: string(4),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type DeploymentCondition = TypeOf<typeof DeploymentCondition>;

export const DeploymentStatus = object('io.k8s.api.apps.v1.DeploymentStatus', {
  availableReplicas: int32(4),
  collisionCount: int32(8, { pointer: true }),
  conditions: list(6, DeploymentCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  observedGeneration: int64(1),
  readyReplicas: int32(7),
  replicas: int32(2),
  terminatingReplicas: int32(9, { pointer: true }),
  unavailableReplicas: int32(5),
  updatedReplicas: int32(3),
});
export type DeploymentStatus = TypeOf<typeof DeploymentStatus>;

export const Deployment = defineKind({
  group: 'apps',
  version: 'v1',
  kind: 'Deployment',
  plural: 'deployments',
  namespaced: true,
  shortNames: ['deploy'],
  doc: 'Keeps a number of identical pods running and rolls out changes step by step.',
  categories: ['all'],
  subresources: {
    scale: { verbs: ['get', 'patch', 'update'], kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' } },
    status: { verbs: ['get', 'patch', 'update'] },
  },
  type: 'io.k8s.api.apps.v1.Deployment',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, DeploymentSpec, { always: true }),
    status: struct(3, DeploymentStatus, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  statusKeeps: ['labels'],
  columns: [
    nameColumn,
    text('Ready', 'Ready pods of those wanted.', ({ spec, status }) => `${status.readyReplicas ?? 0}/${spec.replicas}`),
    text('Up-to-date', 'Pods made from the present template.', ({ status }) => status.updatedReplicas ?? 0),
    text('Available', 'Pods that have been ready long enough.', ({ status }) => status.availableReplicas ?? 0),
    ageColumn,
    containersColumn,
    imagesColumn,
    selectorColumn,
  ],
  default({ spec }) {
    defaultPodTemplate(spec.template);
    if (spec.strategy.type === 'RollingUpdate')
      spec.strategy.rollingUpdate ??= { maxUnavailable: '25%', maxSurge: '25%' };
  },
  validate({ spec }, report) {
    validateDeploymentSpec(spec, report.at('spec'));
  },
  validateUpdate({ spec }, old, report) {
    checkImmutable(spec.selector, old.spec.selector, report.at('spec', 'selector'));
  },
  validateStatusUpdate({ status }, old, report) {
    const parts = ['updatedReplicas', 'readyReplicas', 'availableReplicas'];
    const at = report.at('status');
    validateReplicaCounts(
      status,
      ['observedGeneration', 'replicas', ...parts, 'unavailableReplicas', 'terminatingReplicas', 'collisionCount'],
      parts,
      at,
    );
    checkNotDecremented(status.collisionCount, old.status.collisionCount, at.at('collisionCount'));
  },
  warnings: (deployment, old) => changedTemplateWarnings(deployment, old, deployment.spec.template, 'spec.template'),
});
export type Deployment = ObjectOf<typeof Deployment>;

function validateDeploymentSpec(spec: DeploymentSpec, report: Report): void {
  checkNonNegative(spec.replicas, report.at('replicas'));
  validateWorkloadSelector(spec.selector, 'deployment', report.at('selector'));
  validateKeptTemplate(spec, 'ReplicaSet', report);
  validateStrategy(spec.strategy, report.at('strategy'));
  checkNonNegative(spec.minReadySeconds, report.at('minReadySeconds'));
  checkNonNegative(spec.revisionHistoryLimit, report.at('revisionHistoryLimit'));
  const deadline = report.at('progressDeadlineSeconds');
  checkNonNegative(spec.progressDeadlineSeconds, deadline);
  if (spec.progressDeadlineSeconds <= (spec.minReadySeconds ?? 0))
    deadline.invalid(spec.progressDeadlineSeconds, 'must be greater than minReadySeconds');
}

function validateStrategy(strategy: DeploymentStrategy, report: Report): void {
  const at = report.at('rollingUpdate');
  switch (strategy.type) {
    case 'Recreate':
      if (strategy.rollingUpdate) at.forbidden("may not be specified when strategy `type` is 'Recreate'");
      return;
    case 'RollingUpdate': {
      const { maxUnavailable, maxSurge } = strategy.rollingUpdate ?? {};
      checkIntOrPercent(maxUnavailable, at.at('maxUnavailable'));
      checkIntOrPercent(maxSurge, at.at('maxSurge'));
      if (amountOf(maxUnavailable) === 0 && amountOf(maxSurge) === 0)
        at.at('maxUnavailable').invalid(maxUnavailable, 'may not be 0 when `maxSurge` is 0');
      checkAtMostAll(maxUnavailable, at.at('maxUnavailable'));
      return;
    }
    default:
      report.notSupported(strategy, ['Recreate', 'RollingUpdate']);
  }
}
