import {
  HorizontalPodAutoscaler,
  type HorizontalPodAutoscalerCondition,
  type HorizontalPodAutoscalerStatus,
} from '#api/autoscaling/v2/horizontal-pod-autoscaler.ts';
import type { Scale } from '#api/autoscaling/v1/scale.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { defineKind, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import { compileRequirements, formatLabelSelector, parseLabelSelector } from '#api/machinery/selector.ts';
import { formatQuantity, milliValue } from '#api/machinery/quantity.ts';
import type { Client } from '#client/client.ts';
import { discover } from '#client/discovery.ts';
import { keyOf } from '#client/informer.ts';
import { afterwards, event, updateStatus, wake, type Action } from '../actions.ts';
import { withCondition } from '../conditions.ts';
import { defineController } from '../controller.ts';
import { lookup, type Read } from '../reads.ts';
import { sameApartFromZeros } from '../same.ts';
import { timeMs, timeText } from '../time.ts';
import { customValue, type CustomValue } from './custom-metrics.ts';
import {
  proposeForResource,
  replicasForAverage,
  replicasForRatio,
  toleranceOf,
  type Tolerance,
  requestedMilli,
  withinLimits,
  type History,
  type PodMeasure,
} from './desired-replicas.ts';

/** Upstream's `--horizontal-pod-autoscaler-sync-period`. */
const periodMs = 15_000;

type Metric = NonNullable<HorizontalPodAutoscaler['spec']['metrics']>[number];

/** Adds and removes replicas so that the load of the pods comes to its target. */
export const horizontalPodAutoscalerController = defineController({
  name: 'horizontal-pod-autoscaler',
  reconciles: HorizontalPodAutoscaler,
  reads: { pods: lookup<HorizontalPodAutoscaler, Pod>(Pod), history: histories() },
  writes: [HorizontalPodAutoscaler],
  changed: (autoscaler, old) => !sameApartFromZeros(autoscaler.spec, old.spec),
  ask: (autoscaler, { client, pods, signal }) =>
    observe(client, autoscaler, pods.inNamespace(autoscaler.metadata.namespace ?? '').values(), signal),
  decide(autoscaler, { answer, history, nowMs }) {
    if (!answer) return [];
    const again = wake(nowMs + periodMs);
    const { spec } = autoscaler;
    if ('problem' in answer) {
      const message = `the HPA controller was unable to get the target's current scale: ${answer.problem}`;
      return [
        event(autoscaler, 'Warning', 'FailedGetScale', answer.problem),
        ...written(
          autoscaler,
          autoscaler.status ?? { desiredReplicas: 0 },
          [['AbleToScale', false, 'FailedGetScale', message]],
          nowMs,
        ),
        again,
      ];
    }
    const current = answer.scale.spec?.replicas ?? 0;
    const seen = { currentReplicas: answer.scale.status?.replicas ?? current };
    const base: HorizontalPodAutoscalerStatus = {
      ...autoscaler.status,
      ...seen,
      desiredReplicas: current,
      ...(autoscaler.metadata.generation !== undefined && { observedGeneration: autoscaler.metadata.generation }),
    };
    const gotScale: Row = [
      'AbleToScale',
      true,
      'SucceededGetScale',
      "the HPA controller was able to get the target's current scale",
    ];
    if (current === 0 && spec.minReplicas !== 0) {
      const disabled: Row = [
        'ScalingActive',
        false,
        'ScalingDisabled',
        'scaling is disabled since the replica count of the target is zero',
      ];
      return [...written(autoscaler, { ...base, desiredReplicas: 0 }, [gotScale, disabled], nowMs), again];
    }
    const outside = boundOf(spec, current);
    if (outside)
      return [...rescale(autoscaler, answer, base, outside.replicas, outside.why, [gotScale], history, nowMs), again];
    const measured = measure(autoscaler, answer, current, nowMs);
    if (measured.best === undefined) {
      const { reason, message } = measured.failure ?? { reason: 'InvalidMetricSourceType', message: 'no metrics' };
      return [
        event(autoscaler, 'Warning', reason, message),
        event(
          autoscaler,
          'Warning',
          'FailedComputeMetricsReplicas',
          `invalid metrics (${measured.failures} invalid out of ${(spec.metrics ?? []).length}), first error is: ${message}`,
        ),
        ...written(
          autoscaler,
          { ...base, currentMetrics: measured.statuses },
          [gotScale, ['ScalingActive', false, reason, `the HPA was unable to compute the replica count: ${message}`]],
          nowMs,
        ),
        again,
      ];
    }
    const active: Row = [
      'ScalingActive',
      true,
      'ValidMetricFound',
      `the HPA was able to successfully calculate a replica count from ${measured.name}`,
    ];
    // With a metric missing nobody is sent home.
    const recommended = measured.failures > 0 ? Math.max(current, measured.best) : measured.best;
    history.recommend(recommended, nowMs);
    const { replicas, able, limited } = withinLimits(spec, current, recommended, history, nowMs);
    const ready: Row = able
      ? ['AbleToScale', true, able.reason, able.message]
      : ['AbleToScale', true, 'ReadyForNewScale', 'recommended size matches current size'];
    const rows: Row[] = [ready, active, ['ScalingLimited', limited.limited, limited.reason, limited.message]];
    const status = { ...base, currentMetrics: measured.statuses };
    const why = replicas > current ? `${measured.name} above target` : 'All metrics below target';
    return [...rescale(autoscaler, answer, status, replicas, why, rows, history, nowMs), again];
  },
});

