import type { Random } from '#base/random.ts';
import type { ClusterState } from './cluster-state.ts';
import type { NodeInfo } from './node-info.ts';
import type { ClusterPlugin, DeviceReservation, Plugin, Prepared, Rejection, VolumeReservation } from './plugin.ts';
import type { PodInfo } from './pod-info.ts';

/** Where a pod goes, or why each node refuses it. */
export type Placement =
  | { readonly node: NodeInfo; readonly score: number }
  | { readonly node: undefined; readonly rejections: ReadonlyMap<string, Rejection> };

/** How many classes of pods are remembered; the one unused for longest goes first. */
const classesMax = 512;

/**
 * Filters and scores all nodes for a pod. What came out for one node is remembered by class of pod until that node
 * changes, so placing the replicas of a workload costs the one node that the last replica went to.
 */
export class SchedulingCycle {
  readonly #plugins: readonly Plugin[];
  readonly #clusterPlugins: readonly ClusterPlugin[];
  readonly #cluster: ClusterState;
  readonly #random: Random;
  /** How many of the nodes that fit are compared, of a hundred; 0 means all. */
  readonly #scoredPercentage: number;
  /** Where the next pod's look begins when not all nodes are compared. */
  #next = 0;
  readonly #classes = new Map<string, ClassOfPods>();
  /** Written anew for each pod: indexes of the nodes that fit, their scores, what one plugin says of them, and the best. */
  #fitting = new Int32Array(0);
  #scores = new Float64Array(0);
  #raw = new Float64Array(0);
  #tied = new Int32Array(0);

  constructor(
    plugins: readonly Plugin[],
    clusterPlugins: readonly ClusterPlugin[],
    cluster: ClusterState,
    random: Random,
    scoredPercentage = 0,
  ) {
    this.#scoredPercentage = scoredPercentage;
    this.#plugins = plugins;
    this.#clusterPlugins = clusterPlugins;
    this.#cluster = cluster;
    this.#random = random;
  }

  place(pod: PodInfo): Placement {
    const { nodes } = this.#cluster;
    const scored = this.#score(pod);
    if (scored instanceof Map) return { node: undefined, rejections: scored };
    const { fitting, scores } = scored;
    let bestScore = Number.NEGATIVE_INFINITY;
    let ties = 0;
    for (let at = 0; at < fitting.length; at++) {
      const score = scores[at] as number;
      if (score < bestScore) continue;
      if (score > bestScore) {
        ties = 0;
        bestScore = score;
      }
      this.#tied[ties++] = fitting[at] as number;
    }
    // Among equals each has the same chance.
    const best = this.#tied[Math.floor(this.#random.next() * ties)] as number;
    return { node: nodes[best] as NodeInfo, score: bestScore };
  }

  /** The nodes that take the pod with their scores, for somebody else to choose among; or why none takes it. */
  candidates(pod: PodInfo): ReadonlyMap<NodeInfo, number> | { readonly rejections: ReadonlyMap<string, Rejection> } {
    const scored = this.#score(pod);
    if (scored instanceof Map) return { rejections: scored };
    const { fitting, scores } = scored;
    const { nodes } = this.#cluster;
    const found = new Map<NodeInfo, number>();
    for (let at = 0; at < fitting.length; at++)
      found.set(nodes[fitting[at] as number] as NodeInfo, scores[at] as number);
    return found;
  }

