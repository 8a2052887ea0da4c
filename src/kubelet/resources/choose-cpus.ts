import type { Cpu } from './machine-topology.ts';

/**
 * So many CPUs of those that are free, near to each other: whole sockets or nodes first, then whole cores, then single
 * threads beside what is taken already. `undefined` when there are too few.
 */
export function chooseCpus(
  machine: readonly Cpu[],
  free: ReadonlySet<number>,
  wanted: number,
): readonly number[] | undefined {
  if (free.size < wanted) return undefined;
  const chosen = new Set<number>();
  const left = () => machine.filter(({ id }) => free.has(id) && !chosen.has(id));
  const take = (cpus: readonly Cpu[]) => cpus.forEach(({ id }) => chosen.add(id));
  const nodesOf = (cpus: readonly Cpu[]) => new Set(cpus.map(({ node }) => node)).size;
  // The bigger of the two first: machines have sockets of several nodes, and nodes of several sockets.
  const bySize =
    nodesOf(machine) >= new Set(machine.map(({ socket }) => socket)).size ? [socketOf, nodeOf] : [nodeOf, socketOf];
  for (const key of [...bySize, coreOf])
    for (const whole of wholeOnes(machine, left(), key)) if (chosen.size + whole.length <= wanted) take(whole);
  const beside = (cpu: Cpu) => machine.filter(each => each.socket === cpu.socket && chosen.has(each.id)).length;
  const freeIn = (cpu: Cpu, key: (of: Cpu) => unknown) => left().filter(each => key(each) === key(cpu)).length;
  while (chosen.size < wanted) {
    const [next] = left().toSorted(
      (a, b) =>
        beside(b) - beside(a) ||
        freeIn(a, socketOf) - freeIn(b, socketOf) ||
        freeIn(a, coreOf) - freeIn(b, coreOf) ||
        a.socket - b.socket ||
        a.id - b.id,
    );
    if (!next) return undefined;
    take([next]);
  }
  return [...chosen].toSorted((a, b) => a - b);
}

const socketOf = ({ socket }: Cpu): string => `socket ${socket}`;
const nodeOf = ({ node }: Cpu): string => `node ${node}`;
const coreOf = ({ core }: Cpu): string => `core ${core}`;

/** Groups of which nothing is taken; those whose surroundings have least left come first, so that others stay whole. */
function wholeOnes(
  machine: readonly Cpu[],
  left: readonly Cpu[],
  key: (cpu: Cpu) => string,
): readonly (readonly Cpu[])[] {
  const all = Map.groupBy(machine, key);
  const freeOnSocket = (cpu: Cpu | undefined) => left.filter(({ socket }) => socket === cpu?.socket).length;
  return [...Map.groupBy(left, key)]
    .filter(([name, cpus]) => cpus.length === all.get(name)?.length)
    .map(([, cpus]) => cpus)
    .toSorted((a, b) => freeOnSocket(a[0]) - freeOnSocket(b[0]) || (a[0]?.id ?? 0) - (b[0]?.id ?? 0));
}

/** Whether CPUs are whole cores, as `full-pcpus-only` wants them. */
export function areWholeCores(machine: readonly Cpu[], cpus: readonly number[]): boolean {
  const chosen = new Set(cpus);
  const cores = new Set(machine.filter(({ id }) => chosen.has(id)).map(({ core }) => core));
  return machine.every(({ id, core }) => chosen.has(id) || !cores.has(core));
}

/** Threads that a core has. */
export function threadsPerCore(machine: readonly Cpu[]): number {
  return Math.max(1, Math.floor(machine.length / Math.max(1, new Set(machine.map(({ core }) => core)).size)));
}
