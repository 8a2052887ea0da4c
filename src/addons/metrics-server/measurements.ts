import { samplesIn } from './exposition.ts';

/** What one node agent said in one answer: processor seconds so far and bytes now, of the node and of containers. */
export interface Reading {
  readonly node: Point | undefined;
  /** By `namespace/pod/container`. */
  readonly containers: ReadonlyMap<string, Point>;
}

interface Point {
  readonly atMs: number;
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
  /** When the container started, where the agent says it. */
  readonly startMs: number | undefined;
}

/** What is used at a moment, measured over the time before it. */
export interface Usage {
  readonly atMs: number;
  readonly windowMs: number;
  readonly cpuCores: number;
  readonly memoryBytes: number;
}

const families = {
  node_cpu_usage_seconds_total: 'cpuSeconds',
  node_memory_working_set_bytes: 'memoryBytes',
  container_cpu_usage_seconds_total: 'cpuSeconds',
  container_memory_working_set_bytes: 'memoryBytes',
  container_start_time_seconds: 'startSeconds',
} as const;
const wanted: ReadonlySet<string> = new Set(Object.keys(families));

type Growing = { cpuSeconds?: number; memoryBytes?: number; startSeconds?: number; atMs?: number };

export function readingOf(text: string, nowMs: number): Reading {
  const node: Growing = {};
  const containers = new Map<string, Growing>();
  for (const { name, labels, value, atMs } of samplesIn(text, wanted)) {
    let point = node;
    if (name.startsWith('container_')) {
      const key = `${labels.get('namespace') ?? ''}/${labels.get('pod') ?? ''}/${labels.get('container') ?? ''}`;
      point = containers.get(key) ?? {};
      containers.set(key, point);
    }
    const family = families[name as keyof typeof families];
    point[family] = value;
    // The processor's counter is what time is divided by.
    if (family === 'cpuSeconds') point.atMs = atMs ?? nowMs;
  }
  return {
    node: pointOf(node),
    containers: new Map(
      [...containers].flatMap(([key, growing]) => {
        const point = pointOf(growing);
        return point ? [[key, point] as const] : [];
      }),
    ),
  };
}

/** How much was used between two readings; undefined where they do not belong together. */
export function usageBetween(before: Point | undefined, after: Point | undefined): Usage | undefined {
  if (!after) return undefined;
  const isNew = !before || after.cpuSeconds < before.cpuSeconds || after.atMs <= before.atMs;
  // Of a container that has just started its start is the first point.
  const from = isNew ? freshStart(after) : before;
  if (!from) return undefined;
  const windowMs = after.atMs - from.atMs;
  const cpuCores = ((after.cpuSeconds - from.cpuSeconds) * 1000) / windowMs;
  return { atMs: after.atMs, windowMs, cpuCores, memoryBytes: after.memoryBytes };
}

/** Upstream's bounds: measured for less than this it says nothing, and later two readings say more. */
const freshMsMin = 10_000;
const freshMsMax = 60_000;

function freshStart({ atMs, startMs }: Point): { readonly atMs: number; readonly cpuSeconds: number } | undefined {
  if (startMs === undefined) return undefined;
  const ageMs = atMs - startMs;
  return ageMs >= freshMsMin && ageMs <= freshMsMax ? { atMs: startMs, cpuSeconds: 0 } : undefined;
}

function pointOf({ cpuSeconds, memoryBytes, startSeconds, atMs }: Growing): Point | undefined {
  if (cpuSeconds === undefined || memoryBytes === undefined || atMs === undefined) return undefined;
  return { atMs, cpuSeconds, memoryBytes, startMs: startSeconds === undefined ? undefined : startSeconds * 1000 };
}
