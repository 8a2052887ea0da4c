import { RE2JS, RE2JSException } from '@bufbuild/re2';
import { CelError } from './values.ts';

/** A regular expression in RE2's syntax, in linear time. */
export class Regex {
  readonly #regex: RE2JS;

  constructor(pattern: string) {
    this.#regex = new RE2JS(pattern);
  }

  test(text: string): boolean {
    return this.#regex.test(text);
  }

  /** The leftmost match, the first of several that start there. */
  find(text: string, from = 0): { readonly start: number; readonly end: number } | undefined {
    return firstMatch(this.#regex.re2().prog as unknown as Program, text, from);
  }

  /** Matches that do not overlap, at most so many. */
  findAll(text: string, countMax: number): string[] {
    const found: string[] = [];
    let from = 0;
    let previousEnd = -1;
    while (from <= text.length && found.length < countMax) {
      const match = this.find(text, from);
      if (match === undefined) break;
      const empty = match.start === match.end;
      if (!empty || match.start !== previousEnd) found.push(text.slice(match.start, match.end));
      previousEnd = match.end;
      from = empty ? match.end + widthAt(text, match.end) : match.end;
    }
    return found;
  }
}

const cacheMax = 256;
const cache = new Map<string, Regex | CelError>();

/** The compiled expression; the last ones are remembered. */
export function regexOf(pattern: string): Regex | CelError {
  const known = cache.get(pattern);
  if (known !== undefined) return known;
  const compiled = compile(pattern);
  if (cache.size >= cacheMax) cache.clear();
  cache.set(pattern, compiled);
  return compiled;
}

function compile(pattern: string): Regex | CelError {
  try {
    return new Regex(pattern);
  } catch (error) {
    if (error instanceof RE2JSException) return new CelError(error.message);
    throw error;
  }
}

/** Compiled instructions, as the library has them. */
interface Program {
  readonly start: number;
  readonly inst: readonly Instruction[];
}

interface Instruction {
  readonly op: number;
  readonly out: number;
  readonly arg: number;
  matchRune(rune: number): boolean;
}

const alternative = 1;
const alternativeMatch = 2;
const capture = 3;
const emptyWidth = 4;
const fail = 5;
const matched = 6;
const nop = 7;
const anyRune = 10;
const anyRuneButNewline = 11;

/** Threads of a Pike machine in order of preference; each knows where its match began. */
class Threads {
  readonly #starts = new Map<number, number>();

  clear(): void {
    this.#starts.clear();
  }

  get size(): number {
    return this.#starts.size;
  }

  /** Follows all that takes no character. */
  add(program: Program, pc: number, start: number, context: number): void {
    const pending = [pc];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      if (this.#starts.has(next)) continue;
      this.#starts.set(next, start);
      const instruction = program.inst[next] as Instruction;
      switch (instruction.op) {
        case alternative:
        case alternativeMatch:
          pending.push(instruction.arg, instruction.out);
          break;
        case capture:
        case nop:
          pending.push(instruction.out);
          break;
        case emptyWidth:
          if ((instruction.arg & ~context) === 0) pending.push(instruction.out);
      }
    }
  }

  [Symbol.iterator](): IterableIterator<[number, number]> {
    return this.#starts.entries();
  }
}

function firstMatch(program: Program, text: string, from: number): { start: number; end: number } | undefined {
  let current = new Threads();
  let next = new Threads();
  let found: { start: number; end: number } | undefined;
  let before = from === 0 ? -1 : runeBefore(text, from);
  for (let position = from; ; ) {
    const rune = text.codePointAt(position) ?? -1;
    if (found === undefined) current.add(program, program.start, position, contextOf(before, rune));
    if (current.size === 0) return found;
    const width = rune > 0xffff ? 2 : 1;
    const after = rune < 0 ? -1 : (text.codePointAt(position + width) ?? -1);
    const context = contextOf(rune, after);
    next.clear();
    for (const [pc, start] of current) {
      const instruction = program.inst[pc] as Instruction;
      if (instruction.op === matched) {
        found = { start, end: position };
        break;
      }
      if (rune >= 0 && takes(instruction, rune)) next.add(program, instruction.out, start, context);
    }
    if (rune < 0) return found;
    [current, next] = [next, current];
    before = rune;
    position += width;
  }
}

function takes(instruction: Instruction, rune: number): boolean {
  switch (instruction.op) {
    case alternative:
    case alternativeMatch:
    case capture:
    case emptyWidth:
    case fail:
    case nop:
      return false;
    case anyRune:
      return true;
    case anyRuneButNewline:
      return rune !== 10;
    default:
      return instruction.matchRune(rune);
  }
}

/** What holds between two characters: bounds of lines, of the text, of words. */
function contextOf(before: number, after: number): number {
  let context = 0;
  if (before === 10) context |= 1;
  if (before < 0) context |= 1 | 4;
  if (after === 10) context |= 2;
  if (after < 0) context |= 2 | 8;
  return context | (isWord(before) === isWord(after) ? 32 : 16);
}

function isWord(rune: number): boolean {
  return (
    (rune >= 0x30 && rune <= 0x39) || (rune >= 0x41 && rune <= 0x5a) || rune === 0x5f || (rune >= 0x61 && rune <= 0x7a)
  );
}

function runeBefore(text: string, position: number): number {
  const unit = text.charCodeAt(position - 1);
  const pair = unit >= 0xdc00 && unit <= 0xdfff && position > 1;
  return pair ? (text.codePointAt(position - 2) as number) : unit;
}

function widthAt(text: string, position: number): number {
  return (text.codePointAt(position) ?? 0) > 0xffff ? 2 : 1;
}
