import { type Element, type Entry, type Expression, type Field, visit } from './ast.ts';
import { codePoints, Issues } from './issues.ts';
import { shown, type Token, tokenize } from './lexer.ts';
import { copiedNodesMax, expressionCodePointsMax, expressionDepthMax } from './limits.ts';
import { expandMacro, type Macros } from './macros.ts';
import { reservedWords } from './names.ts';
import { unescapeBytes, unescapeString } from './unescape.ts';
import { type CelValue, Double, integerOf, Uint } from './values.ts';

/** The tree of an expression with its macros expanded; undefined when there are issues. */
export function parse(text: string, macros: Macros, issues: Issues): Expression | undefined {
  const size = codePoints(text);
  if (size > expressionCodePointsMax) {
    issues.report(-1, `expression code point size exceeds limit: size: ${size}, limit ${expressionCodePointsMax}`);
    return undefined;
  }
  const parser = new Parser(tokenize(text, issues), macros, issues);
  try {
    const expression = parser.start();
    return issues.count === 0 ? expression : undefined;
  } catch (error) {
    if (error instanceof Stop) return undefined;
    throw error;
  }
}

/** The parser gave up; the reason is reported. */
class Stop extends Error {}

const startOfOperand = [
  "'['",
  "'{'",
  "'('",
  "'.'",
  "'-'",
  "'!'",
  "'true'",
  "'false'",
  "'null'",
  'NUM_FLOAT',
  'NUM_INT',
  'NUM_UINT',
  'STRING',
  'BYTES',
  'IDENTIFIER',
];
const operandStarts = new Set(startOfOperand.map(kind => kind.replaceAll("'", '')));

const relations = new Set(['<', '<=', '>=', '>', '==', '!=', 'in']);
const sums = new Set(['+', '-']);
const products = new Set(['*', '/', '%']);
const operators = new Set([...relations, '+', ...products, '&&', '||', '?']);
const operatorNames: Readonly<Record<string, string>> = {
  in: '@in',
  '<': '_<_',
  '<=': '_<=_',
  '>=': '_>=_',
  '>': '_>_',
  '==': '_==_',
  '!=': '_!=_',
  '+': '_+_',
  '-': '_-_',
  '*': '_*_',
  '/': '_/_',
  '%': '_%_',
};

/** A tree and how many nested operations it has, which is what upstream limits. */
interface Parsed {
  readonly node: Expression;
  readonly depth: number;
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #macros: Macros;
  readonly #issues: Issues;
  #index = 0;
  #nesting = 0;
  #copied = 0;
  /** The marks that end the groups around the place. */
  readonly #closers: string[] = [];

  constructor(tokens: readonly Token[], macros: Macros, issues: Issues) {
    this.#tokens = tokens;
    this.#macros = macros;
    this.#issues = issues;
  }

  start(): Expression {
    const { node } = this.#expression();
    this.#expect('<EOF>', ['<EOF>']);
    return node;
  }

  #expression(): Parsed {
    if (++this.#nesting > expressionDepthMax) this.#tooDeep('expression recursion limit exceeded: 250');
    const condition = this.#or();
    let result = condition;
    if (this.#kind === '?') {
      const { offset } = this.#next();
      const then = this.#or();
      this.#expect(':', ["':'"]);
      const otherwise = this.#expression();
      result = this.#operation(offset, '_?_:_', [condition, then, otherwise]);
    }
    this.#nesting--;
    return result;
  }

