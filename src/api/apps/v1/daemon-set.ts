import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, int64, intOrString, list, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { PodTemplateSpec } from '../../core/v1/pod-template-spec.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const RollingUpdateDaemonSet = object('io.k8s.api.apps.v1.RollingUpdateDaemonSet', {
  maxSurge: intOrString(2, { pointer: true }),
  maxUnavailable: intOrString(1, { pointer: true }),
});
export type RollingUpdateDaemonSet = TypeOf<typeof RollingUpdateDaemonSet>;

export const DaemonSetUpdateStrategy = object('io.k8s.api.apps.v1.DaemonSetUpdateStrategy', {
  rollingUpdate: struct(2, RollingUpdateDaemonSet),
  type: string(1, { enum: ['OnDelete', 'RollingUpdate'] }),
});
export type DaemonSetUpdateStrategy = TypeOf<typeof DaemonSetUpdateStrategy>;

export const DaemonSetSpec = object('io.k8s.api.apps.v1.DaemonSetSpec', {
  minReadySeconds: int32(4),
  revisionHistoryLimit: int32(6, { pointer: true }),
  selector: struct(1, LabelSelector, { required: true, always: true }),
  template: struct(2, PodTemplateSpec, { required: true, always: true }),
  updateStrategy: struct(3, DaemonSetUpdateStrategy, { always: true }),
});
export type DaemonSetSpec = TypeOf<typeof DaemonSetSpec>;

export const DaemonSetCondition = object('io.k8s.api.apps.v1.DaemonSetCondition', {
  lastTransitionTime: time(3),
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
  categories: ['all'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.apps.v1.DaemonSet',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, DaemonSetSpec, { always: true }),
    status: struct(3, DaemonSetStatus, { always: true }),
  },
});
export type DaemonSet = ObjectOf<typeof DaemonSet>;
