import type { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import { labelSelectorMatches } from '#api/machinery/selector.ts';
import type { ClusterState } from './cluster-state.ts';
import { fitErrorMessage } from './fit-error.ts';
import type { NodeInfo } from './node-info.ts';
import type { Rejection } from './plugin.ts';
import type { PodInfo } from './pod-info.ts';

/** A node that takes the pod once the victims are gone. */
export interface Preemption {
  readonly node: NodeInfo;
  readonly victims: readonly PodInfo[];
  readonly budgetViolations: number;
}

export type PreemptionResult =
  | { readonly found: Preemption; readonly candidates: readonly Preemption[] }
  | { readonly found: undefined; readonly why: string };

/** How far to look for candidates: at so many at least, or that share of the nodes. Upstream's DefaultPreemptionArgs. */
export interface PreemptionLimits {
  readonly percentage: number;
  readonly absolute: number;
}

export const defaultPreemptionLimits: PreemptionLimits = { percentage: 10, absolute: 100 };

/** Looks for pods of lower priority whose eviction makes room. Upstream's DefaultPreemption. */
export function preempt(
  pod: PodInfo,
  rejections: ReadonlyMap<string, Rejection>,
  cluster: ClusterState,
  budgets: readonly PodDisruptionBudget[],
  judge: (node: NodeInfo) => Rejection | undefined,
  limits: PreemptionLimits = defaultPreemptionLimits,
): PreemptionResult {
  if (pod.pod.spec.preemptionPolicy === 'Never')
    return { found: undefined, why: 'not eligible due to preemptionPolicy=Never.' };
  const candidates: Preemption[] = [];
  const refusals = new Map<string, Rejection>();
  const refuse = (name: string, reason: string) =>
    refusals.set(name, { plugin: 'DefaultPreemption', reasons: [reason], unresolvable: true });
  const candidatesMin = Math.max(limits.absolute, Math.floor((rejections.size * limits.percentage) / 100));
  for (const [name, rejection] of rejections) {
    // Enough to choose from, and one that breaks no budget is among them.
    if (candidates.length >= candidatesMin && candidates.some(each => each.budgetViolations === 0)) break;
    const node = cluster.node(name);
    if (!node || rejection.unresolvable) {
      refuse(name, 'Preemption is not helpful for scheduling');
      continue;
    }
    const lower = [...node.pods.values()].filter(each => each.priority < pod.priority);
    if (lower.length === 0) {
      refuse(name, 'No preemption victims found for incoming pod');
      continue;
    }
    const still = victimsOn(node, pod, lower, budgets, judge);
    if ('victims' in still) candidates.push(still);
    else refusals.set(name, still);
  }
  const best = cheapest(candidates);
  return best ? { found: best, candidates } : { found: undefined, why: fitErrorMessage(refusals, '') };
}

export function cheapest(candidates: readonly Preemption[]): Preemption | undefined {
  let best: Price | undefined;
  for (const candidate of candidates) {
    const price = priceOf(candidate);
    if (!best || compare(price, best) < 0) best = price;
  }
  return best?.candidate;
}

function victimsOn(
  node: NodeInfo,
  pod: PodInfo,
  lower: readonly PodInfo[],
  budgets: readonly PodDisruptionBudget[],
  judge: (node: NodeInfo) => Rejection | undefined,
): Preemption | Rejection {
  const trial = node.empty();
  for (const each of node.pods.values()) if (each.priority >= pod.priority) trial.addPod(each);
  const refusal = judge(trial);
  if (refusal) return refusal;
  // Give back as many as possible: first those whose eviction would break a budget, then the more important.
  const { violating, others } = byBudget(lower.toSorted(moreImportantFirst), budgets);
  const victims: PodInfo[] = [];
  let budgetViolations = 0;
  for (const each of [...violating, ...others]) {
    trial.addPod(each);
    if (judge(trial) === undefined) continue;
    trial.removePod(each.key);
    victims.push(each);
    if (violating.includes(each)) budgetViolations++;
  }
  return { node, victims: victims.toSorted(moreImportantFirst), budgetViolations };
}

function byBudget(pods: readonly PodInfo[], budgets: readonly PodDisruptionBudget[]) {
  const left = new Map(budgets.map(budget => [budget, budget.status.disruptionsAllowed ?? 0]));
  const violating: PodInfo[] = [];
  const others: PodInfo[] = [];
  for (const pod of pods) {
    let breaks = false;
    for (const [budget, allowed] of left) {
      if (budget.metadata.namespace !== pod.pod.metadata.namespace) continue;
      if (!labelSelectorMatches(budget.spec.selector, pod.pod.metadata.labels ?? {})) continue;
      left.set(budget, allowed - 1);
      if (allowed <= 0) breaks = true;
    }
    (breaks ? violating : others).push(pod);
  }
  return { violating, others };
}

function moreImportantFirst(a: PodInfo, b: PodInfo): number {
  return b.priority - a.priority || startOf(a) - startOf(b);
}

/** What is compared of candidates. */
interface Price {
  readonly candidate: Preemption;
  readonly highest: number;
  readonly sum: number;
  readonly earliest: number;
}

function priceOf(candidate: Preemption): Price {
  const { victims } = candidate;
  return {
    candidate,
    highest: victims[0]?.priority ?? Number.NEGATIVE_INFINITY,
    sum: victims.reduce((total, each) => total + each.priority + 2 ** 31, 0),
    earliest: Math.min(...victims.map(startOf)),
  };
}

/** Upstream's order: budgets, the highest victim, the sum of priorities, the number, then the youngest. */
function compare(a: Price, b: Price): number {
  return (
    a.candidate.budgetViolations - b.candidate.budgetViolations ||
    a.highest - b.highest ||
    a.sum - b.sum ||
    a.candidate.victims.length - b.candidate.victims.length ||
    b.earliest - a.earliest
  );
}

/** Reading a time costs more than all the rest of a comparison. */
const starts = new WeakMap<PodInfo, number>();

function startOf(info: PodInfo): number {
  const known = starts.get(info);
  if (known !== undefined) return known;
  const { status, metadata } = info.pod;
  const start = Date.parse(status.startTime ?? metadata.creationTimestamp ?? '') || 0;
  starts.set(info, start);
  return start;
}