  #or(): Parsed {
    return this.#logical('||', '_||_', () => this.#logical('&&', '_&&_', () => this.#relation()));
  }

  /** Chains become balanced trees, so that long ones are not deep. */
  #logical(mark: string, name: string, operand: () => Parsed): Parsed {
    const first = operand();
    if (this.#kind !== mark) return first;
    const terms = [first.node];
    const offsets: number[] = [];
    let depth = first.depth;
    while (this.#kind === mark) {
      offsets.push(this.#next().offset);
      const term = operand();
      terms.push(term.node);
      depth = Math.max(depth, term.depth);
    }
    const balanced = (low: number, high: number): Expression => {
      const middle = Math.floor((low + high + 1) / 2);
      const left = middle === low ? (terms[middle] as Expression) : balanced(low, middle - 1);
      const right = middle === high ? (terms[middle + 1] as Expression) : balanced(middle + 1, high);
      return { kind: 'call', offset: offsets[middle] as number, name, target: undefined, args: [left, right] };
    };
    return { node: balanced(0, offsets.length - 1), depth };
  }

  #relation(): Parsed {
    return this.#leftToRight(relations, () =>
      this.#leftToRight(sums, () => this.#leftToRight(products, () => this.#unary())),
    );
  }

  #leftToRight(marks: ReadonlySet<string>, operand: () => Parsed): Parsed {
    let left = operand();
    while (marks.has(this.#kind)) {
      const { kind, offset } = this.#next();
      left = this.#operation(offset, operatorNames[kind] as string, [left, operand()]);
    }
    return left;
  }

  #unary(): Parsed {
    const mark = this.#kind;
    if (mark !== '!' && mark !== '-') return this.#member();
    if (mark === '-' && this.#isNumber(1)) return this.#member();
    const { offset } = this.#token;
    let count = 0;
    for (; this.#kind === mark; count++) this.#next();
    const operand = this.#member();
    if (count % 2 === 0) return operand;
    return { ...this.#operation(offset, mark === '!' ? '!_' : '-_', [operand]), depth: operand.depth };
  }

  #member(): Parsed {
    let operand = this.#primary();
    for (;;) {
      if (this.#kind === '.') operand = this.#selection(operand);
      else if (this.#kind === '[') operand = this.#subscript(operand);
      else return operand;
    }
  }

  #selection(operand: Parsed): Parsed {
    const dot = this.#next();
    if (this.#kind === '?') {
      this.#next();
      const name = this.#fieldName(`${dot.text}?`);
      const field: Expression = { kind: 'literal', offset: name.offset, value: name.text };
      return this.#operation(dot.offset, '_?._', [operand, { node: field, depth: 0 }], false);
    }
    const escaped = this.#kind === 'ESC_IDENTIFIER';
    const name = this.#fieldName(dot.text);
    if (this.#kind === '(' && !escaped) {
      const { offset } = this.#token;
      const args = this.#args();
      return this.#call(offset, name.text, operand, args);
    }
    const node: Expression = {
      kind: 'select',
      offset: dot.offset,
      operand: operand.node,
      field: name.text,
      test: false,
    };
    return this.#deeper(node, operand.depth);
  }

  #fieldName(before: string): { text: string; offset: number } {
    const token = this.#token;
    if (token.kind === 'IDENTIFIER') return this.#next();
    if (token.kind === 'ESC_IDENTIFIER') return { offset: this.#next().offset, text: token.text.slice(1, -1) };
    if (token.kind === 'true' || token.kind === 'false' || token.kind === 'null') {
      return this.#fail(token, `mismatched input '${token.text}' expecting IDENTIFIER`);
    }
    return this.#fail(token, `no viable alternative at input '${shown(before + textOf(token))}'`);
  }

  #subscript(operand: Parsed): Parsed {
    const { offset } = this.#next();
    const optional = this.#take('?');
    const index = this.#enclosed(']', () => this.#expression());
    this.#expect(']', ["']'"]);
    return this.#operation(offset, optional ? '_[?_]' : '_[_]', [operand, index]);
  }

  #primary(): Parsed {
    const token = this.#token;
    switch (token.kind) {
      case '(': {
        this.#next();
        const inner = this.#enclosed(')', () => this.#expression());
        this.#expect(')', ["')'"]);
        return inner;
      }
      case '[':
        return this.#list();
      case '{':
        return this.#map();
      case '.':
      case 'IDENTIFIER':
        return this.#name();
      case '-':
        if (this.#isNumber(1)) return this.#literal();
        break;
      case 'true':
      case 'false':
      case 'null':
      case 'NUM_FLOAT':
      case 'NUM_INT':
      case 'NUM_UINT':
      case 'STRING':
      case 'BYTES':
        return this.#literal();
    }
    if (this.#skipUnwanted(operandStarts, startOfOperand)) return this.#primary();
    if (!operators.has(token.kind)) return this.#mismatch(startOfOperand);
    // The operand is missing; what follows the operator is looked at all the same.
    this.#issues.report(
      token.offset,
      `Syntax error: mismatched input '${token.text}' expecting ${setOf(startOfOperand)}`,
    );
    return { node: { kind: 'literal', offset: token.offset, value: null }, depth: 0 };
  }

  #name(): Parsed {
    const first = this.#token;
    const dot = this.#take('.') ? '.' : '';
    if (this.#kind !== 'IDENTIFIER') {
      return this.#fail(this.#token, `no viable alternative at input '${shown(dot + textOf(this.#token))}'`);
    }
    const message = this.#messageName();
    if (message !== undefined) return this.#object(dot + message);
    const token = this.#next();
    const called = this.#is('(');
    if (reservedWords.has(token.text)) {
      this.#issues.report(first.offset, `reserved identifier: ${token.text}`);
      if (called) this.#args();
      return { node: { kind: 'literal', offset: token.offset, value: null }, depth: 0 };
    }
    if (called) {
      const { offset } = this.#token;
      return this.#call(offset, dot + token.text, undefined, this.#args());
    }
    return { node: { kind: 'identifier', offset: token.offset, name: dot + token.text }, depth: 0 };
  }

  /** `a.b.C` where a `{` follows; takes the tokens. */
  #messageName(): string | undefined {
    let index = this.#index + 1;
    while (this.#tokens[index]?.kind === '.' && this.#tokens[index + 1]?.kind === 'IDENTIFIER') index += 2;
    if (this.#tokens[index]?.kind !== '{') return undefined;
    const name = this.#tokens.slice(this.#index, index).map(({ text }) => text);
    this.#index = index;
    return name.join('');
  }

  #object(name: string): Parsed {
    const { offset } = this.#next();
    const fields: Field[] = [];
    let depth = 0;
    this.#enclosed('}', () => {
      while (this.#kind !== '}' && this.#kind !== ',') {
        const optional = this.#take('?');
        const token = this.#token;
        if (token.kind !== 'IDENTIFIER' && token.kind !== 'ESC_IDENTIFIER') {
          const wanted = optional ? identifiers : ["'}'", "','", "'?'", ...identifiers];
          if (this.#skipUnwanted(new Set(wanted.map(kind => kind.replaceAll("'", ''))), wanted)) continue;
          this.#mismatch(wanted);
        }
        const field = this.#fieldName('');
        const colon = this.#expect(':', ["':'"]);
        const value = this.#expression();
        depth = Math.max(depth, value.depth);
        fields.push({ offset: colon.offset, name: field.text, value: value.node, optional });
        if (!this.#more('}')) break;
      }
    });
    this.#take(',');
    this.#expect('}', ["'}'"]);
    return { node: { kind: 'object', offset, name, fields }, depth };
  }

  #list(): Parsed {
    const { offset } = this.#next();
    const elements: Element[] = [];
    let depth = 0;
    this.#enclosed(']', () => {
      while (this.#kind !== ']' && this.#kind !== ',') {
        const optional = this.#take('?');
        if (!optional) this.#startOf(["'['", "']'", "'{'", "'('", "'.'", "','", "'-'", "'!'", "'?'", ...literalStarts]);
        const value = this.#expression();
        depth = Math.max(depth, value.depth);
        elements.push({ value: value.node, optional });
        if (!this.#more(']')) break;
      }
    });
    this.#take(',');
    this.#expect(']', ["']'"]);
    return { node: { kind: 'list', offset, elements }, depth };
  }

  #map(): Parsed {
    const { offset } = this.#next();
    const entries: Entry[] = [];
    let depth = 0;
    this.#enclosed('}', () => {
      while (this.#kind !== '}' && this.#kind !== ',') {
        const optional = this.#take('?');
        if (!optional) this.#startOf(["'['", "'{'", "'}'", "'('", "'.'", "','", "'-'", "'!'", "'?'", ...literalStarts]);
        const key = this.#expression();
        const colon = this.#expect(':', ["':'"]);
        const value = this.#expression();
        depth = Math.max(depth, key.depth, value.depth);
        entries.push({ offset: colon.offset, key: key.node, value: value.node, optional });
        if (!this.#more('}')) break;
      }
    });
    this.#take(',');
    this.#expect('}', ["'}'"]);
    return { node: { kind: 'map', offset, entries }, depth };
  }

  /** Behind an item: whether another follows the comma. */
  #more(closer: string): boolean {
    const wanted = [`'${closer}'`, "','"];
    if (this.#kind !== ',' && this.#kind !== closer && !this.#skipUnwanted(new Set([closer, ',']), wanted)) {
      this.#mismatch(wanted);
    }
    if (this.#kind !== ',') return false;
    if (this.#tokens[this.#index + 1]?.kind === closer) return false;
    this.#next();
    return true;
  }

  #args(): Parsed[] {
    this.#next();
    const args: Parsed[] = [];
    this.#enclosed(')', () => {
      if (this.#kind === ')') return;
      this.#startOf(["'['", "'{'", "'('", "')'", "'.'", "'-'", "'!'", ...literalStarts]);
      args.push(this.#expression());
      while (this.#take(',')) args.push(this.#expression());
    });
    this.#expect(')', ["')'"]);
    return args;
  }

  #call(offset: number, name: string, target: Parsed | undefined, args: readonly Parsed[]): Parsed {
    const nodes = args.map(({ node }) => node);
    const depth = Math.max(target?.depth ?? 0, ...args.map(arg => arg.depth));
    if (target !== undefined && (name === 'optMap' || name === 'optFlatMap')) {
      visit(target.node, () => this.#copied++);
      if (this.#copied > copiedNodesMax) this.#tooDeep('expression is too large with its macros expanded');
    }
    const expanded = expandMacro(this.#macros, offset, name, target?.node, nodes);
    if (expanded !== undefined && 'problem' in expanded) {
      this.#issues.report(expanded.offset, expanded.problem);
      return { node: { kind: 'literal', offset, value: null }, depth };
    }
    const node = expanded ?? { kind: 'call' as const, offset, name, target: target?.node, args: nodes };
    return target === undefined ? { node, depth } : this.#deeper(node, depth);
  }

  #operation(offset: number, name: string, operands: readonly Parsed[], counted = true): Parsed {
    const args = operands.map(({ node }) => node);
    const node: Expression = { kind: 'call', offset, name, target: undefined, args };
    const depth = Math.max(...operands.map(operand => operand.depth));
    return counted ? this.#deeper(node, depth) : { node, depth: depth + 1 };
  }

  #deeper(node: Expression, depth: number): Parsed {
    if (depth >= expressionDepthMax) this.#tooDeep('max recursion depth exceeded');
    return { node, depth: depth + 1 };
  }

  #tooDeep(message: string): never {
    this.#issues.report(-1, message);
    throw new Stop();
  }

  #literal(): Parsed {
    const first = this.#token;
    const sign = this.#take('-') ? '-' : '';
    const token = this.#next();
    const value = literalValue(token, sign);
    if (typeof value === 'object' && value !== null && 'problem' in value) {
      this.#issues.report(first.offset, value.problem);
      return { node: { kind: 'literal', offset: first.offset, value: null }, depth: 0 };
    }
    return { node: { kind: 'literal', offset: first.offset, value }, depth: 0 };
  }

  get #token(): Token {
    return this.#tokens[this.#index] as Token;
  }

  get #kind(): string {
    return (this.#tokens[this.#index] as Token).kind;
  }

  #next(): Token {
    const token = this.#token;
    if (this.#index < this.#tokens.length - 1) this.#index++;
    return token;
  }

  #is(kind: string): boolean {
    return this.#kind === kind;
  }

  #take(kind: string): boolean {
    if (this.#kind !== kind) return false;
    this.#next();
    return true;
  }

  #isNumber(ahead: number): boolean {
    const kind = this.#tokens[this.#index + ahead]?.kind;
    return kind === 'NUM_INT' || kind === 'NUM_FLOAT';
  }

  #enclosed<T>(closer: string, inner: () => T): T {
    this.#closers.push(closer);
    const result = inner();
    this.#closers.pop();
    return result;
  }

  #expect(kind: string, wanted: readonly string[]): Token {
    if (this.#kind === kind) return this.#next();
    if (this.#skipUnwanted(new Set([kind]), wanted)) return this.#next();
    const mayFollow = this.#closers.at(-1) ?? '<EOF>';
    if ((kind === ')' || kind === ']' || kind === '}') && this.#kind === mayFollow) {
      return this.#fail(this.#token, `missing '${kind}' at '${shown(this.#token.text)}'`);
    }
    return this.#mismatch(wanted);
  }

  #startOf(wanted: readonly string[]): void {
    if (operandStarts.has(this.#kind)) return;
    const kinds = new Set(wanted.map(kind => kind.replaceAll("'", '')));
    if (!this.#skipUnwanted(kinds, wanted)) this.#mismatch(wanted);
  }

  /** One token too much: reported and skipped, when the one behind it is what was wanted. */
  #skipUnwanted(kinds: ReadonlySet<string>, wanted: readonly string[]): boolean {
    const token = this.#token;
    if (token.kind === '<EOF>' || !kinds.has(this.#tokens[this.#index + 1]?.kind ?? '')) return false;
    this.#issues.report(
      token.offset,
      `Syntax error: extraneous input '${shown(token.text)}' expecting ${setOf(wanted)}`,
    );
    this.#next();
    return true;
  }

  #mismatch(wanted: readonly string[]): never {
    return this.#fail(this.#token, `mismatched input '${shown(this.#token.text)}' expecting ${setOf(wanted)}`);
  }

  #fail(token: Token, message: string): never {
    this.#issues.report(token.offset, `Syntax error: ${message}`);
    throw new Stop();
  }
}

