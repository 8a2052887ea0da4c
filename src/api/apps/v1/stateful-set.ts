import { defineKind, type ObjectOf, schemaOf } from '../../machinery/kind.ts';
import { int32, int64, intOrString, list, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { PersistentVolumeClaim } from '../../core/v1/persistent-volume-claim.ts';
import { PodTemplateSpec } from '../../core/v1/pod-template-spec.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const RollingUpdateStatefulSetStrategy = object('io.k8s.api.apps.v1.RollingUpdateStatefulSetStrategy', {
  maxUnavailable: intOrString(2, { pointer: true }),
  partition: int32(1, { pointer: true }),
});
export type RollingUpdateStatefulSetStrategy = TypeOf<typeof RollingUpdateStatefulSetStrategy>;

export const StatefulSetOrdinals = object('io.k8s.api.apps.v1.StatefulSetOrdinals', {
  start: int32(1, { always: true }),
});
export type StatefulSetOrdinals = TypeOf<typeof StatefulSetOrdinals>;

export const StatefulSetPersistentVolumeClaimRetentionPolicy = object(
  'io.k8s.api.apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy',
  {
    whenDeleted: string(1),
    whenScaled: string(2),
  },
);
export type StatefulSetPersistentVolumeClaimRetentionPolicy = TypeOf<
  typeof StatefulSetPersistentVolumeClaimRetentionPolicy
>;

export const StatefulSetUpdateStrategy = object('io.k8s.api.apps.v1.StatefulSetUpdateStrategy', {
  rollingUpdate: struct(2, RollingUpdateStatefulSetStrategy),
  type: string(1, { enum: ['OnDelete', 'Recreate', 'RollingUpdate'] }),
});
export type StatefulSetUpdateStrategy = TypeOf<typeof StatefulSetUpdateStrategy>;

export const StatefulSetSpec = object('io.k8s.api.apps.v1.StatefulSetSpec', {
  minReadySeconds: int32(9),
  ordinals: struct(11, StatefulSetOrdinals),
  persistentVolumeClaimRetentionPolicy: struct(10, StatefulSetPersistentVolumeClaimRetentionPolicy),
  podManagementPolicy: string(6, { enum: ['OrderedReady', 'Parallel'] }),
  replicas: int32(1, { pointer: true }),
  revisionHistoryLimit: int32(8, { pointer: true }),
  selector: struct(2, LabelSelector, { required: true, always: true }),
  serviceName: string(5, { always: true }),
  template: struct(3, PodTemplateSpec, { required: true, always: true }),
  updateStrategy: struct(7, StatefulSetUpdateStrategy, { always: true }),
  volumeClaimTemplates: list(4, schemaOf(PersistentVolumeClaim), { listType: 'atomic' }),
});
export type StatefulSetSpec = TypeOf<typeof StatefulSetSpec>;

export const StatefulSetCondition = object('io.k8s.api.apps.v1.StatefulSetCondition', {
  lastTransitionTime: time(3),
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
});
export type StatefulSet = ObjectOf<typeof StatefulSet>;
