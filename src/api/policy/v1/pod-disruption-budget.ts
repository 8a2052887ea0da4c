import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import {
  int32,
  int64,
  intOrString,
  list,
  map,
  object,
  string,
  struct,
  types,
  type TypeOf,
} from '../../machinery/schema.ts';
import { Condition } from '../../meta/v1/condition.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PodDisruptionBudgetSpec = object('io.k8s.api.policy.v1.PodDisruptionBudgetSpec', {
  maxUnavailable: intOrString(3, { pointer: true }),
  minAvailable: intOrString(1, { pointer: true }),
  selector: struct(2, LabelSelector, { patchStrategy: 'replace' }),
  unhealthyPodEvictionPolicy: string(4, { pointer: true, enum: ['AlwaysAllow', 'IfHealthyBudget'] }),
});
export type PodDisruptionBudgetSpec = TypeOf<typeof PodDisruptionBudgetSpec>;

export const PodDisruptionBudgetStatus = object('io.k8s.api.policy.v1.PodDisruptionBudgetStatus', {
  conditions: list(7, Condition, { listType: 'map', mapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' }),
  currentHealthy: int32(4, { always: true }),
  desiredHealthy: int32(5, { always: true }),
  disruptedPods: map(2, types.time),
  disruptionsAllowed: int32(3, { always: true }),
  expectedPods: int32(6, { always: true }),
  observedGeneration: int64(1),
});
export type PodDisruptionBudgetStatus = TypeOf<typeof PodDisruptionBudgetStatus>;

export const PodDisruptionBudget = defineKind({
  group: 'policy',
  version: 'v1',
  kind: 'PodDisruptionBudget',
  plural: 'poddisruptionbudgets',
  namespaced: true,
  shortNames: ['pdb'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.policy.v1.PodDisruptionBudget',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, PodDisruptionBudgetSpec, { always: true }),
    status: struct(3, PodDisruptionBudgetStatus, { always: true }),
  },
});
export type PodDisruptionBudget = ObjectOf<typeof PodDisruptionBudget>;
