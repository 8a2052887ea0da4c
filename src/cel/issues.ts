import { issuesMax } from './limits.ts';

/** What is wrong with an expression, and where: an offset in UTF-16 units, or -1 where there is no place. */
export interface Issue {
  readonly offset: number;
  readonly message: string;
}

/** Collects at most `issuesMax`; the rest is counted. */
export class Issues {
  readonly text: string;
  readonly #issues: Issue[] = [];
  #count = 0;

  constructor(text: string) {
    this.text = text;
  }

  get count(): number {
    return this.#count;
  }

  report(offset: number, message: string): void {
    this.#count++;
    if (this.#count <= issuesMax) this.#issues.push({ offset, message });
  }

  /** Upstream's form: `ERROR: <input>:1:1: message`, the line, and a mark under the place. */
  toString(): string {
    const lines = this.text.split('\n');
    const starts: number[] = [];
    let start = 0;
    for (const line of lines) {
      starts.push(start);
      start += line.length + 1;
    }
    const shown = this.#issues
      .map(issue => ({ ...issue, ...this.#place(issue.offset, starts) }))
      .sort((left, right) => left.line - right.line || left.column - right.column)
      .map(({ line, column, message }) =>
        this.text === ''
          ? `ERROR: <input>:1:0: ${message}`
          : `ERROR: <input>:${line}:${column + 1}: ${message}${snippet(lines[line - 1], column)}`,
      );
    if (this.#count > issuesMax) shown.push(`${this.#count - issuesMax} more errors were truncated`);
    return shown.join('\n');
  }

  /** Lines from 1, columns from 0 in code points. */
  #place(offset: number, starts: readonly number[]): { line: number; column: number } {
    if (offset < 0) return { line: -1, column: -1 };
    let line = 0;
    while (line + 1 < starts.length && (starts[line + 1] as number) <= offset) line++;
    return { line: line + 1, column: codePoints(this.text.slice(starts[line], offset)) };
  }
}

const snippetLengthMax = 16_384;

function snippet(line: string | undefined, column: number): string {
  if (line === undefined || line.length > snippetLengthMax) return '';
  const shown = line.replaceAll('\t', ' ');
  let mark = '';
  let index = 0;
  for (; column > 0 && index < shown.length; column--) {
    const point = shown.codePointAt(index) as number;
    mark += point > 0x7f ? '．' : '.';
    index += point > 0xffff ? 2 : 1;
  }
  return `\n | ${shown}\n | ${mark}${(shown.codePointAt(index) ?? 0) > 0x7f ? '＾' : '^'}`;
}

export function codePoints(text: string): number {
  let count = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0xd800 || unit > 0xdbff) continue;
    const next = text.charCodeAt(index + 1);
    if (next >= 0xdc00 && next <= 0xdfff) {
      count--;
      index++;
    }
  }
  return count;
}
