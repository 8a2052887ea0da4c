import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, int64, list, map, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { PodTemplateSpec } from './pod-template-spec.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ReplicationControllerSpec = object('io.k8s.api.core.v1.ReplicationControllerSpec', {
  minReadySeconds: int32(4, { default: 0 }),
  replicas: int32(1, { pointer: true, default: 1 }),
  selector: map(2, types.string, { mapType: 'atomic' }),
  template: struct(3, PodTemplateSpec),
});
export type ReplicationControllerSpec = TypeOf<typeof ReplicationControllerSpec>;

export const ReplicationControllerCondition = object('io.k8s.api.core.v1.ReplicationControllerCondition', {
  lastTransitionTime: time(3),
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
  categories: ['all'],
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
});
export type ReplicationController = ObjectOf<typeof ReplicationController>;
