import type { Pod } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import { milliValue } from '#api/machinery/quantity.ts';
import { type Hints, hintsFor, type NodeSet } from './alignment.ts';
import { areWholeCores, chooseCpus, threadsPerCore } from './choose-cpus.ts';
import { AllocationError, type ExclusiveResource, isPassing, isPinned, together } from './exclusive.ts';
import { formatCpus, type MachineTopology, parseCpus } from './machine-topology.ts';
import { readState, writeState } from './state-file.ts';

export interface ExclusiveCpusOptions {
  readonly machine: MachineTopology;
  /** CPUs that are never a container's alone: by number, or so many. */
  readonly reserved: readonly number[] | number;
  /** Upstream's `full-pcpus-only`: whole cores or none. */
  readonly wholeCoresOnly: boolean;
  /** Upstream's `strict-cpu-reservation`: the reserved ones are for no pod at all. */
  readonly strictReservation: boolean;
  /** `cpu_manager_state` */
  readonly stateFile: string;
  /** What the CPUs that all share are has changed. */
  readonly changed: () => void;
}

interface State {
  readonly policyName: string;
  readonly defaultCpuSet: string;
  readonly entries: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** The static policy: containers of Guaranteed pods that ask for whole CPUs have them for themselves. */
export class ExclusiveCpus implements ExclusiveResource {
  readonly #options: ExclusiveCpusOptions;
  readonly #reserved: ReadonlySet<number>;
  readonly #taken = new Map<string, Map<string, readonly number[]>>();

