import type { ApiObject } from '../../machinery/kind.ts';
import type { ObjectMeta } from '../../meta/v1/object-meta.ts';
import type { HorizontalPodAutoscaler as Stored, MetricSpec, MetricStatus } from '../v2/horizontal-pod-autoscaler.ts';
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
  const others = read<MetricSpec[]>(annotations[carried.metrics]) ?? [];
  const measured = read<MetricStatus[]>(annotations[carried.currentMetrics]) ?? [];
  const behavior = read<Stored['spec']['behavior']>(annotations[carried.behavior]);
  const conditions = read<NonNullable<Stored['status']['conditions']>>(annotations[carried.conditions]);
  const metrics = [...(cpu === undefined ? [] : [cpuMetric(cpu)]), ...others];
  return {
    ...rest,
    metadata: withoutCarried(rest.metadata),
    spec: { ...wanted, metrics: metrics.length > 0 ? metrics : [cpuMetric(80)], ...(behavior && { behavior }) },
    status: {
      ...counts,
      currentMetrics: [...(measuredCpu === undefined ? [] : [cpuStatus(measuredCpu)]), ...measured],
      ...(conditions && { conditions }),
    },
  };
}

export function fromStored(stored: ApiObject): Autoscaler {
  const { spec, status, ...rest } = stored as Stored;
  const { metrics = [], behavior, ...wanted } = spec;
  const { currentMetrics, conditions, ...counts } = status;
  const cpu = metrics.find(isCpuUtilization);
  const measured = (currentMetrics ?? []).find(
    metric =>
      metric.type === 'Resource' &&
      metric.resource?.name === 'cpu' &&
      metric.resource.current.averageUtilization !== undefined,
  );
  const annotations = {
    ...rest.metadata.annotations,
    ...written(
      carried.metrics,
      metrics.filter(metric => metric !== cpu),
    ),
    ...written(
      carried.currentMetrics,
      (currentMetrics ?? []).filter(metric => metric !== measured),
    ),
    ...written(carried.conditions, conditions ?? []),
    ...(behavior && { [carried.behavior]: JSON.stringify(behavior) }),
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
