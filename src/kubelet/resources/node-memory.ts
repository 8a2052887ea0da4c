import type { Pod } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import { isHugePages } from '#api/core/v1/pod-resources.ts';
import { wholeValue } from '#api/machinery/quantity.ts';
import { type Hints, hintsFor, type NodeSet, nodesOf, subsetsOf } from './alignment.ts';
import { AllocationError, type ExclusiveResource, isPassing, isPinned, together } from './exclusive.ts';
import type { MachineTopology } from './machine-topology.ts';
import { readState, writeState } from './state-file.ts';

export interface NodeMemoryOptions {
  readonly machine: MachineTopology;
  /** What is not for pods, by node and kind. */
  readonly reserved: readonly { readonly numaNode: number; readonly limits: Readonly<Record<string, string>> }[];
  /** All that is not for pods, by kind: what `reserved` has to add up to. */
  readonly reservedTotal: ReadonlyMap<string, number>;
  /** `memory_manager_state` */
  readonly stateFile: string;
}

/** So much of one kind from these nodes together. */
export interface MemoryBlock {
  readonly type: string;
  readonly nodes: readonly number[];
  readonly bytes: number;
}

interface State {
  readonly policyName: string;
  readonly entries: Readonly<Record<string, Readonly<Record<string, readonly MemoryBlock[]>>>>;
}

/** The static policy: containers of Guaranteed pods get their memory from as few nodes as can be, and only from them. */
export class NodeMemory implements ExclusiveResource {
  readonly #options: NodeMemoryOptions;
  readonly #nodes: readonly number[];
  readonly #taken = new Map<string, Map<string, readonly MemoryBlock[]>>();

  constructor(options: NodeMemoryOptions) {
    this.#options = options;
    this.#nodes = options.machine.nodes.map(({ id }) => id);
    checkReserved(options);
    const state = readState<State>(options.stateFile);
    if (state && state.policyName !== 'Static')
      throw new Error(
        `cannot restore the memory of containers: configured policy "Static" differs from state checkpoint policy ${JSON.stringify(state.policyName)}; drain the node and delete ${options.stateFile}`,
      );
    for (const [uid, containers] of Object.entries(state?.entries ?? {}))
      this.#taken.set(uid, new Map(Object.entries(containers)));
    this.#save();
  }

