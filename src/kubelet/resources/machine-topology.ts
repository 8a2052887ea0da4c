import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Cpu {
  readonly id: number;
  /** Unique on the machine: upstream's core id, socket and all. */
  readonly core: string;
  readonly socket: number;
  readonly node: number;
}

export interface NumaNode {
  readonly id: number;
  readonly memoryBytes: number;
  /** Pre-allocated huge pages by the names of resources: `hugepages-2Mi`. */
  readonly hugepages: ReadonlyMap<string, number>;
}

/** Processors and memory, and how near they are to each other. */
export interface MachineTopology {
  readonly cpus: readonly Cpu[];
  readonly nodes: readonly NumaNode[];
}

/** Reads it below /sys/devices/system. A machine that says nothing of nodes has one. */
export function readTopology(directory = '/sys/devices/system', memoryBytes = 0): MachineTopology {
  const online = parseCpus(read(join(directory, 'cpu/online')) ?? '0');
  const nodeIds = listed(join(directory, 'node'), /^node(\d+)$/);
  const nodeOf = new Map(
    nodeIds.flatMap(node =>
      parseCpus(read(join(directory, `node/node${node}/cpulist`)) ?? '').map(cpu => [cpu, node] as const),
    ),
  );
  const cpus = online.map((id): Cpu => {
    const topology = join(directory, `cpu/cpu${id}/topology`);
    const socket = Number(read(join(topology, 'physical_package_id')) ?? 0);
    return { id, socket, core: `${socket}/${read(join(topology, 'core_id')) ?? id}`, node: nodeOf.get(id) ?? 0 };
  });
  if (nodeIds.length === 0) return { cpus, nodes: [{ id: 0, memoryBytes, hugepages: new Map() }] };
  return { cpus, nodes: nodeIds.map(id => readNode(join(directory, `node/node${id}`), id)) };
}

function readNode(directory: string, id: number): NumaNode {
  const [, kibi = '0'] = /MemTotal:\s+(\d+) kB/.exec(read(join(directory, 'meminfo')) ?? '') ?? [];
  return { id, memoryBytes: Number(kibi) * 1024, hugepages: readHugepages(join(directory, 'hugepages')) };
}

/** How many bytes of huge pages there are, by the names of resources. */
export function readHugepages(directory = '/sys/kernel/mm/hugepages'): ReadonlyMap<string, number> {
  return new Map(
    listed(directory, /^hugepages-(\d+)kB$/).map(kibi => {
      const pages = Number(read(join(directory, `hugepages-${kibi}kB/nr_hugepages`)) ?? 0);
      return [`hugepages-${pageSizeText(kibi)}`, pages * kibi * 1024];
    }),
  );
}

function pageSizeText(kibi: number): string {
  const gibi = 1024 * 1024;
  if (kibi % gibi === 0) return `${kibi / gibi}Gi`;
  return kibi % 1024 === 0 ? `${kibi / 1024}Mi` : `${kibi}Ki`;
}

/** `0-3,7` as numbers. Throws on anything else. */
export function parseCpus(text: string): readonly number[] {
  const parts = text.trim() === '' ? [] : text.trim().split(',');
  const found = parts.flatMap(part => {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
    if (first === undefined || Number(last) < Number(first))
      throw new Error(`cannot read the CPUs ${JSON.stringify(text)}: ${JSON.stringify(part)} is no number or range`);
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index);
  });
  return [...new Set(found)].toSorted((a, b) => a - b);
}

/** The kernel's way to write down CPUs and nodes: `0-3,7`. */
export function formatCpus(cpus: Iterable<number>): string {
  const sorted = [...cpus].toSorted((a, b) => a - b);
  const ranges: [first: number, last: number][] = [];
  for (const cpu of sorted) {
    const range = ranges.at(-1);
    if (range && range[1] === cpu - 1) range[1] = cpu;
    else ranges.push([cpu, cpu]);
  }
  return ranges.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(',');
}

function listed(directory: string, pattern: RegExp): readonly number[] {
  try {
    const numbers = readdirSync(directory).flatMap(name => pattern.exec(name)?.[1] ?? []);
    return numbers.map(Number).toSorted((a, b) => a - b);
  } catch {
    // Not every kernel has it.
    return [];
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    // Not every machine tells.
    return undefined;
  }
}
