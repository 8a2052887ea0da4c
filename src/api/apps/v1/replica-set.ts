import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, int64, list, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { PodTemplateSpec } from '../../core/v1/pod-template-spec.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ReplicaSetSpec = object('io.k8s.api.apps.v1.ReplicaSetSpec', {
  minReadySeconds: int32(4),
  replicas: int32(1, { pointer: true }),
  selector: struct(2, LabelSelector, { required: true, always: true }),
  template: struct(3, PodTemplateSpec, { always: true }),
});
export type ReplicaSetSpec = TypeOf<typeof ReplicaSetSpec>;

export const ReplicaSetCondition = object('io.k8s.api.apps.v1.ReplicaSetCondition', {
  lastTransitionTime: time(3),
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
});
export type ReplicaSet = ObjectOf<typeof ReplicaSet>;
