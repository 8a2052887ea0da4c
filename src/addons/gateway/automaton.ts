/** A regular expression as a machine that takes one step a byte: its time is that of the text, whatever the pattern. */
export interface Automaton {
  /** Byte → class, from 1. */
  readonly classes: readonly number[];
  readonly classCount: number;
  /** `(state - 1) * classCount + class - 1` → state from 1, or 0 where nothing can match any more. The first state is 1. */
  readonly moves: readonly number[];
  /** By state - 1. */
  readonly accepts: readonly boolean[];
  /** What it took to make it; ten thousand are some milliseconds. */
  readonly steps: number;
}

/** What is too big is refused, not tried: the table is made before the first request. */
const nodesMax = 4_000;
const movesMax = 20_000;
/** Also the bound for all patterns of one route together. */
export const stepsMax = 50_000;
const repeatMax = 1_000;

/** Compiles a pattern in RE2's syntax (without word boundaries) that must match the whole text. Throws why not. */
export function compilePattern(pattern: string): Automaton {
  return determine(new PatternParser(pattern).parse());
}

type Node =
  | { readonly type: 'bytes'; readonly set: ByteSet; next: number }
  | { readonly type: 'split'; next: number; other: number }
  | { readonly type: 'start' | 'end'; next: number }
  | { readonly type: 'match' };

interface Machine {
  readonly nodes: readonly Node[];
  readonly start: number;
}

/** Byte → is in it. */
type ByteSet = readonly boolean[];

type Syntax =
  | { readonly type: 'bytes'; readonly set: ByteSet }
  | { readonly type: 'start' | 'end' | 'empty' }
  | { readonly type: 'sequence' | 'choice'; readonly parts: readonly Syntax[] }
  | { readonly type: 'repeat'; readonly part: Syntax; readonly min: number; readonly max: number };

const depthMax = 200;

class PatternParser {
  readonly #pattern: string;
  #at = 0;
  #depth = 0;
  #foldsCase = false;

  constructor(pattern: string) {
    this.#pattern = pattern;
  }