  /** Indexes of the nodes that take the pod, with their scores; or why none takes it. */
  #score(pod: PodInfo): { readonly fitting: Int32Array; readonly scores: Float64Array } | Map<string, Rejection> {
    const { nodes } = this.#cluster;
    const prepared = this.#prepare(pod);
    const everywhere = everywhereOf(prepared);
    if (everywhere) return new Map(nodes.map(node => [node.name, everywhere]));
    const known = this.#upToDate(pod);
    this.#makeRoom(nodes.length);
    const max = nodesToScore(nodes.length, this.#scoredPercentage);
    const first = max < nodes.length ? this.#next % nodes.length : 0;
    const count = fill(this.#fitting, nodes, known.rejections, prepared, first, max);
    if (max < nodes.length) this.#next = first + max;
    const fitting = this.#fitting.subarray(0, count);
    if (count === 0) {
      const filters = filtersOf(prepared);
      const why = (node: NodeInfo, index: number) => known.rejections[index] ?? refusalBy(filters, node, index);
      return new Map(nodes.map((node, index) => [node.name, why(node, index)] as [string, Rejection]));
    }
    const scores = this.#scores.subarray(0, count);
    known.score(fitting, scores);
    for (const each of prepared) addScores(each, nodes, fitting, scores, this.#raw);
    return { fitting, scores };
  }

  /** Would this one node take the pod? For deciding whether an event is worth another try. */
  fits(pod: PodInfo, node: NodeInfo): boolean {
    return this.rejection(pod, node) === undefined;
  }

  rejection(pod: PodInfo, node: NodeInfo): Rejection | undefined {
    return this.judgeOf(pod)(node);
  }

  /** Asks many nodes about one pod, as long as nothing else changes in the cluster. */
  judgeOf(pod: PodInfo): (node: NodeInfo) => Rejection | undefined {
    let all: readonly Weighted[] | undefined;
    return node => {
      const own = rejectionOf(this.#plugins, pod, node);
      if (own) return own;
      all ??= this.#prepare(pod);
      const everywhere = everywhereOf(all);
      if (everywhere) return everywhere;
      for (const { prepared } of all) {
        const rejection = prepared.filter?.(node);
        if (rejection) return rejection;
      }
      return undefined;
    };
  }

  /** Asks one node about many pods: what the node alone says, it says to all pods of a class. */
  fitsOn(node: NodeInfo): (pod: PodInfo) => boolean {
    const refusesClass = new Map<string, boolean>();
    return pod => {
      let refuses = refusesClass.get(pod.classKey);
      if (refuses === undefined) {
        refuses = rejectionOf(this.#plugins, pod, node) !== undefined;
        refusesClass.set(pod.classKey, refuses);
      }
      return !refuses && this.fits(pod, node);
    };
  }

  /** What must be written before the pod can be bound to its node. */
  reserve(pod: PodInfo, node: NodeInfo): VolumeReservation | undefined {
    for (const plugin of this.#clusterPlugins) {
      const reservation = plugin.reserve?.(pod, node, this.#cluster);
      if (reservation) return reservation;
    }
    return undefined;
  }

  /** Which devices the claims of the pod get on its node. */
  allocate(pod: PodInfo, node: NodeInfo): DeviceReservation | undefined {
    for (const plugin of this.#clusterPlugins) {
      const reservation = plugin.allocate?.(pod, node, this.#cluster);
      if (reservation) return reservation;
    }
    return undefined;
  }

  #prepare(pod: PodInfo): readonly Weighted[] {
    return this.#clusterPlugins.flatMap(plugin => {
      const prepared = plugin.prepare(pod, this.#cluster);
      return prepared ? [{ prepared, weight: plugin.weight }] : [];
    });
  }

  #makeRoom(nodeCount: number): void {
    if (this.#fitting.length >= nodeCount) return;
    this.#fitting = new Int32Array(nodeCount * 2);
    this.#tied = new Int32Array(nodeCount * 2);
    this.#scores = new Float64Array(nodeCount * 2);
    this.#raw = new Float64Array(nodeCount * 2);
  }

  #upToDate(pod: PodInfo): ClassOfPods {
    const { nodes, topology } = this.#cluster;
    let known = this.#classes.get(pod.classKey);
    if (known) this.#classes.delete(pod.classKey);
    if (known?.topology !== topology) known = new ClassOfPods(this.#plugins, pod, topology, nodes.length);
    // Put at the end: the order of a Map is the order of use.
    this.#classes.set(pod.classKey, known);
    if (this.#classes.size > classesMax) this.#classes.delete(this.#classes.keys().next().value ?? '');
    for (let index = 0; index < nodes.length; index++) {
      const node = nodes[index] as NodeInfo;
      if (known.generations[index] !== node.generation) known.evaluate(index, pod, node, this.#cluster);
    }
    return known;
  }
}

interface Weighted {
  readonly prepared: Prepared;
  readonly weight: number;
}

function everywhereOf(plugins: readonly Weighted[]): Rejection | undefined {
  for (const { prepared } of plugins) if (prepared.everywhere) return prepared.everywhere;
  return undefined;
}

/** Fewer are never looked at (upstream's minFeasibleNodesToFind). */
const scoredMin = 100;

/** How many of the nodes that fit are compared: all of them, unless the configuration wants a share. */
function nodesToScore(nodeCount: number, percentage: number): number {
  if (nodeCount < scoredMin || percentage === 0 || percentage >= 100) return nodeCount;
  return Math.max(scoredMin, Math.floor((nodeCount * percentage) / 100));
}

type Filter = NonNullable<Prepared['filter']>;

function filtersOf(plugins: readonly Weighted[]): readonly Filter[] {
  return plugins.flatMap(({ prepared }) => prepared.filter?.bind(prepared) ?? []);
}

function refusalBy(filters: readonly Filter[], node: NodeInfo, index: number): Rejection | undefined {
  for (const filter of filters) {
    const rejection = filter(node, index);
    if (rejection) return rejection;
  }
  return undefined;
}

/** Writes the indexes of the nodes that nobody refuses, from the first on and so many at most; returns how many they are. */
function fill(
  fitting: Int32Array,
  nodes: readonly NodeInfo[],
  rejected: readonly (Rejection | undefined)[],
  plugins: readonly Weighted[],
  first: number,
  max: number,
): number {
  const filters = filtersOf(plugins);
  let count = 0;
  for (let at = 0; at < nodes.length && count < max; at++) {
    const index = first + at < nodes.length ? first + at : first + at - nodes.length;
    if (rejected[index] !== undefined) continue;
    if (filters.length > 0 && refusalBy(filters, nodes[index] as NodeInfo, index) !== undefined) continue;
    fitting[count++] = index;
  }
  return count;
}

/** Adds the weighted scores of a cluster-wide plugin. */
function addScores(
  { prepared, weight }: Weighted,
  nodes: readonly NodeInfo[],
  fitting: Int32Array,
  scores: Float64Array,
  raw: Float64Array,
): void {
  const { score, normalize } = prepared;
  if (!score || !normalize) return;
  let min = Number.POSITIVE_INFINITY;
  let max = Number.NEGATIVE_INFINITY;
  for (let at = 0; at < fitting.length; at++) {
    const index = fitting[at] as number;
    const value = score(nodes[index] as NodeInfo, index);
    raw[at] = value ?? Number.NaN;
    if (value === undefined) continue;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  for (let at = 0; at < fitting.length; at++) {
    const value = raw[at] as number;
    if (!Number.isNaN(value)) scores[at] = (scores[at] as number) + weight * normalize(value, min, max);
  }
}

class ClassOfPods {
  readonly topology: number;
  /** The generation of each node when it was looked at. */
  readonly generations: Float64Array;
  readonly rejections: (Rejection | undefined)[];
  readonly #filters: readonly Plugin[];
  readonly #absolute: readonly Plugin[];
  readonly #relative: readonly Plugin[];
  /** Weighted sum of the scores that need no comparison with other nodes. */
  readonly #fixed: Float64Array;
  readonly #raw: readonly Float64Array[];

  constructor(plugins: readonly Plugin[], pod: PodInfo, topology: number, nodeCount: number) {
    const scoring = plugins.filter(plugin => plugin.score && (plugin.scores?.(pod) ?? true));
    this.topology = topology;
    this.#filters = plugins;
    this.#absolute = scoring.filter(plugin => plugin.normalize === undefined);
    this.#relative = scoring.filter(plugin => plugin.normalize !== undefined);
    this.generations = new Float64Array(nodeCount).fill(-1);
    this.rejections = new Array<Rejection | undefined>(nodeCount);
    this.#fixed = new Float64Array(nodeCount);
    this.#raw = this.#relative.map(() => new Float64Array(nodeCount));
  }

  evaluate(index: number, pod: PodInfo, node: NodeInfo, cluster: ClusterState): void {
    this.generations[index] = node.generation;
    const rejection = rejectionOf(this.#filters, pod, node);
    this.rejections[index] = rejection;
    if (rejection) return;
    let sum = 0;
    for (const plugin of this.#absolute) sum += (plugin.weight ?? 1) * (plugin.score?.(pod, node, cluster) ?? 0);
    this.#fixed[index] = sum;
    for (const [at, plugin] of this.#relative.entries())
      (this.#raw[at] as Float64Array)[index] = plugin.score?.(pod, node, cluster) ?? 0;
  }

  /** The scores of the nodes that fit, with the relative ones brought to 0..100 over them. */
  score(fitting: Int32Array, scores: Float64Array): void {
    for (let at = 0; at < fitting.length; at++) scores[at] = this.#fixed[fitting[at] as number] as number;
    for (const [which, plugin] of this.#relative.entries()) {
      const raw = this.#raw[which] as Float64Array;
      let max = 0;
      for (let at = 0; at < fitting.length; at++) max = Math.max(max, raw[fitting[at] as number] as number);
      // All alike: it cannot change who wins.
      if (max === 0) continue;
      const weight = plugin.weight ?? 1;
      for (let at = 0; at < fitting.length; at++) {
        const scaled = Math.floor((100 * (raw[fitting[at] as number] as number)) / max);
        scores[at] = (scores[at] as number) + weight * (plugin.normalize === 'reversed' ? 100 - scaled : scaled);
      }
    }
  }
}

function rejectionOf(plugins: readonly Plugin[], pod: PodInfo, node: NodeInfo): Rejection | undefined {
  for (const plugin of plugins) {
    const rejection = plugin.filter?.(pod, node);
    if (rejection) return rejection;
  }
  return undefined;
}
