import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, int64, list, object, quantity, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { autoscalerColumns } from './hpa-columns.ts';
import { validateAutoscalerCounts, validateAutoscalerSpec } from './hpa-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const MetricTarget = object('io.k8s.api.autoscaling.v2.MetricTarget', {
  averageUtilization: int32(4, { pointer: true }),
  averageValue: quantity(3, { pointer: true }),
  type: string(1, { required: true, always: true }),
  value: quantity(2, { pointer: true }),
});
export type MetricTarget = TypeOf<typeof MetricTarget>;

export const ContainerResourceMetricSource = object('io.k8s.api.autoscaling.v2.ContainerResourceMetricSource', {
  container: string(3, { required: true, always: true }),
  name: string(1, { required: true, always: true }),
  target: struct(2, MetricTarget, { required: true, always: true }),
});
export type ContainerResourceMetricSource = TypeOf<typeof ContainerResourceMetricSource>;

export const MetricValueStatus = object('io.k8s.api.autoscaling.v2.MetricValueStatus', {
  averageUtilization: int32(3, { pointer: true }),
  averageValue: quantity(2, { pointer: true }),
  value: quantity(1, { pointer: true }),
});
export type MetricValueStatus = TypeOf<typeof MetricValueStatus>;

export const ContainerResourceMetricStatus = object('io.k8s.api.autoscaling.v2.ContainerResourceMetricStatus', {
  container: string(3, { required: true, always: true }),
  current: struct(2, MetricValueStatus, { required: true, always: true }),
  name: string(1, { required: true, always: true }),
});
export type ContainerResourceMetricStatus = TypeOf<typeof ContainerResourceMetricStatus>;

export const CrossVersionObjectReference = object('io.k8s.api.autoscaling.v2.CrossVersionObjectReference', {
  apiVersion: string(3),
  kind: string(1, { required: true, always: true }),
  name: string(2, { required: true, always: true }),
});
export type CrossVersionObjectReference = TypeOf<typeof CrossVersionObjectReference>;

export const MetricIdentifier = object('io.k8s.api.autoscaling.v2.MetricIdentifier', {
  name: string(1, { required: true, always: true }),
  selector: struct(2, LabelSelector),
});
export type MetricIdentifier = TypeOf<typeof MetricIdentifier>;

export const ExternalMetricSource = object('io.k8s.api.autoscaling.v2.ExternalMetricSource', {
  metric: struct(1, MetricIdentifier, { required: true, always: true }),
  target: struct(2, MetricTarget, { required: true, always: true }),
});
export type ExternalMetricSource = TypeOf<typeof ExternalMetricSource>;

export const ExternalMetricStatus = object('io.k8s.api.autoscaling.v2.ExternalMetricStatus', {
  current: struct(2, MetricValueStatus, { required: true, always: true }),
  metric: struct(1, MetricIdentifier, { required: true, always: true }),
});
export type ExternalMetricStatus = TypeOf<typeof ExternalMetricStatus>;

