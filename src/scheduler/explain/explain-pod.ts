import type { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import type { ClusterState } from '../cluster-state.ts';
import { fitErrorMessage } from '../fit-error.ts';
import type { NodeInfo } from '../node-info.ts';
import type { ClusterPlugin, Plugin, Prepared, Rejection, Remedy, Trial } from '../plugin.ts';
import type { PodInfo } from '../pod-info.ts';
import { preempt } from '../preemption.ts';

/** Where a pod could go and why, or why not and what would help. */
export interface PodExplanation {
  /** In the order in which the scheduler would choose: the best first. */
  readonly candidates: readonly Candidate[];
  readonly refusals: readonly NodeRefusal[];
  /** What the scheduler writes into the Event and the condition; absent when a node takes the pod. */
  readonly message?: string;
  /** The smallest changes after which the pod fits, verified by the same plugins; the least first. */
  readonly advice: readonly Advice[];
  /** The node on which pods of lower priority would be evicted for it. */
  readonly preemption?: {
    readonly node: string;
    readonly victims: readonly string[];
    readonly budgetViolations: number;
  };
}

export interface Candidate {
  readonly node: string;
  readonly total: number;
  readonly scores: readonly Score[];
}

export interface Score {
  readonly plugin: string;
  /** 0 to 100. */
  readonly score: number;
  readonly weight: number;
}

export interface NodeRefusal {
  readonly node: string;
  /** The first is the one that the scheduler counts; the others would refuse after it. */
  readonly filters: readonly {
    readonly plugin: string;
    readonly reasons: readonly string[];
    readonly details: readonly string[];
  }[];
}

export interface Advice {
  readonly changes: readonly string[];
  readonly nodes: readonly string[];
}

export interface Plugins {
  readonly plugins: readonly Plugin[];
  readonly clusterPlugins: readonly ClusterPlugin[];
}

/** More plugins than can refuse one after the other. */
const stepsMax = 32;
/** How much advice is worth reading. */
const adviceMax = 10;

/** Asks the scheduler's own plugins. The pod must not be in the cluster's state. */
export function explainPod(
  pod: PodInfo,
  cluster: ClusterState,
  plugins: Plugins,
  budgets: readonly PodDisruptionBudget[],
): PodExplanation {
  const nodes = cluster.nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const prepared = prepare(pod, cluster, plugins);
  const open: NodeInfo[] = [];
  const refusals: NodeRefusal[] = [];
  const rejections = new Map<string, Rejection>();
  for (const node of nodes) {
    const filters = refusalsOf({ pod, node }, plugins.plugins, prepared);
    const [first] = filters;
    if (first === undefined) {
      open.push(node);
      continue;
    }
    rejections.set(node.name, first.rejection);
    refusals.push({
      node: node.name,
      filters: filters.map(({ rejection, refusal }) => ({
        plugin: rejection.plugin,
        reasons: rejection.reasons,
        details: refusal?.details ?? [],
      })),
    });
  }
  const candidates = scored(pod, open, cluster, plugins.plugins, prepared);
  if (candidates.length > 0) return { candidates, refusals, advice: [] };
  const preemption = preempt(pod, rejections, cluster, budgets, node =>
    firstRejection({ pod, node }, plugins.plugins, prepared),
  );
  return {
    candidates,
    refusals,
    message: fitErrorMessage(rejections, ''),
    advice: adviceFor(pod, nodes, cluster, plugins),
    ...(preemption.found && {
      preemption: {
        node: preemption.found.node.name,
        victims: preemption.found.victims.map(each => each.key),
        budgetViolations: preemption.found.budgetViolations,
      },
    }),
  };
}

interface Weighted {
  readonly plugin: ClusterPlugin;
  readonly prepared: Prepared;
}

function prepare(pod: PodInfo, cluster: ClusterState, { clusterPlugins }: Plugins): readonly Weighted[] {
  return clusterPlugins.flatMap(plugin => {
    const prepared = plugin.prepare(pod, cluster);
    return prepared ? [{ plugin, prepared }] : [];
  });
}

function refusalsOf({ pod, node }: Trial, plugins: readonly Plugin[], clusterPlugins: readonly Weighted[]) {
  const own = plugins.flatMap(plugin => {
    const rejection = plugin.filter?.(pod, node);
    return rejection ? { rejection, refusal: plugin.explain?.(pod, node) } : [];
  });
  const beyond = clusterPlugins.flatMap(({ prepared }) => {
    const rejection = prepared.everywhere ?? prepared.filter?.(node);
    return rejection ? { rejection, refusal: prepared.everywhere ? undefined : prepared.explain?.(node) } : [];
  });
  // What stands for all nodes is found before any node is looked at.
  const everywhere = beyond.filter(each => each.rejection.everywhere);
  if (everywhere.length > 0) return everywhere;
  return [...own, ...beyond];
}

function firstRejection(
  { pod, node }: Trial,
  plugins: readonly Plugin[],
  clusterPlugins: readonly Weighted[],
): Rejection | undefined {
  for (const { prepared } of clusterPlugins) if (prepared.everywhere) return prepared.everywhere;
  for (const plugin of plugins) {
    const rejection = plugin.filter?.(pod, node);
    if (rejection) return rejection;
  }
  for (const { prepared } of clusterPlugins) {
    const rejection = prepared.filter?.(node);
    if (rejection) return rejection;
  }
  return undefined;
}

/** The remedies of one plugin after the other, until the node takes the pod; `undefined` where one of them has none. */
function remediesFor(
  pod: PodInfo,
  node: NodeInfo,
  cluster: ClusterState,
  plugins: Plugins,
): readonly Remedy[] | undefined {
  const taken: Remedy[] = [];
  let trial: Trial = { pod, node };
  for (let step = 0; step < stepsMax; step++) {
    const [refused] = refusalsOf(trial, plugins.plugins, prepare(trial.pod, cluster, plugins));
    if (refused === undefined) return taken;
    const { remedies = [] } = refused.refusal ?? {};
    if (remedies.length === 0) return undefined;
    for (const remedy of remedies) {
      taken.push(remedy);
      trial = remedy.apply(trial);
    }
  }
  return undefined;
}

/** Nodes that the same changes would open stand together. */
function adviceFor(
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  cluster: ClusterState,
  plugins: Plugins,
): readonly Advice[] {
  const byChanges = new Map<string, { readonly remedies: readonly Remedy[]; readonly nodes: string[] }>();
  for (const node of nodes) {
    const remedies = remediesFor(pod, node, cluster, plugins);
    if (remedies === undefined || remedies.length === 0) continue;
    const id = JSON.stringify(remedies.map(each => each.change));
    const same = byChanges.get(id);
    if (same) same.nodes.push(node.name);
    else byChanges.set(id, { remedies, nodes: [node.name] });
  }
  return [...byChanges.values()]
    .toSorted(
      (a, b) =>
        a.remedies.length - b.remedies.length ||
        shareOf(a.remedies) - shareOf(b.remedies) ||
        b.nodes.length - a.nodes.length,
    )
    .slice(0, adviceMax)
    .map(each => ({ changes: each.remedies.map(remedy => remedy.change), nodes: each.nodes }));
}

/** What is given up at most. */
function shareOf(remedies: readonly Remedy[]): number {
  return Math.max(0, ...remedies.map(each => each.share ?? 0));
}

function scored(
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  cluster: ClusterState,
  plugins: readonly Plugin[],
  clusterPlugins: readonly Weighted[],
): readonly Candidate[] {
  const columns: { readonly plugin: string; readonly weight: number; readonly scores: readonly number[] }[] = [];
  for (const plugin of plugins) {
    if (!plugin.score || plugin.scores?.(pod) === false) continue;
    const raw = nodes.map(node => plugin.score?.(pod, node, cluster) ?? 0);
    const max = Math.max(0, ...raw);
    const scores = raw.map(value => {
      if (plugin.normalize === undefined) return value;
      const scaled = max === 0 ? 0 : Math.floor((100 * value) / max);
      return plugin.normalize === 'reversed' ? 100 - scaled : scaled;
    });
    columns.push({ plugin: plugin.name, weight: plugin.weight ?? 1, scores });
  }
  for (const { plugin, prepared } of clusterPlugins) {
    if (!prepared.score || !prepared.normalize) continue;
    const raw = nodes.map(node => prepared.score?.(node));
    const known = raw.filter(value => value !== undefined);
    const min = Math.min(...known);
    const max = Math.max(...known);
    const scores = raw.map(value => (value === undefined ? 0 : (prepared.normalize?.(value, min, max) ?? 0)));
    columns.push({ plugin: plugin.name, weight: plugin.weight, scores });
  }
  return nodes
    .map((node, index) => {
      const scores = columns.map(({ plugin, weight, scores: all }) => ({ plugin, weight, score: all[index] ?? 0 }));
      return { node: node.name, total: scores.reduce((sum, each) => sum + each.score * each.weight, 0), scores };
    })
    .toSorted((a, b) => b.total - a.total);
}
