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
  readonly #classes = new Map<string, ClassOfPods>();
  /** Indexes of the best nodes, written anew for each pod. */
  #tied = new Int32Array(0);

  constructor(
    plugins: readonly Plugin[],
    clusterPlugins: readonly ClusterPlugin[],
    cluster: ClusterState,
    random: Random,
  ) {
    this.#plugins = plugins;
    this.#clusterPlugins = clusterPlugins;
    this.#cluster = cluster;
    this.#random = random;
  }

  place(pod: PodInfo): Placement {
    const { nodes } = this.#cluster;
    const prepared = this.#prepare(pod);
    const everywhere = everywhereOf(prepared);
    if (everywhere) return { node: undefined, rejections: new Map(nodes.map(node => [node.name, everywhere])) };
    const known = this.#upToDate(pod);
    const refused = filterAll(nodes, known.rejections, prepared);
    const { rejections } = known;
    const fits = (index: number) =>
      rejections[index] === undefined && (refused === undefined || refused[index] === undefined);
    const total = known.totals(fits);
    const more = scoreAll(nodes, fits, prepared);
    let bestScore = Number.NEGATIVE_INFINITY;
    let ties = 0;
    if (this.#tied.length < nodes.length) this.#tied = new Int32Array(nodes.length * 2);
    for (let index = 0; index < nodes.length; index++) {
      if (rejections[index] !== undefined || (refused !== undefined && refused[index] !== undefined)) continue;
      const score = more === undefined ? total(index) : total(index) + (more[index] as number);
      if (score < bestScore) continue;
      if (score > bestScore) {
        ties = 0;
        bestScore = score;
      }
      this.#tied[ties++] = index;
    }
    // Among equals each has the same chance.
    const best = ties === 0 ? undefined : nodes[this.#tied[Math.floor(this.#random.next() * ties)] as number];
    if (best) return { node: best, score: bestScore };
    const why = nodes.map((node, index) => [node.name, known.rejections[index] ?? refused?.[index]] as const);
    return { node: undefined, rejections: new Map(why as [string, Rejection][]) };
  }

  /** Would this one node take the pod? For deciding whether an event is worth another try. */
  fits(pod: PodInfo, node: NodeInfo): boolean {
    return this.rejection(pod, node) === undefined;
  }

  rejection(pod: PodInfo, node: NodeInfo): Rejection | undefined {
    const own = rejectionOf(this.#plugins, pod, node);
    if (own) return own;
    const all = this.#prepare(pod);
    const everywhere = everywhereOf(all);
    if (everywhere) return everywhere;
    for (const { prepared } of all) {
      const rejection = prepared.filter?.(node);
      if (rejection) return rejection;
    }
    return undefined;
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

/** What the cluster-wide plugins refuse, by index; `undefined` when they refuse nothing at all. */
function filterAll(
  nodes: readonly NodeInfo[],
  rejected: readonly (Rejection | undefined)[],
  plugins: readonly Weighted[],
): readonly (Rejection | undefined)[] | undefined {
  const filters = plugins.flatMap(({ prepared }) => prepared.filter?.bind(prepared) ?? []);
  if (filters.length === 0) return undefined;
  return nodes.map((node, index) => {
    if (rejected[index] !== undefined) return undefined;
    for (const filter of filters) {
      const rejection = filter(node);
      if (rejection) return rejection;
    }
    return undefined;
  });
}

/** The weighted scores of the cluster-wide plugins, by index; `undefined` when none scores. */
function scoreAll(
  nodes: readonly NodeInfo[],
  fits: (index: number) => boolean,
  plugins: readonly Weighted[],
): Float64Array | undefined {
  let sums: Float64Array | undefined;
  for (const { prepared, weight } of plugins) {
    const { score, normalize } = prepared;
    if (!score || !normalize) continue;
    sums ??= new Float64Array(nodes.length);
    const raw = new Float64Array(nodes.length);
    let min = Number.POSITIVE_INFINITY;
    let max = Number.NEGATIVE_INFINITY;
    for (let index = 0; index < nodes.length; index++) {
      if (!fits(index)) continue;
      const value = score(nodes[index] as NodeInfo);
      raw[index] = value ?? Number.NaN;
      if (value === undefined) continue;
      if (value < min) min = value;
      if (value > max) max = value;
    }
    for (let index = 0; index < nodes.length; index++)
      if (fits(index) && !Number.isNaN(raw[index]))
        sums[index] = (sums[index] ?? 0) + weight * normalize(raw[index] ?? 0, min, max);
  }
  return sums;
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

  /** The score of a node by its index, with the relative scores brought to 0..100 over the nodes that fit. */
  totals(fits: (index: number) => boolean): (index: number) => number {
    const relative = this.#relative.flatMap((plugin, at) => {
      const raw = this.#raw[at] as Float64Array;
      let max = 0;
      for (let index = 0; index < raw.length; index++)
        if ((raw[index] as number) > max && fits(index)) max = raw[index] as number;
      // All alike: it cannot change who wins.
      return max === 0 ? [] : [{ raw, max, weight: plugin.weight ?? 1, reversed: plugin.normalize === 'reversed' }];
    });
    const fixed = this.#fixed;
    if (relative.length === 0) return index => fixed[index] as number;
    return index => {
      let sum = fixed[index] as number;
      for (const { raw, max, weight, reversed } of relative) {
        const scaled = Math.floor((100 * (raw[index] as number)) / max);
        sum += weight * (reversed ? 100 - scaled : scaled);
      }
      return sum;
    };
  }
}

function rejectionOf(plugins: readonly Plugin[], pod: PodInfo, node: NodeInfo): Rejection | undefined {
  for (const plugin of plugins) {
    const rejection = plugin.filter?.(pod, node);
    if (rejection) return rejection;
  }
  return undefined;
}
