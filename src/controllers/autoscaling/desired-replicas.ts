import type { HorizontalPodAutoscaler } from '#api/autoscaling/v2/horizontal-pod-autoscaler.ts';
import { conditionOf } from '../conditions.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { milliValue } from '#api/machinery/quantity.ts';
import { isReady, isTerminal } from '../core/pod-state.ts';
import { timeMs } from '../time.ts';

/** How far off its target a measure may be without anything being done: shares of it. */
export interface Tolerance {
  readonly up: number;
  readonly down: number;
}

/** Upstream's `--horizontal-pod-autoscaler-tolerance`. */
const toleranceDefault = 0.1;

export function toleranceOf({ behavior }: Pick<Spec, 'behavior'>): Tolerance {
  const read = (rules: Rules | undefined) =>
    rules?.tolerance === undefined ? toleranceDefault : milliValue(rules.tolerance) / 1000;
  return { up: read(behavior?.scaleUp), down: read(behavior?.scaleDown) };
}

function isWithin(ratio: number, { up, down }: Tolerance): boolean {
  return ratio >= 1 - down && ratio <= 1 + up;
}

/** Upstream's flags: how long a starting pod's load does not count. */
const cpuInitializationMs = 300_000;
const initialReadinessMs = 30_000;

/** What was measured of a pod: thousandths of the resource. */
export interface PodMeasure {
  readonly milli: number;
  readonly atMs: number;
}

export interface Proposal {
  readonly replicas: number;
  /** Of the pods that count: what they use, by each, and as a share of what they ask for. */
  readonly averageMilli: number;
  readonly utilization?: number;
}

type Target =
  | { readonly kind: 'utilization'; readonly percent: number }
  | { readonly kind: 'value'; readonly milli: number };

/**
 * How many replicas would bring a resource to its target. Pods that are not ready yet do not speak for growth, pods that
 * were not measured speak against any change. Throws an Error in upstream's words when there is nothing to go by.
 */
export function proposeForResource(
  resource: string,
  target: Target,
  current: number,
  pods: readonly Pod[],
  measures: ReadonlyMap<string, PodMeasure>,
  requestOf: (pod: Pod) => number | undefined,
  nowMs: number,
  tolerance: Tolerance = toleranceOf({}),
): Proposal {
  const { ready, unready, missing } = grouped(resource, pods, measures, nowMs);
  const use = (pod: Pod) => measures.get(pod.metadata.name ?? '')?.milli ?? 0;
  const request = (pod: Pod) => {
    const milli = requestOf(pod);
    if (milli === undefined)
      throw new Error(
        `missing request for ${resource} in container of Pod ${pod.metadata.namespace}/${pod.metadata.name}`,
      );
    return milli;
  };
  if (ready.length === 0) throw new Error(`did not receive metrics for targeted pods (pods might be unready)`);
  const ratioOf = (counted: readonly Pod[], used: (pod: Pod) => number) => {
    const total = counted.reduce((sum, pod) => sum + used(pod), 0);
    if (target.kind === 'value') return total / counted.length / target.milli;
    const asked = counted.reduce((sum, pod) => sum + request(pod), 0);
    return asked === 0 ? 0 : (total * 100) / asked / target.percent;
  };
  const averageMilli = Math.round(ready.reduce((sum, pod) => sum + use(pod), 0) / ready.length);
  const asked = target.kind === 'utilization' ? ready.reduce((sum, pod) => sum + request(pod), 0) : 0;
  const utilization = asked > 0 ? Math.trunc((ready.reduce((sum, pod) => sum + use(pod), 0) * 100) / asked) : undefined;
  const about = { averageMilli, ...(utilization !== undefined && { utilization }) };
  const ratio = ratioOf(ready, use);
  if (unready.length === 0 && missing.length === 0)
    return { ...about, replicas: isWithin(ratio, tolerance) ? current : Math.ceil(ratio * ready.length) };
  const limit = (pod: Pod) => (target.kind === 'utilization' ? (request(pod) * target.percent) / 100 : target.milli);
  const silent = new Set(missing);
  const starting = new Set(unready);
  const cautious = (pod: Pod) => {
    if (silent.has(pod))
      return ratio < 1 ? Math.max(limit(pod), target.kind === 'utilization' ? request(pod) : limit(pod)) : 0;
    return starting.has(pod) ? 0 : use(pod);
  };
  const counted = [...ready, ...missing, ...(ratio > 1 ? unready : [])];
  const careful = ratioOf(counted, cautious);
  const turned = (ratio < 1 && careful > 1) || (ratio > 1 && careful < 1);
  if (isWithin(careful, tolerance) || turned) return { ...about, replicas: current };
  const replicas = Math.ceil(careful * counted.length);
  const backwards = (careful < 1 && replicas > current) || (careful > 1 && replicas < current);
  return { ...about, replicas: backwards ? current : replicas };
}

