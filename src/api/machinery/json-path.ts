/**
 * JSON paths as Kubernetes writes them in columns and selectable fields: `.spec.names[0]`, `.status['x-y']`,
 * `.status.conditions[?(@.type=="Ready")].status`, `.items[*].name`, `..name`.
 */
export type JsonPath = (value: unknown) => readonly unknown[];

/** Compiles a path; what it does not find is left out. Throws an Error when it cannot be read. */
export function parseJsonPath(text: string): JsonPath {
  const source = text.startsWith('{') && text.endsWith('}') ? text.slice(1, -1) : text;
  const steps: Step[] = [];
  let at = source.startsWith('$') ? 1 : 0;
  while (at < source.length) {
    const { step, end } = readStep(source, at);
    if (step) steps.push(step);
    at = end;
  }
  return value => {
    let found: readonly unknown[] = [value];
    for (const step of steps) {
      found = found.flatMap(step);
      if (found.length === 0) break;
    }
    return found;
  };
}

/** The names in a path that only goes down through fields; undefined for any other. */
export function fieldsOf(path: string): readonly string[] | undefined {
  const step = /(?:\.([^.[\]]+)|\['([^']+)'\])/gy;
  const names: string[] = [];
  let end = 0;
  for (const match of path.matchAll(step)) {
    names.push(match[1] ?? match[2] ?? '');
    end = match.index + match[0].length;
  }
  return end === path.length && names.length > 0 ? names : undefined;
}

/** The value some fields below another; undefined when there is none. */
export function valueAt(value: unknown, names: readonly string[]): unknown {
  let at = value;
  for (const name of names) {
    if (!isObject(at) || !Object.hasOwn(at, name)) return undefined;
    at = at[name];
  }
  return at;
}

type Step = (value: unknown) => readonly unknown[];

function readStep(source: string, at: number): { readonly step?: Step; readonly end: number } {
  if (source.startsWith('..', at)) {
    const name = readName(source, at + 2);
    if (name.text === '') throw unreadable(source, at);
    return { step: value => descendants(value, name.text), end: name.end };
  }
  if (source[at] === '[') return readBracket(source, at);
  const name = readName(source, source[at] === '.' ? at + 1 : at);
  if (name.end === at) throw unreadable(source, at);
  if (name.text === '') return { end: name.end };
  if (name.text === '*') return { step: members, end: name.end };
  return { step: value => member(value, name.text), end: name.end };
}

function readName(source: string, start: number): { readonly text: string; readonly end: number } {
  let text = '';
  let at = start;
  for (; at < source.length; at++) {
    const char = source[at] as string;
    if (char === '.' || char === '[') break;
    if (char === '\\' && at + 1 < source.length) at++;
    text += source[at] as string;
  }
  return { text, end: at };
}

function readBracket(source: string, at: number): { readonly step: Step; readonly end: number } {
  const end = closingBracket(source, at);
  const inside = source.slice(at + 1, end).trim();
  if (inside.startsWith('?(') && inside.endsWith(')')) {
    const test = parseFilter(inside.slice(2, -1));
    return { step: value => items(value).filter(test), end: end + 1 };
  }
  const steps = splitOutsideQuotes(inside).map(each => bracketStep(source, at, each.trim()));
  return { step: value => steps.flatMap(step => step(value)), end: end + 1 };
}

function bracketStep(source: string, at: number, inside: string): Step {
  if (inside === '*') return members;
  const quoted = /^'(.*)'$|^"(.*)"$/s.exec(inside);
  if (quoted) {
    const name = (quoted[1] ?? quoted[2] ?? '').replaceAll(/\\(.)/g, '$1');
    return value => member(value, name);
  }
  if (/^-?\d+$/.test(inside)) {
    const position = Number(inside);
    return value => {
      const list = items(value);
      const index = position < 0 ? list.length + position : position;
      return index in list ? [list[index]] : [];
    };
  }
  const slice = /^(-?\d*):(-?\d*)(?::(\d+))?$/.exec(inside);
  if (!slice) throw unreadable(source, at);
  const from = slice[1] === '' ? 0 : Number(slice[1]);
  const to = slice[2] === '' ? undefined : Number(slice[2]);
  const every = Math.max(1, Number(slice[3] ?? 1));
  return value =>
    items(value)
      .slice(from, to)
      .filter((_, index) => index % every === 0);
}

function closingBracket(source: string, start: number): number {
  let depth = 0;
  let quote = '';
  for (let at = start; at < source.length; at++) {
    const char = source[at] as string;
    if (quote !== '') {
      if (char === '\\') at++;
      else if (char === quote) quote = '';
    } else if (char === "'" || char === '"') quote = char;
    else if (char === '[') depth++;
    else if (char === ']' && --depth === 0) return at;
  }
  throw unreadable(source, start);
}

function splitOutsideQuotes(text: string): string[] {
  return text.match(/'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^,'"]+/g) ?? [text];
}

type Comparison = (left: unknown, right: unknown) => boolean;

const comparisons: Readonly<Record<string, Comparison>> = {
  '==': (left, right) => left === right,
  '!=': (left, right) => left !== right,
  '<=': (left, right) => isComparable(left, right) && (left as number) <= (right as number),
  '>=': (left, right) => isComparable(left, right) && (left as number) >= (right as number),
  '<': (left, right) => isComparable(left, right) && (left as number) < (right as number),
  '>': (left, right) => isComparable(left, right) && (left as number) > (right as number),
};

function isComparable(left: unknown, right: unknown): boolean {
  return typeof left === typeof right && (typeof left === 'number' || typeof left === 'string');
}

/** `@.type=="Ready"`, or `@.type` for whatever has the field. */
function parseFilter(text: string): (item: unknown) => boolean {
  const parts = /^(.*?)\s*(==|!=|<=|>=|<|>)\s*(.*)$/s.exec(text.trim());
  if (!parts) {
    const operand = parseOperand(text.trim());
    return item => operand(item) !== undefined;
  }
  const [, left = '', operator = '', right = ''] = parts;
  const leftOperand = parseOperand(left);
  const rightOperand = parseOperand(right);
  const compare = comparisons[operator] as Comparison;
  return item => {
    const value = leftOperand(item);
    return value !== undefined && compare(value, rightOperand(item));
  };
}

function parseOperand(text: string): (item: unknown) => unknown {
  if (text.startsWith('@')) {
    const path = parseJsonPath(text.slice(1));
    return item => path(item)[0];
  }
  const quoted = /^'(.*)'$|^"(.*)"$/s.exec(text);
  const literal = quoted ? (quoted[1] ?? quoted[2]) : text === 'true' ? true : text === 'false' ? false : Number(text);
  return () => literal;
}

function member(value: unknown, name: string): readonly unknown[] {
  return isObject(value) && Object.hasOwn(value, name) ? [value[name]] : [];
}

function members(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return isObject(value) ? Object.values(value) : [];
}

function items(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function descendants(value: unknown, name: string): readonly unknown[] {
  const below = members(value).flatMap(each => descendants(each, name));
  return [...(name === '*' ? members(value) : member(value, name)), ...below];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unreadable(source: string, at: number): Error {
  return new Error(`cannot read the JSON path ${source}: unexpected text at ${at}`);
}