type Row = readonly [type: string, state: boolean, reason: string, message: string];

interface Observed {
  readonly kind: Kind;
  readonly scale: Scale;
  readonly pods: readonly Pod[];
  /** Container name → thousandths of each resource, by pod; or why there is nothing. */
  readonly measures: ReadonlyMap<string, Measured> | { readonly problem: string };
  /** What metrics APIs of others say of the metrics that are theirs. */
  readonly custom: ReadonlyMap<Metric, CustomValue>;
}

interface Measured {
  readonly atMs: number;
  readonly containers: readonly { readonly name: string; readonly usage: Readonly<Record<string, string>> }[];
}

/** The target's scale, its pods and what the metrics server says of them. */
async function observe(
  client: Client,
  autoscaler: HorizontalPodAutoscaler,
  pods: Iterable<Pod>,
  signal: AbortSignal,
): Promise<Observed | { readonly problem: string }> {
  const { namespace = '' } = autoscaler.metadata;
  const { apiVersion = '', kind: kindName, name } = autoscaler.spec.scaleTargetRef;
  try {
    const kind = await kindNamed(client, apiVersion, kindName, signal);
    if (!kind)
      return {
        problem: `no matches for kind ${JSON.stringify(kindName)} in group ${JSON.stringify(apiVersion.split('/')[0])}`,
      };
    const scale = (await client.get(kind, name, { namespace, subresource: 'scale', signal })) as ApiObject as Scale;
    const selector = scale.status?.selector ?? '';
    const matches = selector === '' ? () => false : compileRequirements(parseLabelSelector(selector));
    const own = [...pods].filter(pod => matches(pod.metadata.labels));
    const metrics = autoscaler.spec.metrics ?? [];
    const about = {
      namespace,
      podSelector: selector,
      kindNamed: (version: string, name: string) => kindNamed(client, version, name, signal),
    };
    const [measures, values] = await Promise.all([
      metrics.some(each => each.resource ?? each.containerResource)
        ? measuresOf(client, namespace, selector, signal)
        : { problem: 'nobody asked' },
      Promise.all(metrics.map(each => customValue(client, each, about, signal))),
    ]);
    const custom = new Map(metrics.flatMap((each, index) => (values[index] ? [[each, values[index]] as const] : [])));
    return { kind, scale, pods: own, measures, custom };
  } catch (error) {
    signal.throwIfAborted();
    return { problem: (error as Error).message };
  }
}

const wellKnown: Readonly<Record<string, string>> = {
  'apps/v1/Deployment': 'deployments',
  'apps/v1/ReplicaSet': 'replicasets',
  'apps/v1/StatefulSet': 'statefulsets',
  'v1/ReplicationController': 'replicationcontrollers',
};

async function kindNamed(
  client: Client,
  apiVersion: string,
  kind: string,
  signal: AbortSignal,
): Promise<Kind | undefined> {
  const id = `${apiVersion}/${kind}`;
  const slash = apiVersion.indexOf('/');
  const group = slash < 0 ? '' : apiVersion.slice(0, slash);
  if (Object.hasOwn(wellKnown, id))
    return defineKind({
      group,
      version: apiVersion.slice(slash + 1),
      kind,
      plural: wellKnown[id] as string,
      namespaced: true,
      type: '',
      fields: {},
    }) as unknown as Kind;
  const { kinds } = await discover(client, signal);
  return kinds.find(each => each.group === group && each.kind === kind);
}

interface PodMetricsList {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly timestamp?: string;
    readonly containers?: Measured['containers'];
  }[];
}

async function measuresOf(
  client: Client,
  namespace: string,
  selector: string,
  signal: AbortSignal,
): Promise<Observed['measures']> {
  const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
  try {
    const { items } = JSON.parse(await client.raw(path, { accept: 'application/json', signal })) as PodMetricsList;
    return new Map(
      items.map(({ metadata, timestamp, containers = [] }) => [metadata.name, { atMs: timeMs(timestamp), containers }]),
    );
  } catch (error) {
    signal.throwIfAborted();
    return { problem: `unable to fetch metrics from resource metrics API: ${(error as Error).message}` };
  }
}