/** The end of the input has no text where input is shown that is more than it. */
function textOf(token: Token): string {
  return token.kind === '<EOF>' ? '' : token.text;
}

const identifiers = ['IDENTIFIER', 'ESC_IDENTIFIER'];
const literalStarts = startOfOperand.slice(6);

function setOf(wanted: readonly string[]): string {
  return wanted.length === 1 ? (wanted[0] as string) : `{${wanted.join(', ')}}`;
}

function literalValue(token: Token, sign: string): CelValue | { readonly problem: string } {
  switch (token.kind) {
    case 'true':
      return true;
    case 'false':
      return false;
    case 'null':
      return null;
    case 'STRING':
      return unescapeString(token.text);
    case 'BYTES':
      return unescapeBytes(token.text);
    case 'NUM_UINT': {
      const value = BigInt(token.text.slice(0, -1));
      return value < 1n << 64n ? new Uint(value) : { problem: 'invalid uint literal' };
    }
    case 'NUM_FLOAT': {
      const value = Number(sign + token.text);
      return Number.isFinite(value) ? new Double(value) : { problem: 'invalid double literal' };
    }
  }
  const value = sign === '-' ? -BigInt(token.text) : BigInt(token.text);
  return value === BigInt.asIntN(64, value) ? integerOf(value) : { problem: 'invalid int literal' };
}
