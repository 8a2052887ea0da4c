import { defineKind, type ObjectOf, type WithSpec } from '../../machinery/kind.ts';
import { int32, int64, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { autoscalerColumns } from '../v2/hpa-columns.ts';
import { validateAutoscalerCounts, validateAutoscalerSpec } from '../v2/hpa-validation.ts';
import { fromStored, toStored } from './hpa-conversion.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const CrossVersionObjectReference = object(
  'io.k8s.api.autoscaling.v1.CrossVersionObjectReference',
  {
    apiVersion: string(3),
    kind: string(1, { required: true, always: true }),
    name: string(2, { required: true, always: true }),
  },
  { mapType: 'atomic' },
);
export type CrossVersionObjectReference = TypeOf<typeof CrossVersionObjectReference>;

export const HorizontalPodAutoscalerSpec = object('io.k8s.api.autoscaling.v1.HorizontalPodAutoscalerSpec', {
  maxReplicas: int32(3, { required: true, always: true }),
  minReplicas: int32(2, { pointer: true }),
  scaleTargetRef: struct(1, CrossVersionObjectReference, { required: true, always: true }),
  targetCPUUtilizationPercentage: int32(4, { pointer: true }),
});
export type HorizontalPodAutoscalerSpec = TypeOf<typeof HorizontalPodAutoscalerSpec>;

export const HorizontalPodAutoscalerStatus = object('io.k8s.api.autoscaling.v1.HorizontalPodAutoscalerStatus', {
  currentCPUUtilizationPercentage: int32(5, { pointer: true }),
  currentReplicas: int32(3, { required: true, always: true }),
  desiredReplicas: int32(4, { required: true, always: true }),
  lastScaleTime: time(2),
  observedGeneration: int64(1, { pointer: true }),
});
export type HorizontalPodAutoscalerStatus = TypeOf<typeof HorizontalPodAutoscalerStatus>;

export const HorizontalPodAutoscaler = defineKind({
  group: 'autoscaling',
  version: 'v1',
  kind: 'HorizontalPodAutoscaler',
  plural: 'horizontalpodautoscalers',
  namespaced: true,
  doc: 'Adds and removes pods as measured load asks for; version 2 knows more than the CPU.',
  storedAs: { group: 'autoscaling', version: 'v2' },
  shortNames: ['hpa'],
  categories: ['all'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, HorizontalPodAutoscalerSpec, { required: true, always: true }),
    status: struct(3, HorizontalPodAutoscalerStatus, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: autoscalerColumns.map(column => ({
    ...column,
    cell: (item: Autoscaler, nowMs: number) => column.cell(toStored(item), nowMs),
  })),
  hasGeneration: false,
  toStored,
  fromStored: stored => fromStored(stored) as never,
  default({ spec }) {
    spec.minReplicas ??= 1;
  },
  validate(item, report) {
    validateAutoscalerSpec(toStored(item).spec, report.at('spec'));
  },
  changeRules: 'alone',
  validateUpdate(item, old, report) {
    validateAutoscalerSpec(toStored(item).spec, report.at('spec'), toStored(old).spec);
  },
  validateStatusUpdate({ status }, _, report) {
    validateAutoscalerCounts(status, report.at('status'));
  },
});
export type HorizontalPodAutoscaler = ObjectOf<typeof HorizontalPodAutoscaler>;

type Autoscaler = WithSpec<HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus>;