  constructor(options: ExclusiveCpusOptions) {
    this.#options = options;
    const { machine, reserved, stateFile } = options;
    const all = machine.cpus.map(({ id }) => id);
    const kept = typeof reserved === 'number' ? chooseCpus(machine.cpus, new Set(all), reserved) : reserved;
    if (!kept || kept.length === 0)
      throw new Error(
        'cannot give out whole CPUs: the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero',
      );
    const missing = kept.filter(cpu => !all.includes(cpu));
    if (missing.length > 0)
      throw new Error(`cannot reserve the CPUs ${formatCpus(missing)}: this machine has ${formatCpus(all)}`);
    this.#reserved = new Set(kept);
    const state = readState<State>(stateFile);
    if (state && state.policyName !== 'static')
      throw new Error(
        `cannot restore the CPUs of containers: configured policy "static" differs from state checkpoint policy ${JSON.stringify(state.policyName)}; drain the node and delete ${stateFile}`,
      );
    for (const [uid, containers] of Object.entries(state?.entries ?? {}))
      this.#taken.set(uid, new Map(Object.entries(containers).map(([name, cpus]) => [name, parseCpus(cpus)])));
    const gone = [...this.#inUse()].filter(cpu => !all.includes(cpu));
    if (gone.length > 0)
      throw new Error(
        `cannot restore the CPUs of containers: CPUs ${formatCpus(gone)} are not there any more; drain the node and delete ${stateFile}`,
      );
    this.#save();
  }

  /** CPUs that pods may have for themselves at all. */
  get allocatable(): readonly number[] {
    return this.#options.machine.cpus.map(({ id }) => id).filter(id => !this.#reserved.has(id));
  }

  /** The CPUs of all that have none for themselves. */
  get shared(): readonly number[] {
    const inUse = this.#inUse();
    const { machine, strictReservation } = this.#options;
    const hidden = (id: number) => strictReservation && this.#reserved.has(id);
    return machine.cpus.map(({ id }) => id).filter(id => !inUse.has(id) && !hidden(id));
  }

  /** What a container has for itself. */
  of(podUid: string, container: string): readonly number[] | undefined {
    return this.#taken.get(podUid)?.get(container);
  }

  hints(pod: Pod, containers: readonly Container[]): ReadonlyMap<string, Hints> {
    const wanted = together(pod, containers, container => exclusiveCpus(pod, container));
    if (wanted === 0) return new Map();
    const { cpus } = this.#options.machine;
    const free = this.#free(pod);
    const own = containers.flatMap(({ name }) => this.of(pod.metadata.uid ?? '', name) ?? []);
    for (const cpu of own) free.add(cpu);
    const inNodes = (nodes: NodeSet, of: (id: number) => boolean) =>
      cpus.filter(({ id, node }) => (nodes >> node) & 1 && of(id)).length;
    const hints = hintsFor(
      this.#options.machine.nodes.map(({ id }) => id),
      nodes => inNodes(nodes, () => true),
      nodes => inNodes(nodes, id => free.has(id)),
      wanted,
    );
    return new Map([['cpu', hints]]);
  }

  take(pod: Pod, container: Container, nodes: NodeSet | undefined): void {
    const { uid = '' } = pod.metadata;
    const wanted = exclusiveCpus(pod, container);
    if (wanted === 0 || this.of(uid, container.name)) return;
    const { machine, wholeCoresOnly } = this.#options;
    const threads = threadsPerCore(machine.cpus);
    if (wholeCoresOnly && wanted % threads !== 0)
      throw new AllocationError(
        `SMT Alignment Error: requested ${wanted} cpus not multiple cpus per core = ${threads}`,
        'SMTAlignmentError',
      );
    const free = this.#free(pod);
    const near = machine.cpus.filter(({ id, node }) => free.has(id) && (nodes === undefined || (nodes >> node) & 1));
    const first = chooseCpus(machine.cpus, new Set(near.map(({ id }) => id)), Math.min(wanted, near.length)) ?? [];
    const rest = new Set([...free].filter(id => !first.includes(id)));
    const more = chooseCpus(machine.cpus, rest, wanted - first.length);
    if (!more)
      throw new AllocationError(
        `not enough cpus available to satisfy request: requested=${wanted}, available=${free.size}`,
      );
    const chosen = [...first, ...more].toSorted((a, b) => a - b);
    if (wholeCoresOnly && !areWholeCores(machine.cpus, chosen))
      throw new AllocationError(
        `SMT Alignment Error: not enough free physical CPUs: available physical CPUs = ${Math.floor(free.size / threads) * threads}, requested CPUs = ${wanted}, CPUs per core = ${threads}`,
        'SMTAlignmentError',
      );
    const containers = this.#taken.get(uid) ?? new Map<string, readonly number[]>();
    this.#taken.set(uid, containers.set(container.name, chosen));
    this.#save();
    this.#options.changed();
  }

  release(podUid: string): void {
    if (!this.#taken.delete(podUid)) return;
    this.#save();
    this.#options.changed();
  }

  /** Pods that nobody knows any more, after a start of the agent. */
  keepOnly(podUids: ReadonlySet<string>): void {
    for (const uid of this.#taken.keys()) if (!podUids.has(uid)) this.release(uid);
  }

  #inUse(): Set<number> {
    return new Set([...this.#taken.values()].flatMap(containers => [...containers.values()].flat()));
  }

  /** What a container of this pod could get: also what the pod's init containers have, which end before it starts. */
  #free(pod: Pod): Set<number> {
    const inUse = this.#inUse();
    const own = [...(this.#taken.get(pod.metadata.uid ?? '') ?? [])];
    const passing = own.filter(([name]) => isPassing(pod, { name } as Container)).flatMap(([, cpus]) => cpus);
    const staying = new Set(own.filter(([name]) => !isPassing(pod, { name } as Container)).flatMap(([, cpus]) => cpus));
    for (const cpu of passing) if (!staying.has(cpu)) inUse.delete(cpu);
    return new Set(this.allocatable.filter(id => !inUse.has(id)));
  }

  #save(): void {
    const entries = [...this.#taken].map(([uid, containers]) => [
      uid,
      Object.fromEntries([...containers].map(([name, cpus]) => [name, formatCpus(cpus)])),
    ]);
    const state: State = {
      policyName: 'static',
      defaultCpuSet: formatCpus(this.shared),
      entries: Object.fromEntries(entries) as State['entries'],
    };
    writeState(this.#options.stateFile, state);
  }
}

/** Whole CPUs that a container has for itself; 0: it shares. */
export function exclusiveCpus(pod: Pod, { resources }: Container): number {
  if (!isPinned(pod)) return 0;
  const milli = milliValue(resources?.requests?.['cpu'] ?? resources?.limits?.['cpu']);
  return milli % 1000 === 0 ? milli / 1000 : 0;
}
