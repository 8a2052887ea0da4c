import { quantile, usageOf, type Row } from './harness.ts';

export interface Phase {
  readonly operations: number;
  readonly wallMs: number;
  /** From the call to its answer, one by one. */
  readonly latenciesMs: readonly number[];
  /** Of the process that was watched. */
  readonly cpuMs: number;
  readonly residentBytes: number;
}

/** Calls `act` for each index, several at once, and watches a process meanwhile. */
export async function load(
  { operations, concurrency = 32, pid }: { operations: number; concurrency?: number; pid: number },
  act: (index: number) => Promise<unknown>,
): Promise<Phase> {
  const latenciesMs = new Array<number>(operations);
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < operations; index = next++) {
      const started = performance.now();
      await act(index);
      latenciesMs[index] = performance.now() - started;
    }
  };
  const { wallMs, cpuMs, residentBytes } = await watched(pid, () =>
    Promise.all(Array.from({ length: Math.min(concurrency, operations) }, worker)),
  );
  return { operations, wallMs, latenciesMs, cpuMs, residentBytes };
}

/** What a process uses while something is done. */
export async function watched(
  pid: number,
  act: () => Promise<unknown>,
): Promise<{ readonly wallMs: number; readonly cpuMs: number; readonly residentBytes: number }> {
  const before = usageOf(pid).cpuMs;
  const started = performance.now();
  await act();
  const wallMs = performance.now() - started;
  const after = usageOf(pid);
  return { wallMs, cpuMs: after.cpuMs - before, residentBytes: after.residentBytes };
}

/** One line of a table: rate, quantiles, CPU an operation, memory. */
export function phaseRow(what: string, phase: Phase, against?: string): Row {
  const { operations, wallMs, latenciesMs, cpuMs, residentBytes } = phase;
  const figures = [
    `n=${operations.toLocaleString('en')}`,
    `${perSecond(operations, wallMs)}/s`,
    `p50=${milliseconds(quantile(latenciesMs, 0.5))}`,
    `p99=${milliseconds(quantile(latenciesMs, 0.99))}`,
    `cpu/op=${milliseconds(cpuMs / operations)}`,
    `rss=${megabytes(residentBytes)}`,
  ];
  return { what, figure: figures.join(' '), ...(against !== undefined && { against }) };
}

export function perSecond(operations: number, wallMs: number): string {
  const rate = (operations * 1000) / wallMs;
  return rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString('en');
}

export function milliseconds(value: number): string {
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 100) return `${Math.round(value)} ms`;
  return `${value.toFixed(value < 1 ? 3 : 2)} ms`;
}

export function megabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MB`;
}
