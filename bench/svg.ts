import type { Curve, Point } from './measurements.ts';

const width = 640;
const height = 320;
const margin = { left: 64, right: 24, top: 36, bottom: 64 };
const colours = ['#1f6feb', '#d1242f', '#1a7f37', '#9a6700', '#8250df', '#57606a'];

/** Cost a piece against size, which is drawn in logarithms. Beside each line stands, dashed, how it would be if it stayed level. */
export function svgOf({ title, size, unit, series }: Curve): string {
  const points = Object.values(series).flat();
  const sizes = [...new Set(points.map(each => each.size))].toSorted((a, b) => a - b);
  const [smallest = 1, largest = smallest] = [sizes[0], sizes.at(-1)];
  const top = niceCeiling(Math.max(...points.map(({ value }) => value)));
  const inner = { width: width - margin.left - margin.right, height: height - margin.top - margin.bottom };
  const span = Math.log(largest / smallest) || 1;
  const x = (value: number) => margin.left + (Math.log(value / smallest) / span) * inner.width;
  const y = (value: number) => margin.top + (1 - value / top) * inner.height;
  const steps = [0, 1, 2, 3, 4].map(step => (top * step) / 4);
  const lines = Object.entries(series).map(([name, each], index) =>
    line(name, each, colours[index % colours.length] ?? '#000', index, x, y),
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(margin.left, 18, `${title} (${unit})`, 'font-weight="bold"'),
    ...steps.flatMap(value => [
      `<line x1="${margin.left}" y1="${fixed(y(value))}" x2="${width - margin.right}" y2="${fixed(y(value))}" stroke="#d8dee4"/>`,
      text(margin.left - 8, y(value) + 4, label(value), 'text-anchor="end"'),
    ]),
    ...sizes.map(value =>
      text(x(value), height - margin.bottom + 18, value.toLocaleString('en'), 'text-anchor="middle"'),
    ),
    text(width - margin.right, height - margin.bottom + 34, size, 'text-anchor="end"'),
    ...lines,
    '</svg>',
    '',
  ].join('\n');
}

function line(
  name: string,
  points: readonly Point[],
  colour: string,
  index: number,
  x: (size: number) => number,
  y: (value: number) => number,
): string {
  const sorted = points.toSorted((a, b) => a.size - b.size);
  const [first] = sorted;
  const last = sorted.at(-1);
  if (!first || !last) return '';
  const path = sorted.map(({ size, value }) => `${fixed(x(size))},${fixed(y(value))}`).join(' ');
  const level = fixed(y(first.value));
  const at = margin.left + (index % 3) * 190;
  const below = height - 18 + 14 * Math.floor(index / 3);
  return [
    `<line x1="${fixed(x(first.size))}" y1="${level}" x2="${fixed(x(last.size))}" y2="${level}" stroke="${colour}" stroke-dasharray="3 4" opacity="0.5"/>`,
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...sorted.map(
      ({ size, value }) => `<circle cx="${fixed(x(size))}" cy="${fixed(y(value))}" r="3" fill="${colour}"/>`,
    ),
    `<rect x="${at}" y="${below - 9}" width="10" height="10" fill="${colour}"/>`,
    text(at + 16, below, name, ''),
  ].join('\n');
}

function text(x: number, y: number, content: string, attributes: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return `<text x="${fixed(x)}" y="${fixed(y)}" fill="#24292f" ${attributes}>${escaped}</text>`;
}

function fixed(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function label(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 3 });
}

/** A round number with a little room above. */
function niceCeiling(value: number): number {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value * 1.05));
  return [1, 2, 4, 5, 8, 10].map(step => step * unit).find(each => each >= value * 1.05) ?? 10 * unit;
}