/** For one number about the whole: as many times the pods that are ready as it is off its target. */
export function replicasForRatio(ratio: number, current: number, pods: readonly Pod[], tolerance: Tolerance): number {
  // Nobody is ready to be counted: so scaling up from nothing works.
  if (current === 0) return Math.ceil(ratio);
  if (isWithin(ratio, tolerance)) return current;
  const ready = pods.filter(pod => pod.status?.phase === 'Running' && isReady(pod)).length;
  return Math.ceil(ratio * ready);
}

/** For one number that is shared out among the pods. */
export function replicasForAverage(milli: number, targetMilli: number, current: number, tolerance: Tolerance): number {
  const ratio = milli / (targetMilli * current);
  return isWithin(ratio, tolerance) ? current : Math.ceil(milli / targetMilli);
}

function grouped(resource: string, pods: readonly Pod[], measures: ReadonlyMap<string, PodMeasure>, nowMs: number) {
  const ready: Pod[] = [];
  const unready: Pod[] = [];
  const missing: Pod[] = [];
  for (const pod of pods) {
    if (pod.metadata.deletionTimestamp !== undefined || isTerminal(pod)) continue;
    const measure = measures.get(pod.metadata.name ?? '');
    if (pod.status?.phase === 'Pending') unready.push(pod);
    else if (!measure) missing.push(pod);
    else if (resource === 'cpu' && isStarting(pod, measure, nowMs)) unready.push(pod);
    else ready.push(pod);
  }
  return { ready, unready, missing };
}

/** The processor time of a start says nothing about load. */
function isStarting(pod: Pod, measure: PodMeasure, nowMs: number): boolean {
  const condition = conditionOf(pod.status?.conditions, 'Ready');
  const startedMs = timeMs(pod.status?.startTime);
  if (!condition || startedMs === 0) return true;
  const sinceMs = timeMs(condition.lastTransitionTime);
  if (startedMs + cpuInitializationMs > nowMs) return condition.status === 'False' || measure.atMs < sinceMs;
  return condition.status === 'False' && startedMs + initialReadinessMs > sinceMs;
}

