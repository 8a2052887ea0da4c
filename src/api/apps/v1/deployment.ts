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
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const RollingUpdateDeployment = object('io.k8s.api.apps.v1.RollingUpdateDeployment', {
  maxSurge: intOrString(2, { pointer: true }),
  maxUnavailable: intOrString(1, { pointer: true }),
});
export type RollingUpdateDeployment = TypeOf<typeof RollingUpdateDeployment>;

export const DeploymentStrategy = object('io.k8s.api.apps.v1.DeploymentStrategy', {
  rollingUpdate: struct(2, RollingUpdateDeployment),
  type: string(1, { enum: ['Recreate', 'RollingUpdate'] }),
});
export type DeploymentStrategy = TypeOf<typeof DeploymentStrategy>;

export const DeploymentSpec = object('io.k8s.api.apps.v1.DeploymentSpec', {
  minReadySeconds: int32(5),
  paused: boolean(7),
  progressDeadlineSeconds: int32(9, { pointer: true }),
  replicas: int32(1, { pointer: true }),
  revisionHistoryLimit: int32(6, { pointer: true }),
  selector: struct(2, LabelSelector, { required: true, always: true }),
  strategy: struct(4, DeploymentStrategy, { always: true, patchStrategy: 'retainKeys' }),
  template: struct(3, PodTemplateSpec, { required: true, always: true }),
});
export type DeploymentSpec = TypeOf<typeof DeploymentSpec>;

export const DeploymentCondition = object('io.k8s.api.apps.v1.DeploymentCondition', {
  lastTransitionTime: time(7),
  lastUpdateTime: time(6),
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
});
export type Deployment = ObjectOf<typeof Deployment>;