  parse(): Machine {
    const flags = /^\(\?(i)\)/.exec(this.#pattern);
    if (flags) {
      this.#at = flags[0].length;
      this.#foldsCase = true;
    }
    const syntax = this.#choice();
    if (this.#at < this.#pattern.length) throw new Error(`unexpected ${this.#pattern[this.#at]} at ${this.#at}`);
    return machineOf(syntax);
  }

  #choice(): Syntax {
    if (++this.#depth > depthMax) throw new Error('it nests too deeply');
    const parts = [this.#sequence()];
    while (this.#take('|')) parts.push(this.#sequence());
    this.#depth--;
    return parts.length === 1 ? (parts[0] as Syntax) : { type: 'choice', parts };
  }

  #sequence(): Syntax {
    const parts: Syntax[] = [];
    while (this.#at < this.#pattern.length && !'|)'.includes(this.#peek())) parts.push(this.#repeated());
    return { type: 'sequence', parts };
  }

  #repeated(): Syntax {
    let part = this.#atom();
    for (let times = 0; ; times++) {
      const bounds = this.#bounds();
      if (!bounds) return part;
      if (times > 0) throw new Error(`invalid nested repetition operator at ${this.#at}`);
      // Which of several ways matches makes no difference to whether one does.
      this.#take('?');
      part = { type: 'repeat', part, ...bounds };
    }
  }

  #bounds(): { readonly min: number; readonly max: number } | undefined {
    if (this.#take('*')) return { min: 0, max: Infinity };
    if (this.#take('+')) return { min: 1, max: Infinity };
    if (this.#take('?')) return { min: 0, max: 1 };
    const counted = /^\{(\d+)(,(\d*))?\}/.exec(this.#pattern.slice(this.#at, this.#at + 16));
    if (!counted) return undefined;
    this.#at += counted[0].length;
    const min = Number(counted[1]);
    const max = counted[2] === undefined ? min : counted[3] === '' ? Infinity : Number(counted[3]);
    if (min > repeatMax || (max !== Infinity && (max > repeatMax || max < min)))
      throw new Error(`invalid repeat count ${counted[0]}`);
    return { min, max };
  }

  #atom(): Syntax {
    const char = this.#next();
    switch (char) {
      case '.':
        return bytes(code => code !== 10);
      case '^':
        return { type: 'start' };
      case '$':
        return { type: 'end' };
      case '[':
        return { type: 'bytes', set: this.#class() };
      case '(':
        return this.#group();
      case '\\':
        return this.#escape();
      case '*':
      case '+':
      case '?':
        throw new Error(`missing argument to repetition operator ${char}`);
      case ')':
        throw new Error('unexpected )');
      default:
        return this.#literal(char);
    }
  }

  #group(): Syntax {
    if (this.#take('?')) {
      const named = /^P?<[A-Za-z0-9_]+>/.exec(this.#pattern.slice(this.#at));
      if (named) this.#at += named[0].length;
      else if (!this.#take(':')) throw new Error(`unsupported group at ${this.#at}`);
    }
    const inner = this.#choice();
    if (!this.#take(')')) throw new Error('missing closing )');
    return inner;
  }

  #literal(char: string): Syntax {
    const parts = [...Buffer.from(char)].map(code => this.#byte(code));
    return parts.length === 1 ? (parts[0] as Syntax) : { type: 'sequence', parts };
  }

  #byte(code: number): Syntax {
    return { type: 'bytes', set: this.#folded(setOf(each => each === code)) };
  }

  #folded(set: ByteSet): ByteSet {
    if (!this.#foldsCase) return set;
    return setOf(code => set[code] === true || set[otherCase(code)] === true);
  }

  #escape(): Syntax {
    const char = this.#next();
    if (char === 'A') return { type: 'start' };
    if (char === 'z') return { type: 'end' };
    const named = classes[char];
    if (named) return { type: 'bytes', set: named };
    return this.#literal(this.#escaped(char));
  }

  /** What an escape stands for, where it is one character. */
  #escaped(char: string): string {
    if (Object.hasOwn(controls, char)) return controls[char] as string;
    if (char === 'x') {
      const digits = /^([0-9A-Fa-f]{2})/.exec(this.#pattern.slice(this.#at, this.#at + 2))?.[1];
      if (digits === undefined || Number.parseInt(digits, 16) > 127) throw new Error('invalid escape sequence \\x');
      this.#at += 2;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    if (/[A-Za-z0-9]/.test(char)) throw new Error(`invalid escape sequence \\${char}`);
    return char;
  }

  #class(): ByteSet {
    const negated = this.#take('^');
    const members: ByteSet[] = [];
    for (let first = true; first || this.#peek() !== ']'; first = false) {
      const posix = /^\[:(\^?)([a-z]+):\]/.exec(this.#pattern.slice(this.#at));
      if (posix) {
        const set = classes[posix[2] ?? ''];
        if (!set || (posix[2] ?? '').length === 1) throw new Error(`invalid character class ${posix[0]}`);
        members.push(posix[1] ? setOf(code => !set[code]) : set);
        this.#at += posix[0].length;
        continue;
      }
      const from = this.#member();
      if (typeof from !== 'number') {
        members.push(from);
        continue;
      }
      let to = from;
      if (this.#peek() === '-' && this.#pattern[this.#at + 1] !== ']') {
        this.#at++;
        const end = this.#member();
        if (typeof end !== 'number' || end < from) throw new Error('invalid character class range');
        to = end;
      }
      members.push(setOf(code => code >= from && code <= to));
    }
    this.#at++;
    const set = this.#folded(setOf(code => members.some(each => each[code])));
    return negated ? setOf(code => !set[code]) : set;
  }

  #member(): number | ByteSet {
    let char = this.#next();
    if (char === '\\') {
      const escape = this.#next();
      const named = classes[escape];
      if (named && escape.length === 1) return named;
      char = this.#escaped(escape);
    }
    const code = char.codePointAt(0) ?? 0;
    if (code > 127) throw new Error(`a character class has ${char}: only ASCII can be in one`);
    return code;
  }

  #peek(): string {
    const code = this.#pattern.codePointAt(this.#at);
    if (code === undefined) throw new Error('it ends too early');
    return String.fromCodePoint(code);
  }

  #next(): string {
    const char = this.#peek();
    this.#at += char.length;
    return char;
  }

  #take(char: string): boolean {
    if (this.#pattern[this.#at] !== char) return false;
    this.#at++;
    return true;
  }
}

function otherCase(code: number): number {
  return (code >= 65 && code <= 90) || (code >= 97 && code <= 122) ? code ^ 32 : code;
}

function setOf(has: (code: number) => boolean): ByteSet {
  return Array.from({ length: 256 }, (_, code) => has(code));
}

function bytes(has: (code: number) => boolean): Syntax {
  return { type: 'bytes', set: setOf(has) };
}

const controls: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f', v: '\v', a: '\x07' };

const isDigit = (code: number) => code >= 48 && code <= 57;
const isUpper = (code: number) => code >= 65 && code <= 90;
const isLower = (code: number) => code >= 97 && code <= 122;
const isWord = (code: number) => isDigit(code) || isUpper(code) || isLower(code) || code === 95;
const isSpace = (code: number) => [9, 10, 12, 13, 32].includes(code);
const isPrinted = (code: number) => code > 32 && code < 127;

/** Escapes by their letter, and POSIX names. */
const classes: Readonly<Record<string, ByteSet>> = Object.assign(Object.create(null), {
  d: setOf(isDigit),
  D: setOf(code => !isDigit(code)),
  w: setOf(isWord),
  W: setOf(code => !isWord(code)),
  s: setOf(isSpace),
  S: setOf(code => !isSpace(code)),
  digit: setOf(isDigit),
  upper: setOf(isUpper),
  lower: setOf(isLower),
  alpha: setOf(code => isUpper(code) || isLower(code)),
  alnum: setOf(code => isWord(code) && code !== 95),
  word: setOf(isWord),
  space: setOf(code => isSpace(code) || code === 11),
  punct: setOf(code => isPrinted(code) && (!isWord(code) || code === 95)),
  xdigit: setOf(code => isDigit(code) || (code >= 65 && code <= 70) || (code >= 97 && code <= 102)),
}) as Readonly<Record<string, ByteSet>>;

/** Thompson's construction, from the back. */
function machineOf(syntax: Syntax): Machine {
  const nodes: Node[] = [{ type: 'match' }];
  const add = (node: Node): number => {
    if (nodes.length >= nodesMax) throw new Error('it is too large');
    return nodes.push(node) - 1;
  };
  const build = (part: Syntax, next: number): number => {
    switch (part.type) {
      case 'empty':
        return next;
      case 'start':
      case 'end':
        return add({ type: part.type, next });
      case 'bytes':
        return add({ type: 'bytes', set: part.set, next });
      case 'sequence':
        return part.parts.reduceRight((after, each) => build(each, after), next);
      case 'choice':
        return part.parts
          .map(each => build(each, next))
          .reduceRight((other, each) => add({ type: 'split', next: each, other }));
      case 'repeat': {
        let at = next;
        if (part.max === Infinity) {
          const loop = { type: 'split' as const, next: 0, other: next };
          at = add(loop);
          loop.next = build(part.part, at);
        } else
          for (let index = part.min; index < part.max; index++)
            at = add({ type: 'split', next: build(part.part, at), other: next });
        for (let index = 0; index < part.min; index++) at = build(part.part, at);
        return at;
      }
    }
  };
  return { start: build(syntax, 0), nodes };
}

/** The subset construction. */
function determine({ nodes, start }: Machine): Automaton {
  const work = { steps: 0 };
  const { classes: classOf, samples } = byteClasses(nodes);
  const ids = new Map<string, number>();
  const states: (readonly number[])[] = [];
  const accepts: boolean[] = [];
  const idOf = (members: readonly number[], atStart: boolean): number => {
    const closed = closure(nodes, work, members, { start: atStart, end: false });
    if (closed.length === 0) return 0;
    const key = closed.join(' ');
    const known = ids.get(key);
    if (known !== undefined) return known;
    if ((states.length + 1) * samples.length > movesMax) throw new Error('it is too large');
    states.push(closed);
    // What holds at the start holds there only: an empty text is both its start and its end.
    accepts.push(closure(nodes, work, atStart ? members : closed, { start: atStart, end: true }).includes(0));
    ids.set(key, states.length);
    return states.length;
  };
  idOf([start], true);
  const moves: number[] = [];
  for (let index = 0; index < states.length; index++)
    for (const sample of samples) {
      const targets: number[] = [];
      for (const id of states[index] ?? []) {
        const node = nodes[id];
        if (node?.type === 'bytes' && node.set[sample]) targets.push(node.next);
      }
      moves.push(idOf(targets, false));
    }
  return {
    classes: classOf,
    classCount: samples.length,
    moves,
    accepts: states.length === 0 ? [] : accepts,
    steps: work.steps,
  };
}

/** Bytes that no part of the pattern tells apart are one class. */
function byteClasses(nodes: readonly Node[]): {
  readonly classes: readonly number[];
  readonly samples: readonly number[];
} {
  const sets = nodes.flatMap(node => (node.type === 'bytes' ? [node.set] : []));
  const distinct = [...new Map(sets.map(set => [set.map(Number).join(''), set])).values()];
  const ids = new Map<string, number>();
  const samples: number[] = [];
  const classOf = Array.from({ length: 256 }, (_, code) => {
    const key = distinct.map(set => Number(set[code])).join('');
    let id = ids.get(key);
    if (id === undefined) {
      samples.push(code);
      id = samples.length;
      ids.set(key, id);
    }
    return id;
  });
  return { classes: classOf, samples };
}

function closure(
  nodes: readonly Node[],
  work: { steps: number },
  from: readonly number[],
  at: { readonly start: boolean; readonly end: boolean },
): readonly number[] {
  const seen = new Set<number>();
  const stack = [...from];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    if (seen.has(id)) continue;
    seen.add(id);
    if (++work.steps > stepsMax) throw new Error('it is too large');
    const node = nodes[id];
    if (node?.type === 'split') stack.push(node.next, node.other);
    else if (node?.type === 'start' && at.start) stack.push(node.next);
    else if (node?.type === 'end' && at.end) stack.push(node.next);
  }
  return [...seen].filter(id => nodes[id]?.type !== 'split').sort((left, right) => left - right);
}

/** For tests, and whoever wants to try a pattern without a proxy. */
export function automatonMatches({ classes: classOf, classCount, moves, accepts }: Automaton, text: string): boolean {
  let state = 1;
  for (const code of Buffer.from(text)) {
    state = moves[(state - 1) * classCount + (classOf[code] ?? 1) - 1] ?? 0;
    if (state === 0) return false;
  }
  return accepts[state - 1] ?? false;
}
