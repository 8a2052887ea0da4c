import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './benches.ts';
import { root } from './harness.ts';
import { keptCurves, performanceFolder, type KeptCurve } from './measurements.ts';
import { svgOf } from './svg.ts';

const page = join(root, 'docs', 'performance.md');
const begin = '<!-- from here on: npm run bench -- curves -->';

export const curves: Bench = {
  name: 'curves',
  measures: 'nothing: draws the curves of docs/performance.md from what the other benches have kept',
  async run() {
    const all = Object.entries(keptCurves());
    for (const [name, curve] of all) writeFileSync(join(performanceFolder, `${name}.svg`), svgOf(curve));
    const kept = readFileSync(page, 'utf8').split(begin)[0] ?? '';
    writeFileSync(page, `${kept}${begin}\n\n${all.map(([name, curve]) => section(name, curve)).join('\n')}`);
    process.stdout.write(`${all.length} curves are drawn in docs/performance\n`);
  },
};

function section(name: string, curve: KeptCurve): string {
  const sizes = [...new Set(Object.values(curve.series).flatMap(points => points.map(({ size }) => size)))].toSorted(
    (a, b) => a - b,
  );
  const names = Object.keys(curve.series);
  const cell = (key: string, size: number) => {
    const point = curve.series[key]?.find(each => each.size === size);
    return point ? String(point.value) : '';
  };
  return [
    `### ${curve.title}`,
    '',
    `![${curve.title}: ${curve.unit}](performance/${name}.svg)`,
    '',
    `| ${curve.size} | ${names.map(key => `${key}, ${curve.unit}`).join(' | ')} |`,
    `|---|${names.map(() => '---').join('|')}|`,
    ...sizes.map(size => `| ${size.toLocaleString('en')} | ${names.map(key => cell(key, size)).join(' | ')} |`),
    '',
    curve.measured,
    '',
  ].join('\n');
}