export const HPAScalingPolicy = object('io.k8s.api.autoscaling.v2.HPAScalingPolicy', {
  periodSeconds: int32(3, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
  value: int32(2, { required: true, always: true }),
});
export type HPAScalingPolicy = TypeOf<typeof HPAScalingPolicy>;

export const HPAScalingRules = object('io.k8s.api.autoscaling.v2.HPAScalingRules', {
  policies: list(2, HPAScalingPolicy, { listType: 'atomic' }),
  selectPolicy: string(1, { pointer: true }),
  stabilizationWindowSeconds: int32(3, { pointer: true }),
  tolerance: quantity(4, { pointer: true }),
});
export type HPAScalingRules = TypeOf<typeof HPAScalingRules>;

export const HorizontalPodAutoscalerBehavior = object('io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior', {
  scaleDown: struct(2, HPAScalingRules),
  scaleUp: struct(1, HPAScalingRules),
});
export type HorizontalPodAutoscalerBehavior = TypeOf<typeof HorizontalPodAutoscalerBehavior>;

export const ObjectMetricSource = object('io.k8s.api.autoscaling.v2.ObjectMetricSource', {
  describedObject: struct(1, CrossVersionObjectReference, { required: true, always: true }),
  metric: struct(3, MetricIdentifier, { required: true, always: true }),
  target: struct(2, MetricTarget, { required: true, always: true }),
});
export type ObjectMetricSource = TypeOf<typeof ObjectMetricSource>;

export const PodsMetricSource = object('io.k8s.api.autoscaling.v2.PodsMetricSource', {
  metric: struct(1, MetricIdentifier, { required: true, always: true }),
  target: struct(2, MetricTarget, { required: true, always: true }),
});
export type PodsMetricSource = TypeOf<typeof PodsMetricSource>;

export const ResourceMetricSource = object('io.k8s.api.autoscaling.v2.ResourceMetricSource', {
  name: string(1, { required: true, always: true }),
  target: struct(2, MetricTarget, { required: true, always: true }),
});
export type ResourceMetricSource = TypeOf<typeof ResourceMetricSource>;

export const MetricSpec = object('io.k8s.api.autoscaling.v2.MetricSpec', {
  containerResource: struct(7, ContainerResourceMetricSource),
  external: struct(5, ExternalMetricSource),
  object: struct(2, ObjectMetricSource),
  pods: struct(3, PodsMetricSource),
  resource: struct(4, ResourceMetricSource),
  type: string(1, { required: true, always: true }),
});
export type MetricSpec = TypeOf<typeof MetricSpec>;

export const HorizontalPodAutoscalerSpec = object('io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec', {
  behavior: struct(5, HorizontalPodAutoscalerBehavior),
  maxReplicas: int32(3, { required: true, always: true, doc: 'The most pods.' }),
  metrics: list(4, MetricSpec, { listType: 'atomic' }),
  minReplicas: int32(2, { pointer: true, doc: 'The fewest pods; 1 unless given.' }),
  scaleTargetRef: struct(1, CrossVersionObjectReference, {
    required: true,
    always: true,
    doc: 'What it scales.',
  }),
});
export type HorizontalPodAutoscalerSpec = TypeOf<typeof HorizontalPodAutoscalerSpec>;

export const HorizontalPodAutoscalerCondition = object('io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerCondition', {
  lastTransitionTime: time(3, { always: true }),
  message: string(5),
  reason: string(4),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type HorizontalPodAutoscalerCondition = TypeOf<typeof HorizontalPodAutoscalerCondition>;

export const ObjectMetricStatus = object('io.k8s.api.autoscaling.v2.ObjectMetricStatus', {
  current: struct(2, MetricValueStatus, { required: true, always: true }),
  describedObject: struct(3, CrossVersionObjectReference, { required: true, always: true }),
  metric: struct(1, MetricIdentifier, { required: true, always: true }),
});
export type ObjectMetricStatus = TypeOf<typeof ObjectMetricStatus>;

export const PodsMetricStatus = object('io.k8s.api.autoscaling.v2.PodsMetricStatus', {
  current: struct(2, MetricValueStatus, { required: true, always: true }),
  metric: struct(1, MetricIdentifier, { required: true, always: true }),
});
export type PodsMetricStatus = TypeOf<typeof PodsMetricStatus>;

export const ResourceMetricStatus = object('io.k8s.api.autoscaling.v2.ResourceMetricStatus', {
  current: struct(2, MetricValueStatus, { required: true, always: true }),
  name: string(1, { required: true, always: true }),
});
export type ResourceMetricStatus = TypeOf<typeof ResourceMetricStatus>;

export const MetricStatus = object('io.k8s.api.autoscaling.v2.MetricStatus', {
  containerResource: struct(7, ContainerResourceMetricStatus),
  external: struct(5, ExternalMetricStatus),
  object: struct(2, ObjectMetricStatus),
  pods: struct(3, PodsMetricStatus),
  resource: struct(4, ResourceMetricStatus),
  type: string(1, { required: true, always: true }),
});
export type MetricStatus = TypeOf<typeof MetricStatus>;

export const HorizontalPodAutoscalerStatus = object('io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus', {
  conditions: list(6, HorizontalPodAutoscalerCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  currentMetrics: list(5, MetricStatus, { always: true, listType: 'atomic' }),
  currentReplicas: int32(3),
  desiredReplicas: int32(4, { required: true, always: true }),
  lastScaleTime: time(2),
  observedGeneration: int64(1, { pointer: true }),
});
export type HorizontalPodAutoscalerStatus = TypeOf<typeof HorizontalPodAutoscalerStatus>;

export const HorizontalPodAutoscaler = defineKind({
  group: 'autoscaling',
  version: 'v2',
  kind: 'HorizontalPodAutoscaler',
  plural: 'horizontalpodautoscalers',
  namespaced: true,
  doc: 'Adds and removes pods as measured load asks for.',
  shortNames: ['hpa'],
  categories: ['all'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, HorizontalPodAutoscalerSpec, { required: true, always: true }),
    status: struct(3, HorizontalPodAutoscalerStatus, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: autoscalerColumns,
  hasGeneration: false,
  default({ spec }) {
    spec.minReplicas ??= 1;
    if ((spec.metrics ?? []).length === 0)
      spec.metrics = [
        { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 80 } } },
      ];
    const { behavior } = spec;
    if (!behavior) return;
    behavior.scaleUp = { ...scaleUpRules(), ...behavior.scaleUp };
    behavior.scaleDown = { ...scaleDownRules(), ...behavior.scaleDown };
  },
  validate({ spec }, report) {
    validateAutoscalerSpec(spec, report.at('spec'));
  },
  changeRules: 'alone',
  validateUpdate({ spec }, old, report) {
    validateAutoscalerSpec(spec, report.at('spec'), old.spec);
  },
  validateStatusUpdate({ status }, _, report) {
    validateAutoscalerCounts(status, report.at('status'));
  },
});
export type HorizontalPodAutoscaler = ObjectOf<typeof HorizontalPodAutoscaler>;

/** Up: the larger of four pods and double, every 15 seconds. */
function scaleUpRules() {
  return {
    stabilizationWindowSeconds: 0,
    selectPolicy: 'Max',
    policies: [
      { type: 'Pods', value: 4, periodSeconds: 15 },
      { type: 'Percent', value: 100, periodSeconds: 15 },
    ],
  };
}

/** Down: as far as it goes, once the load has been low for the window of the cluster. */
function scaleDownRules() {
  return { selectPolicy: 'Max', policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }] };
}