function boundOf({ minReplicas = 1, maxReplicas }: HorizontalPodAutoscaler['spec'], current: number) {
  if (current > maxReplicas) return { replicas: maxReplicas, why: 'Current number of replicas above Spec.MaxReplicas' };
  if (current < minReplicas) return { replicas: minReplicas, why: 'Current number of replicas below Spec.MinReplicas' };
  return undefined;
}

interface MeasuredMetrics {
  readonly best: number | undefined;
  readonly name: string;
  readonly failures: number;
  readonly failure?: { readonly reason: string; readonly message: string };
  readonly statuses: NonNullable<HorizontalPodAutoscalerStatus['currentMetrics']>;
}

/** The largest of what the metrics ask for. */
function measure(
  autoscaler: HorizontalPodAutoscaler,
  observed: Observed,
  current: number,
  nowMs: number,
): MeasuredMetrics {
  let best: number | undefined;
  let name = '';
  let failures = 0;
  let failure: MeasuredMetrics['failure'];
  const statuses: MeasuredMetrics['statuses'][number][] = [];
  const tolerance = toleranceOf(autoscaler.spec);
  for (const metric of autoscaler.spec.metrics ?? []) {
    try {
      const found = proposalFor(metric, observed, current, tolerance, nowMs);
      statuses.push(found.status);
      if (best === undefined || found.replicas > best) {
        best = found.replicas;
        name = found.name;
      }
    } catch (error) {
      failures++;
      failure ??= { reason: failureReason(metric), message: (error as Error).message };
    }
  }
  return { best, name, failures, statuses, ...(failure && { failure }) };
}

function failureReason({ type }: Metric): string {
  const known = ['Resource', 'ContainerResource', 'Pods', 'Object', 'External'];
  return known.includes(type) ? `FailedGet${type}Metric` : 'InvalidMetricSourceType';
}

function proposalFor(
  metric: Metric,
  { scale, pods, measures, custom }: Observed,
  current: number,
  tolerance: Tolerance,
  nowMs: number,
) {
  const value = custom.get(metric);
  if (value)
    return proposalForCustom(metric, value, scale.status?.replicas ?? current, current, pods, tolerance, nowMs);
  const source = metric.resource ?? metric.containerResource;
  if (!source) throw new Error(`no ${metric.type.toLowerCase()} metrics API is served`);
  const container = metric.containerResource?.container;
  const { name: resource, target } = source;
  const about = container === undefined ? `${resource} resource` : `${resource} container resource`;
  if ('problem' in measures) throw new Error(`failed to get ${resource} utilization: ${measures.problem}`);
  const usage = new Map<string, PodMeasure>();
  for (const [pod, { atMs, containers }] of measures) {
    const counted = containers.filter(each => container === undefined || each.name === container);
    if (counted.length > 0 && counted.every(each => each.usage[resource] !== undefined))
      usage.set(pod, { atMs, milli: counted.reduce((sum, each) => sum + milliValue(each.usage[resource]), 0) });
  }
  const byUtilization = target.averageUtilization !== undefined;
  const proposal = proposeForResource(
    resource,
    byUtilization
      ? { kind: 'utilization', percent: target.averageUtilization ?? 0 }
      : { kind: 'value', milli: milliValue(target.averageValue) },
    current,
    pods,
    usage,
    pod => requestedMilli(resource, container, pod),
    nowMs,
    tolerance,
  );
  const now = {
    averageValue: resource === 'cpu' ? `${proposal.averageMilli}m` : String(Math.round(proposal.averageMilli / 1000)),
    ...(byUtilization && proposal.utilization !== undefined && { averageUtilization: proposal.utilization }),
  };
  return {
    replicas: proposal.replicas,
    name: byUtilization ? `${about} utilization (percentage of request)` : about,
    status:
      container === undefined
        ? { type: metric.type, resource: { name: resource, current: now } }
        : { type: metric.type, containerResource: { name: resource, container, current: now } },
  };
}

