/** One line of what a node agent says of itself at `/metrics/resource`. */
export interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
  /** When it was measured, where the line says so. */
  readonly atMs: number | undefined;
}

/** Reads Prometheus' text format, line by line; lines that are none are passed over. */
export function* samplesIn(text: string, wanted: ReadonlySet<string>): Generator<Sample, void, undefined> {
  for (let start = 0; start < text.length; ) {
    let end = text.indexOf('\n', start);
    if (end < 0) end = text.length;
    const sample = text[start] === '#' ? undefined : sampleOf(text.slice(start, end), wanted);
    if (sample) yield sample;
    start = end + 1;
  }
}

function sampleOf(line: string, wanted: ReadonlySet<string>): Sample | undefined {
  const nameEnd = line.search(/[{\s]/);
  if (nameEnd <= 0) return undefined;
  const name = line.slice(0, nameEnd);
  if (!wanted.has(name)) return undefined;
  const labels = new Map<string, string>();
  let at = nameEnd;
  if (line[at] === '{') {
    const pair = /\s*,?\s*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"/y;
    pair.lastIndex = at + 1;
    for (let found = pair.exec(line); found; found = pair.exec(line)) {
      labels.set(found[1] as string, unescaped(found[2] as string));
      at = pair.lastIndex;
    }
    at = line.indexOf('}', at);
    if (at < 0) return undefined;
    at++;
  }
  const [value = '', time] = line.slice(at).trim().split(/\s+/);
  const number = Number(value);
  if (value === '' || !Number.isFinite(number)) return undefined;
  return { name, labels, value: number, atMs: time === undefined ? undefined : Number(time) };
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_all, character: string) => (character === 'n' ? '\n' : character));
}