  /** What pods may have, a block for each node and kind. */
  get allocatable(): readonly MemoryBlock[] {
    return this.#nodes.flatMap(node =>
      this.#types().map(type => ({ type, nodes: [node], bytes: this.#allocatable(node, type) })),
    );
  }

  of(podUid: string, container: string): readonly MemoryBlock[] {
    return this.#taken.get(podUid)?.get(container) ?? [];
  }

  hints(pod: Pod, containers: readonly Container[]): ReadonlyMap<string, Hints> {
    const wanted = this.#wanted(pod, containers);
    const free = this.#freeBeside(pod.metadata.uid ?? '', containers);
    return new Map([...wanted].map(([type, bytes]) => [type, this.#hintsOf(type, bytes, free)]));
  }

  take(pod: Pod, container: Container, nodes: NodeSet | undefined): void {
    const { uid = '' } = pod.metadata;
    const wanted = this.#wanted(pod, [container]);
    if (wanted.size === 0 || this.of(uid, container.name).length > 0) return;
    const free = this.#freeBeside(
      uid,
      (pod.spec?.initContainers ?? []).filter(each => isPassing(pod, each)),
    );
    const fits = (set: NodeSet) => [...wanted].every(([type, bytes]) => free(set, type) >= bytes);
    const best =
      nodes !== undefined && fits(nodes)
        ? nodes
        : subsetsOf(this.#nodes).find(set => fits(set) && (nodes === undefined || (set & nodes) === nodes));
    if (best === undefined)
      throw new AllocationError(
        '[memorymanager] failed to get the default NUMA affinity, no NUMA nodes with enough memory is available',
      );
    const blocks = [...wanted].map(([type, bytes]) => ({ type, nodes: nodesOf(best), bytes }));
    const known = this.#taken.get(uid) ?? new Map<string, readonly MemoryBlock[]>();
    this.#taken.set(uid, known.set(container.name, blocks));
    this.#save();
  }

  release(podUid: string): void {
    if (this.#taken.delete(podUid)) this.#save();
  }

  keepOnly(podUids: ReadonlySet<string>): void {
    for (const uid of this.#taken.keys()) if (!podUids.has(uid)) this.release(uid);
  }

  #types(): readonly string[] {
    return ['memory', ...new Set(this.#options.machine.nodes.flatMap(({ hugepages }) => [...hugepages.keys()]))];
  }

  #total(node: number, type: string): number {
    const found = this.#options.machine.nodes.find(({ id }) => id === node);
    const pages = found?.hugepages ?? new Map<string, number>();
    if (type !== 'memory') return pages.get(type) ?? 0;
    return (found?.memoryBytes ?? 0) - [...pages.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  #allocatable(node: number, type: string): number {
    const kept = this.#options.reserved
      .filter(({ numaNode }) => numaNode === node)
      .reduce((sum, { limits }) => sum + (Object.hasOwn(limits, type) ? wholeValue(limits[type]) : 0), 0);
    return Math.max(0, this.#total(node, type) - kept);
  }

  #wanted(pod: Pod, containers: readonly Container[]): ReadonlyMap<string, number> {
    if (!isPinned(pod)) return new Map();
    const types = new Set(containers.flatMap(({ resources }) => Object.keys(resources?.limits ?? {})).filter(isMemory));
    const amounts = [...types].map(
      type => [type, together(pod, containers, each => wholeValue(each.resources?.limits?.[type]))] as const,
    );
    return new Map(amounts.filter(([, bytes]) => bytes > 0));
  }

  /** What a set of nodes has left of a kind, as if these containers of a pod had nothing. */
  #freeBeside(podUid: string, containers: readonly Container[]): (set: NodeSet, type: string) => number {
    const names = new Set(containers.map(({ name }) => name));
    const blocks = [...this.#taken].flatMap(([uid, taken]) =>
      [...taken].filter(([name]) => uid !== podUid || !names.has(name)).flatMap(([, each]) => each),
    );
    return (set, type) => {
      const nodes = nodesOf(set);
      // Nodes that hold memory which spans several are only used together, and single ones only alone.
      const mixed = blocks.some(
        block => block.nodes.some(node => nodes.includes(node)) && !sameNodes(block.nodes, nodes),
      );
      if (mixed) return 0;
      const total = nodes.reduce((sum, node) => sum + this.#allocatable(node, type), 0);
      const used = blocks.filter(block => block.type === type && sameNodes(block.nodes, nodes));
      return total - used.reduce((sum, { bytes }) => sum + bytes, 0);
    };
  }

  #hintsOf(type: string, bytes: number, free: (set: NodeSet, type: string) => number): Hints {
    return hintsFor(
      this.#nodes,
      set => nodesOf(set).reduce((sum, node) => sum + this.#allocatable(node, type), 0),
      set => free(set, type),
      bytes,
    );
  }

  #save(): void {
    const entries = [...this.#taken].map(([uid, containers]) => [uid, Object.fromEntries(containers)]);
    const state: State = { policyName: 'Static', entries: Object.fromEntries(entries) as State['entries'] };
    writeState(this.#options.stateFile, state);
  }
}

function isMemory(type: string): boolean {
  return type === 'memory' || isHugePages(type);
}

function sameNodes(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every(node => b.includes(node));
}

function checkReserved({ reserved, reservedTotal, machine }: NodeMemoryOptions): void {
  for (const { numaNode } of reserved)
    if (!machine.nodes.some(({ id }) => id === numaNode))
      throw new Error(`cannot reserve memory of NUMA node ${numaNode}: this machine has ${machine.nodes.length} nodes`);
  const types = new Set([...reservedTotal.keys(), ...reserved.flatMap(({ limits }) => Object.keys(limits))]);
  for (const type of types) {
    const total = reserved.reduce(
      (sum, { limits }) => sum + (Object.hasOwn(limits, type) ? wholeValue(limits[type]) : 0),
      0,
    );
    const wanted = reservedTotal.get(type) ?? 0;
    if (total !== wanted)
      throw new Error(
        `cannot reserve memory: the total amount "${total}" of type "${type}" is not equal to the value "${wanted}" determined by Node Allocatable feature (kubeReserved, systemReserved and evictionHard)`,
      );
  }
}

/** The nodes that a container's memory may come from, for its cpuset; none: from everywhere. */
export function memoryNodes(blocks: readonly MemoryBlock[]): readonly number[] {
  return [...new Set(blocks.flatMap(block => block.nodes))];
}
