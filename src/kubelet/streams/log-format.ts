/** One line of a CRI log: `2026-01-01T00:00:00.000000000Z stdout F text`. */
export interface LogLine {
  readonly time: string;
  readonly stream: string;
  /** Part of a longer line: the rest follows. */
  readonly partial: boolean;
  /** With its newline, unless it is partial. */
  readonly content: Buffer;
}

/** `undefined` for what is no such line. `line` is without its newline. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(32);
  const second = line.indexOf(32, first + 1);
  if (first <= 0 || second < 0) return undefined;
  const third = line.indexOf(32, second + 1);
  const tag = line.toString('latin1', second + 1, third < 0 ? line.length : third);
  const partial = tag.split(':')[0] === 'P';
  const text = third < 0 ? Buffer.alloc(0) : line.subarray(third + 1);
  return {
    // conmon spells UTC as +00:00; everybody else writes Z.
    time: line.toString('latin1', 0, first).replace(/\+00:00$/, 'Z'),
    stream: line.toString('latin1', first + 1, second),
    partial,
    content: partial ? text : Buffer.concat([text, newline]),
  };
}

const newline = Buffer.from('\n');