function proposalForCustom(
  { type, pods: podsMetric, object, external }: Metric,
  value: CustomValue,
  statusReplicas: number,
  current: number,
  pods: readonly Pod[],
  tolerance: Tolerance,
  nowMs: number,
) {
  if (value.kind === 'problem') throw new Error(value.message);
  if (podsMetric && value.kind === 'pods') {
    const target = milliValue(podsMetric.target.averageValue);
    const none = () => undefined;
    const { replicas, averageMilli } = proposeForResource(
      '',
      { kind: 'value', milli: target },
      current,
      pods,
      value.measures,
      none,
      nowMs,
      tolerance,
    );
    const averageValue = milliText(averageMilli);
    return {
      replicas,
      name: `pods metric ${podsMetric.metric.name}`,
      status: { type, pods: { metric: podsMetric.metric, current: { averageValue } } },
    };
  }
  const source = object ?? external;
  if (!source || value.kind !== 'one') throw new Error(`invalid metric source type ${JSON.stringify(type)}`);
  const { target, metric } = source;
  const { milli } = value;
  const byPod = target.value === undefined;
  const replicas = byPod
    ? replicasForAverage(milli, milliValue(target.averageValue), statusReplicas, tolerance)
    : replicasForRatio(milli / milliValue(target.value), current, pods, tolerance);
  const now = byPod
    ? { averageValue: milliText(Math.ceil(milli / Math.max(1, statusReplicas))) }
    : { value: milliText(milli) };
  return object
    ? {
        replicas,
        name: `${object.describedObject.kind} metric ${metric.name}`,
        status: { type, object: { metric, describedObject: object.describedObject, current: now } },
      }
    : {
        replicas,
        name: `external metric ${metric.name}(${formatLabelSelector(metric.selector ?? {})})`,
        status: { type, external: { metric, current: now } },
      };
}

function milliText(milli: number): string {
  return formatQuantity({ nano: BigInt(Math.round(milli)) * 1_000_000n, format: 'decimal' });
}

function rescale(
  autoscaler: HorizontalPodAutoscaler,
  { kind, scale }: Observed,
  status: HorizontalPodAutoscalerStatus,
  replicas: number,
  why: string,
  rows: readonly Row[],
  history: Memory,
  nowMs: number,
): readonly Action[] {
  const current = scale.spec?.replicas ?? 0;
  const wanted = { ...status, desiredReplicas: replicas };
  if (replicas === current) return written(autoscaler, wanted, rows, nowMs);
  const action = `the HPA controller was able to update the target scale to ${replicas}`;
  return [
    { do: 'update', kind, object: { ...scale, spec: { replicas } } as ApiObject, subresource: 'scale' },
    afterwards(({ failures }) => {
      const error = failures[0]?.error;
      if (error) {
        const message = `the HPA controller was unable to update the target scale: ${error.message}`;
        return [
          event(
            autoscaler,
            'Warning',
            'FailedRescale',
            `New size: ${replicas}; reason: ${why}; error: ${error.message}`,
          ),
          ...written(autoscaler, status, [...rows, ['AbleToScale', false, 'FailedUpdateScale', message]], nowMs),
        ];
      }
      history.change(replicas - current, nowMs);
      return [
        event(autoscaler, 'Normal', 'SuccessfulRescale', `New size: ${replicas}; reason: ${why}`),
        ...written(
          autoscaler,
          { ...wanted, lastScaleTime: timeText(nowMs) },
          [...rows, ['AbleToScale', true, 'SucceededRescale', action]],
          nowMs,
        ),
      ];
    }),
  ];
}

function written(
  autoscaler: HorizontalPodAutoscaler,
  status: HorizontalPodAutoscalerStatus,
  rows: readonly Row[],
  nowMs: number,
): readonly Action[] {
  let conditions = autoscaler.status?.conditions ?? [];
  for (const [type, state, reason, message] of rows)
    conditions = withCondition<HorizontalPodAutoscalerCondition>(conditions, {
      type,
      status: state ? 'True' : 'False',
      reason,
      message,
      lastTransitionTime: timeText(nowMs),
    });
  const wanted = { ...status, conditions };
  return sameApartFromZeros(wanted, autoscaler.status)
    ? []
    : [updateStatus(HorizontalPodAutoscaler, { ...autoscaler, status: wanted })];
}

interface Memory extends History {
  recommend(replicas: number, atMs: number): void;
  change(by: number, atMs: number): void;
}

/** Upstream's longest period of a policy, and window, is an hour at most. */
const rememberedMs = 3_600_000;

function histories(): Read<HorizontalPodAutoscaler, Memory> {
  return {
    kinds: [],
    open({ subject }) {
      const all = new Map<string, Memory>();
      subject.subscribe({ deleted: autoscaler => all.delete(keyOf(autoscaler)) });
      return autoscaler => {
        const key = keyOf(autoscaler);
        let memory = all.get(key);
        if (!memory) all.set(key, (memory = newMemory()));
        return memory;
      };
    },
  };
}

function newMemory(): Memory {
  const recommendations: { atMs: number; replicas: number }[] = [];
  const changes: { atMs: number; by: number }[] = [];
  const forget = (entries: { atMs: number }[], nowMs: number) => {
    const kept = entries.findIndex(({ atMs }) => atMs > nowMs - rememberedMs);
    entries.splice(0, kept < 0 ? entries.length : kept);
  };
  return {
    recommendations,
    changes,
    recommend(replicas, atMs) {
      forget(recommendations, atMs);
      recommendations.push({ atMs, replicas });
    },
    change(by, atMs) {
      forget(changes, atMs);
      changes.push({ atMs, by });
    },
  };
}