/** What a pod asks for of a resource, in thousandths; undefined when a container does not say. */
export function requestedMilli(resource: string, container: string | undefined, { spec }: Pod): number | undefined {
  const sidecars = (spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  let total = 0;
  for (const { name, resources } of [...(spec?.containers ?? []), ...sidecars]) {
    if (container !== undefined && name !== container) continue;
    const text = resources?.requests?.[resource];
    if (text === undefined) return undefined;
    total += milliValue(text);
  }
  return total;
}

type Spec = HorizontalPodAutoscaler['spec'];
type Rules = NonNullable<NonNullable<Spec['behavior']>['scaleUp']>;

/** How replicas changed lately, and what was recommended: what stabilization and policies look back at. */
export interface History {
  readonly recommendations: { readonly atMs: number; readonly replicas: number }[];
  readonly changes: { readonly atMs: number; readonly by: number }[];
}

/** Upstream's default of `--horizontal-pod-autoscaler-downscale-stabilization`. */
const downscaleWindowSeconds = 300;

export interface Limited {
  readonly replicas: number;
  readonly able: { readonly reason: string; readonly message: string } | undefined;
  readonly limited: { readonly limited: boolean; readonly reason: string; readonly message: string };
}

/** A recommendation within the window, the policies, and the bounds of the spec. */
export function withinLimits(
  spec: Spec,
  current: number,
  recommended: number,
  history: History,
  nowMs: number,
): Limited {
  const min = spec.minReplicas ?? 1;
  const up = rulesOf(spec.behavior?.scaleUp, { window: 0, pods: 4 });
  const down = rulesOf(spec.behavior?.scaleDown, { window: downscaleWindowSeconds });
  const stabilized = stabilize(recommended, current, up.window, down.window, history, nowMs);
  const able =
    stabilized === recommended
      ? undefined
      : stabilized > recommended
        ? {
            reason: 'ScaleDownStabilized',
            message: 'recent recommendations were higher than current one, applying the highest recent recommendation',
          }
        : {
            reason: 'ScaleUpStabilized',
            message: 'recent recommendations were lower than current one, applying the lowest recent recommendation',
          };
  if (stabilized > current) {
    const limit = Math.max(current, policyLimit(up.rules, current, history, nowMs, 'up'));
    const most = Math.min(limit, spec.maxReplicas);
    if (stabilized > most)
      return {
        replicas: most,
        able,
        limited:
          limit < spec.maxReplicas
            ? {
                limited: true,
                reason: 'ScaleUpLimit',
                message: 'the desired replica count is increasing faster than the maximum scale rate',
              }
            : {
                limited: true,
                reason: 'TooManyReplicas',
                message: 'the desired replica count is more than the maximum replica count',
              },
      };
  } else if (stabilized < current) {
    const limit = Math.min(current, policyLimit(down.rules, current, history, nowMs, 'down'));
    const least = Math.max(limit, min);
    if (stabilized < least)
      return {
        replicas: least,
        able,
        limited:
          limit > min
            ? {
                limited: true,
                reason: 'ScaleDownLimit',
                message: 'the desired replica count is decreasing faster than the maximum scale rate',
              }
            : {
                limited: true,
                reason: 'TooFewReplicas',
                message: 'the desired replica count is less than the minimum replica count',
              },
      };
  }
  return {
    replicas: stabilized,
    able,
    limited: {
      limited: false,
      reason: 'DesiredWithinRange',
      message: 'the desired count is within the acceptable range',
    },
  };
}

function rulesOf(rules: Rules | undefined, defaults: { readonly window: number; readonly pods?: number }) {
  const policies = [
    ...(defaults.pods === undefined ? [] : [{ type: 'Pods', value: defaults.pods, periodSeconds: 15 }]),
    { type: 'Percent', value: 100, periodSeconds: 15 },
  ];
  return {
    window: rules?.stabilizationWindowSeconds ?? defaults.window,
    rules: { selectPolicy: rules?.selectPolicy ?? 'Max', policies: rules?.policies ?? policies },
  };
}

/** Down only as far as the highest recommendation of the window, up only as far as the lowest. */
function stabilize(
  recommended: number,
  current: number,
  upSeconds: number,
  downSeconds: number,
  { recommendations }: History,
  nowMs: number,
): number {
  let upMost = recommended;
  let downLeast = recommended;
  for (const { atMs, replicas } of recommendations) {
    if (atMs > nowMs - upSeconds * 1000) upMost = Math.min(upMost, replicas);
    if (atMs > nowMs - downSeconds * 1000) downLeast = Math.max(downLeast, replicas);
  }
  if (current < upMost) return upMost;
  if (current > downLeast) return downLeast;
  return current;
}

function policyLimit(
  { selectPolicy, policies }: { readonly selectPolicy: string; readonly policies: NonNullable<Rules['policies']> },
  current: number,
  { changes }: History,
  nowMs: number,
  direction: 'up' | 'down',
): number {
  if (selectPolicy === 'Disabled') return current;
  const sign = direction === 'up' ? 1 : -1;
  const limits = policies.map(({ type, value, periodSeconds }) => {
    const changed = changes
      .filter(({ atMs, by }) => atMs > nowMs - periodSeconds * 1000 && Math.sign(by) === sign)
      .reduce((total, { by }) => total + by, 0);
    const atStart = current - changed;
    if (type === 'Pods') return atStart + sign * value;
    return direction === 'up' ? Math.ceil(atStart * (1 + value / 100)) : Math.trunc(atStart * (1 - value / 100));
  });
  const furthest = direction === 'up' ? Math.max(...limits) : Math.min(...limits);
  const nearest = direction === 'up' ? Math.min(...limits) : Math.max(...limits);
  return selectPolicy === 'Min' ? nearest : furthest;
}
