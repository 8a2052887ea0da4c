import type { ApiObject } from '../../machinery/kind.ts';
import type { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { goForm } from '../../machinery/go-form.ts';
import type { LabelSelector } from '../../meta/v1/label-selector.ts';
import {
  type CrossVersionObjectReference,
  type HorizontalPodAutoscaler as Stored,
  HorizontalPodAutoscalerBehavior,
  type MetricIdentifier,
  type MetricSpec,
  type MetricStatus,
  type MetricTarget,
  type MetricValueStatus,
} from '../v2/horizontal-pod-autoscaler.ts';
import type { HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus } from './horizontal-pod-autoscaler.ts';

interface Autoscaler extends ApiObject {
  readonly spec: HorizontalPodAutoscalerSpec;
  readonly status: HorizontalPodAutoscalerStatus;
}

/** What version 1 has no fields for travels in annotations. */
const carried = {
  metrics: 'autoscaling.alpha.kubernetes.io/metrics',
  currentMetrics: 'autoscaling.alpha.kubernetes.io/current-metrics',
  conditions: 'autoscaling.alpha.kubernetes.io/conditions',
  behavior: 'autoscaling.alpha.kubernetes.io/behavior',
} as const;

export function toStored({ spec, status, ...rest }: Autoscaler): Stored {
  const annotations = rest.metadata.annotations ?? {};
  const { targetCPUUtilizationPercentage: cpu, ...wanted } = spec;
  const { currentCPUUtilizationPercentage: measuredCpu, ...counts } = status;
  const others = read<Metric[]>(annotations[carried.metrics])?.map(metricOf) ?? [];
  const measured = read<MeasuredMetric[]>(annotations[carried.currentMetrics])?.map(statusOf);
  const behavior = read(annotations[carried.behavior]);
  const conditions = read<NonNullable<Stored['status']['conditions']>>(annotations[carried.conditions]);
  const metrics = [...others, ...(cpu === undefined ? [] : [cpuMetric(cpu)])];
  return {
    ...rest,
    metadata: withoutCarried(rest.metadata),
    spec: {
      ...wanted,
      metrics: metrics.length > 0 ? metrics : [cpuMetric(80)],
      ...(behavior !== undefined && { behavior: fromGo(behavior) as Stored['spec']['behavior'] }),
    },
    status: {
      ...counts,
      // What is carried says more than the one number.
      currentMetrics: measured ?? (measuredCpu === undefined ? [] : [cpuStatus(measuredCpu)]),
      ...(conditions && { conditions }),
    },
  };
}

export function fromStored(stored: ApiObject): Autoscaler {
  const { spec, status, ...rest } = stored as Stored;
  // What is shown even when it is unset is null then.
  const { metrics: someMetrics, behavior, ...wanted } = spec;
  const { currentMetrics: someCurrent, conditions, ...counts } = status;
  const metrics = someMetrics ?? [];
  const currentMetrics = someCurrent ?? [];
  const cpu = metrics.find(isCpuUtilization);
  const measured = currentMetrics.findLast(
    metric =>
      metric.type === 'Resource' &&
      metric.resource?.name === 'cpu' &&
      metric.resource.current.averageUtilization !== undefined,
  );
  const annotations = {
    ...withoutCarried(rest.metadata).annotations,
    ...written(carried.metrics, metrics.filter(metric => !isCpuUtilization(metric)).map(flatMetric)),
    ...written(carried.currentMetrics, currentMetrics.map(flatStatus)),
    ...written(carried.conditions, conditions ?? []),
    ...(behavior && { [carried.behavior]: JSON.stringify(goForm(HorizontalPodAutoscalerBehavior, behavior)) }),
  };
  const percent = cpu?.resource?.target.averageUtilization;
  const measuredPercent = measured?.resource?.current.averageUtilization;
  return {
    ...rest,
    metadata: Object.keys(annotations).length > 0 ? { ...rest.metadata, annotations } : rest.metadata,
    spec: { ...wanted, ...(percent !== undefined && { targetCPUUtilizationPercentage: percent }) },
    status: {
      ...counts,
      currentReplicas: counts.currentReplicas ?? 0,
      ...(measuredPercent !== undefined && { currentCPUUtilizationPercentage: measuredPercent }),
    },
  };
}

/** A metric as version 1 has it in annotations: the target's numbers beside the name. */
interface Metric {
  readonly type: string;
  readonly resource?: ResourceMetric;
  readonly containerResource?: ResourceMetric & { readonly container: string };
  readonly pods?: {
    readonly metricName: string;
    readonly targetAverageValue: string;
    readonly selector?: LabelSelector;
  };
  readonly object?: {
    readonly target: CrossVersionObjectReference;
    readonly metricName: string;
    readonly targetValue: string;
    readonly selector?: LabelSelector;
    readonly averageValue?: string;
  };
  readonly external?: {
    readonly metricName: string;
    readonly metricSelector?: LabelSelector;
    readonly targetValue?: string;
    readonly targetAverageValue?: string;
  };
}

interface ResourceMetric {
  readonly name: string;
  readonly targetAverageUtilization?: number;
  readonly targetAverageValue?: string;
}

function metricOf({ type, resource, containerResource, pods, object, external }: Metric): MetricSpec {
  const amount = ({ targetAverageUtilization, targetAverageValue }: ResourceMetric) => ({
    type: targetAverageUtilization === undefined ? 'AverageValue' : 'Utilization',
    averageValue: targetAverageValue,
    averageUtilization: targetAverageUtilization,
  });
  return {
    type,
    ...(resource && { resource: { name: resource.name, target: amount(resource) } }),
    ...(containerResource && {
      containerResource: {
        name: containerResource.name,
        container: containerResource.container,
        target: amount(containerResource),
      },
    }),
    ...(pods && {
      pods: {
        metric: { name: pods.metricName, selector: pods.selector },
        target: { type: 'AverageValue', averageValue: pods.targetAverageValue },
      },
    }),
    ...(object && {
      object: {
        describedObject: object.target,
        metric: { name: object.metricName, selector: object.selector },
        target:
          object.averageValue === undefined
            ? { type: 'Value', value: object.targetValue }
            : // Version 1 cannot leave the value out.
              {
                type: 'AverageValue',
                averageValue: object.averageValue,
                value: object.targetValue === '0' ? undefined : object.targetValue,
              },
      },
    }),
    ...(external && {
      external: {
        metric: { name: external.metricName, selector: external.metricSelector },
        target: {
          type: external.targetValue === undefined ? 'AverageValue' : 'Value',
          value: external.targetValue,
          averageValue: external.targetAverageValue,
        },
      },
    }),
  };
}

function flatMetric({ type, resource, containerResource, pods, object, external }: MetricSpec): Metric {
  const amount = ({ averageUtilization, averageValue }: MetricTarget) => ({
    ...(averageUtilization !== undefined && { targetAverageUtilization: averageUtilization }),
    ...(averageValue !== undefined && { targetAverageValue: averageValue }),
  });
  return {
    type,
    ...(resource && { resource: { name: resource.name, ...amount(resource.target) } }),
    ...(containerResource && {
      containerResource: {
        name: containerResource.name,
        ...amount(containerResource.target),
        container: containerResource.container,
      },
    }),
    ...(pods && {
      pods: {
        metricName: pods.metric.name,
        targetAverageValue: pods.target.averageValue ?? '0',
        ...selecting('selector', pods.metric),
      },
    }),
    ...(object && {
      object: {
        target: object.describedObject,
        metricName: object.metric.name,
        targetValue: object.target.value ?? '0',
        ...selecting('selector', object.metric),
        ...(object.target.averageValue !== undefined && { averageValue: object.target.averageValue }),
      },
    }),
    ...(external && {
      external: {
        metricName: external.metric.name,
        ...selecting('metricSelector', external.metric),
        ...(external.target.value !== undefined && { targetValue: external.target.value }),
        ...(external.target.averageValue !== undefined && { targetAverageValue: external.target.averageValue }),
      },
    }),
  };
}

function selecting(name: string, { selector }: MetricIdentifier): object {
  return selector === undefined ? {} : { [name]: selector };
}

/** What was measured, as version 1 has it in annotations. */
interface MeasuredMetric {
  readonly type: string;
  readonly resource?: MeasuredResource;
  readonly containerResource?: MeasuredResource & { readonly container: string };
  readonly pods?: {
    readonly metricName: string;
    readonly currentAverageValue: string;
    readonly selector?: LabelSelector;
  };
  readonly object?: {
    readonly target: CrossVersionObjectReference;
    readonly metricName: string;
    readonly currentValue: string;
    readonly selector?: LabelSelector;
    readonly averageValue?: string;
  };
  readonly external?: {
    readonly metricName: string;
    readonly metricSelector?: LabelSelector;
    readonly currentValue: string;
    readonly currentAverageValue?: string;
  };
}

interface MeasuredResource {
  readonly name: string;
  readonly currentAverageUtilization?: number;
  readonly currentAverageValue: string;
}

function statusOf({ type, resource, containerResource, pods, object, external }: MeasuredMetric): MetricStatus {
  const amount = ({ currentAverageUtilization, currentAverageValue }: MeasuredResource) => ({
    averageValue: currentAverageValue,
    averageUtilization: currentAverageUtilization,
  });
  return {
    type,
    ...(resource && { resource: { name: resource.name, current: amount(resource) } }),
    ...(containerResource && {
      containerResource: {
        name: containerResource.name,
        container: containerResource.container,
        current: amount(containerResource),
      },
    }),
    ...(pods && {
      pods: {
        metric: { name: pods.metricName, selector: pods.selector },
        current: { averageValue: pods.currentAverageValue },
      },
    }),
    ...(object && {
      object: {
        describedObject: object.target,
        metric: { name: object.metricName, selector: object.selector },
        current: { value: object.currentValue, averageValue: object.averageValue },
      },
    }),
    ...(external && {
      external: {
        metric: { name: external.metricName, selector: external.metricSelector },
        current: { value: external.currentValue, averageValue: external.currentAverageValue },
      },
    }),
  };
}

function flatStatus({ type, resource, containerResource, pods, object, external }: MetricStatus): MeasuredMetric {
  const amount = ({ averageUtilization, averageValue = '0' }: MetricValueStatus) => ({
    ...(averageUtilization !== undefined && { currentAverageUtilization: averageUtilization }),
    currentAverageValue: averageValue,
  });
  return {
    type,
    ...(resource && { resource: { name: resource.name, ...amount(resource.current) } }),
    ...(containerResource && {
      containerResource: {
        name: containerResource.name,
        ...amount(containerResource.current),
        container: containerResource.container,
      },
    }),
    ...(pods && {
      pods: {
        metricName: pods.metric.name,
        currentAverageValue: pods.current.averageValue ?? '0',
        ...selecting('selector', pods.metric),
      },
    }),
    ...(object && {
      object: {
        target: object.describedObject,
        metricName: object.metric.name,
        currentValue: object.current.value ?? '0',
        ...selecting('selector', object.metric),
        ...(object.current.averageValue !== undefined && { averageValue: object.current.averageValue }),
      },
    }),
    ...(external && {
      external: {
        metricName: external.metric.name,
        ...selecting('metricSelector', external.metric),
        currentValue: external.current.value ?? '0',
        ...(external.current.averageValue !== undefined && { currentAverageValue: external.current.averageValue }),
      },
    }),
  };
}

/** Upstream writes the behavior with Go's names and reads it with either. */
function fromGo(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromGo);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== null)
      .map(([name, each]) => [name.charAt(0).toLowerCase() + name.slice(1), fromGo(each)]),
  );
}

function isCpuUtilization({ type, resource }: MetricSpec): boolean {
  return type === 'Resource' && resource?.name === 'cpu' && resource.target.averageUtilization !== undefined;
}

function cpuMetric(averageUtilization: number): MetricSpec {
  return { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization } } };
}

function cpuStatus(averageUtilization: number): MetricStatus {
  return { type: 'Resource', resource: { name: 'cpu', current: { averageUtilization } } };
}

function written(annotation: string, items: readonly unknown[]): Readonly<Record<string, string>> {
  return items.length > 0 ? { [annotation]: JSON.stringify(items) } : {};
}

/** An annotation that somebody else wrote may hold anything: what is no JSON counts as absent, as upstream has it. */
function read<Value>(text: string | undefined): Value | undefined {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as Value;
  } catch {
    return undefined;
  }
}

function withoutCarried(metadata: ObjectMeta): ObjectMeta {
  const { annotations } = metadata;
  const names: readonly string[] = Object.values(carried);
  if (!annotations || !names.some(name => Object.hasOwn(annotations, name))) return metadata;
  const kept = Object.entries(annotations).filter(([name]) => !names.includes(name));
  return { ...metadata, annotations: kept.length > 0 ? Object.fromEntries(kept) : undefined };
}
