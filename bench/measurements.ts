import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRecording, provenance, root } from './harness.ts';

export interface Point {
  readonly size: number;
  readonly value: number;
}

/** What something costs a piece, by how many pieces there are. Work that grows linearly gives level lines. */
export interface Curve {
  readonly title: string;
  /** What is counted along the abscissa: "pods". */
  readonly size: string;
  /** Of the ordinate: "ms of CPU a pod". */
  readonly unit: string;
  readonly series: Readonly<Record<string, readonly Point[]>>;
}

export interface KeptCurve extends Curve {
  /** Date, commit and machine. */
  readonly measured: string;
}

export const performanceFolder = join(root, 'docs', 'performance');
const file = join(performanceFolder, 'measurements.json');

/** The newest curves of each bench, by their names. */
export function keptCurves(): Record<string, KeptCurve> {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Record<string, KeptCurve>) : {};
}

/** Keeps a curve for the page of performance in place of the former one; `npm run bench -- curves` draws it. */
export async function keepCurve(name: string, curve: Curve): Promise<void> {
  const series = Object.entries(curve.series).map(([key, points]) => [key, points.map(rounded)] as const);
  for (const [key, points] of series)
    process.stdout.write(
      `${curve.title}, ${key}: ${points.map(({ size, value }) => `${size} → ${value}`).join(', ')} ${curve.unit}\n`,
    );
  if (!isRecording()) return;
  const kept = {
    ...keptCurves(),
    [name]: { ...curve, series: Object.fromEntries(series), measured: await provenance() },
  };
  mkdirSync(performanceFolder, { recursive: true });
  const sorted = Object.fromEntries(Object.entries(kept).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(file, `${JSON.stringify(sorted, null, 2)}\n`);
}

function rounded({ size, value }: Point): Point {
  return { size, value: Number(value.toPrecision(4)) };
}
