import type { Expression } from '../ast.ts';
import { doubleText, toText } from '../conversions.ts';
import { durationText, plainNumber, timestampText } from '../time.ts';
import type { CelType } from '../types.ts';
import {
  CelError,
  CelList,
  CelMap,
  CelObject,
  type CelValue,
  Double,
  Duration,
  type Result,
  Timestamp,
  TypeValue,
  typeOfValue,
  Uint,
} from '../values.ts';
import { stringLengthMax, work } from '../work.ts';

/** `kubernetes`: version 2 of the strings library, with numbers as in US English; `standard`: what the language says today. */
export type FormatStyle = 'kubernetes' | 'standard';

/** Beyond this a format is refused, before it fills the memory. */
const precisionMax = 100;
const defaultPrecision = 6;

interface Clause {
  readonly letter: string;
  readonly precision: number | undefined;
}

/** `'%s of %d'.format([…])`. */
export function formatString(template: string, args: CelList, style: FormatStyle): Result {
  let failed: CelError | undefined;
  const text = expand(template, (clause, index) => {
    if (index >= args.size) return new CelError(`index ${index} out of range`);
    const value = args.get(index);
    return value instanceof CelError ? value : during(formatClause(clause, value, style));
  });
  if (text instanceof CelError) failed = text;
  return failed ?? text;
}

/** What is wrong with a format and the arguments written behind it, as far as types tell. */
export function formatProblem(
  template: string,
  args: readonly Expression[],
): { readonly message: string; readonly offset?: number } | undefined {
  let used = 0;
  let offset: number | undefined;
  const text = expand(template, (clause, index) => {
    used++;
    const argument = args[index];
    if (argument === undefined) return new CelError(`index ${index} out of range`);
    const bad = misfit(clause.letter, argument);
    if (bad === undefined) return '';
    offset = bad.offset;
    return during(clauseProblem(clause.letter, (bad.type as CelType).name));
  });
  if (text instanceof CelError)
    return offset === undefined ? { message: text.message } : { message: text.message, offset };
  if (args.length <= used) return undefined;
  return { message: `too many arguments supplied to string.format (expected ${used}, got ${args.length})` };
}

function expand(template: string, format: (clause: Clause, index: number) => string | CelError): string | CelError {
  let text = '';
  let argument = 0;
  for (let index = 0; index < template.length; ) {
    const character = template[index] as string;
    if (character !== '%') {
      text += character;
      index++;
      continue;
    }
    if (template[index + 1] === '%') {
      text += '%';
      index += 2;
      continue;
    }
    if (index + 1 >= template.length) return new CelError('unexpected end of string');
    const clause = readClause(template, index + 1);
    if (clause instanceof CelError) return clause;
    const formatted = format(clause, argument++);
    if (formatted instanceof CelError) return formatted;
    text += formatted;
    if (text.length > stringLengthMax) return new CelError('operation cancelled: actual cost limit exceeded', true);
    index = clause.end;
  }
  return text;
}

function readClause(template: string, start: number): (Clause & { readonly end: number }) | CelError {
  const problem = (message: string) => new CelError(`could not parse formatting clause: ${message}`);
  let index = start;
  let precision: number | undefined;
  if (template[index] === '.') {
    const digits = /^\d*/.exec(template.slice(index + 1))?.[0] ?? '';
    index += 1 + digits.length;
    if (index >= template.length) {
      return problem('error while parsing precision: could not find end of precision specifier');
    }
    if (digits === '') {
      return problem(
        'error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing "": invalid syntax',
      );
    }
    precision = Number(digits);
    if (precision > precisionMax) {
      return problem(
        `error while parsing precision: precision ${digits} exceeds maximum allowed precision ${precisionMax}`,
      );
    }
  }
  const letter = String.fromCodePoint(template.codePointAt(index) as number);
  if (!'sdfebxXo'.includes(letter)) return problem(`unrecognized formatting clause "${letter}"`);
  return { letter, precision, end: index + letter.length };
}

function during(formatted: string | CelError): string | CelError {
  return formatted instanceof CelError ? new CelError(`error during formatting: ${formatted.message}`) : formatted;
}

function formatClause({ letter, precision }: Clause, value: CelValue, style: FormatStyle): string | CelError {
  switch (letter) {
    case 's':
      return style === 'kubernetes' ? textOf(value) : plainText(value);
    case 'd':
      return decimal(value, style);
    case 'f':
      return number(value, style, 'f', each => fixed(each, precision ?? defaultPrecision, style));
    case 'e':
      return number(value, style, 'e', each => scientific(each, precision ?? defaultPrecision, style));
    case 'b':
      if (typeof value === 'boolean') return value ? '1' : '0';
      return inBase(value, 2) ?? clauseProblem(letter, typeOfValue(value).name);
    case 'o':
      return inBase(value, 8) ?? clauseProblem(letter, typeOfValue(value).name);
    default:
      return hexadecimal(value, letter);
  }
}

function decimal(value: CelValue, style: FormatStyle): string | CelError {
  if (style === 'standard' && value instanceof Double) return standardDouble(value.value);
  return inBase(value, 10) ?? clauseProblem('d', typeOfValue(value).name);
}

function inBase(value: CelValue, base: number): string | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return value.toString(base);
  return value instanceof Uint ? value.value.toString(base) : undefined;
}

function hexadecimal(value: CelValue, letter: string): string | CelError {
  let text = inBase(value, 16);
  if (typeof value === 'string') text = Buffer.from(value).toString('hex');
  if (value instanceof Uint8Array) text = Buffer.from(value).toString('hex');
  if (text === undefined) return clauseProblem('x', typeOfValue(value).name);
  return letter === 'X' ? text.toUpperCase() : text;
}

const specials: ReadonlyMap<string, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

function number(
  value: CelValue,
  style: FormatStyle,
  letter: string,
  format: (value: number) => string,
): string | CelError {
  if (value instanceof Double) return format(value.value);
  if (style === 'kubernetes') {
    const special = typeof value === 'string' ? specials.get(value) : undefined;
    return special === undefined ? clauseProblem(letter, typeOfValue(value).name) : format(special);
  }
  if (typeof value === 'number' || typeof value === 'bigint') return format(Number(value));
  return value instanceof Uint ? format(Number(value.value)) : clauseProblem(letter, typeOfValue(value).name);
}

function fixed(value: number, precision: number, style: FormatStyle): string {
  if (!Number.isFinite(value)) return notFinite(value, style);
  const text = Math.abs(value) < 1e21 ? roundedFixed(value, precision) : largeFixed(value, precision);
  if (style === 'standard') return text;
  const [whole = '', fraction] = text.split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** Half-way goes to the even digit, as in Go; `toFixed` goes up. */
function roundedFixed(value: number, precision: number): string {
  const exact = value.toFixed(Math.min(100, precision + 40));
  const end = exact.indexOf('.') + 1 + precision;
  if (!/^50*$/.test(exact.slice(end))) return value.toFixed(precision);
  const below = exact.slice(0, precision === 0 ? end - 1 : end);
  return Number(below.at(-1)) % 2 === 0 ? below : value.toFixed(precision);
}

function largeFixed(value: number, precision: number): string {
  const whole = BigInt(value).toString();
  return precision === 0 ? whole : `${whole}.${'0'.repeat(precision)}`;
}

const superscripts = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];

function scientific(value: number, precision: number, style: FormatStyle): string {
  if (!Number.isFinite(value)) return notFinite(value, style);
  const [digits = '', exponent = '+0'] = value.toExponential(precision).split('e');
  const sign = exponent.startsWith('-') ? '-' : '+';
  const padded = exponent.replace(/^[+-]/, '').padStart(2, '0');
  if (style === 'standard') return `${digits}e${sign}${padded}`;
  const raised = Array.from(padded, digit => superscripts[Number(digit)]).join('');
  return `${digits}×10${sign === '-' ? '⁻' : ''}${raised}`;
}

function notFinite(value: number, style: FormatStyle): string {
  if (Number.isNaN(value)) return 'NaN';
  if (style === 'standard') return value > 0 ? 'Infinity' : '-Infinity';
  return value > 0 ? '∞' : '-∞';
}

/** `%s` of Kubernetes: text in lists and maps is quoted, doubles there have six digits. */
function textOf(value: CelValue): string | CelError {
  if (value === null) return 'null';
  if (value instanceof CelList) return listText(value);
  if (value instanceof CelMap || value instanceof CelObject) return mapText(value);
  if (value instanceof TypeValue) return value.type.name;
  const text = toText(value);
  if (typeof text === 'string') return text;
  return clauseProblem('s', typeOfValue(value).name);
}

function listText(list: CelList): string | CelError {
  const parts: string[] = [];
  for (let index = 0; index < list.size; index++) {
    const element = list.get(index);
    const part = element instanceof CelError ? element : partText(element);
    if (part instanceof CelError) return part;
    work(1 + (part.length >> 3));
    parts.push(part);
  }
  return `[${parts.join(', ')}]`;
}

function mapText(map: CelMap | CelObject): string | CelError {
  const parts: (readonly [string, string])[] = [];
  for (const key of map instanceof CelObject ? map.names() : map.keys()) {
    const value = (map instanceof CelObject ? map.field(key as string) : map.find(key)) as Result;
    if (value instanceof CelError) return value;
    const name = partText(key);
    const part = partText(value);
    if (name instanceof CelError) return name;
    if (part instanceof CelError) return part;
    work(1 + ((name.length + part.length) >> 3));
    parts.push([name, part]);
  }
  parts.sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0));
  return `{${parts.map(([name, part]) => `${name}:${part}`).join(', ')}}`;
}

function partText(value: CelValue): string | CelError {
  if (typeof value === 'string') return goQuoted(value);
  if (value instanceof Timestamp) return `timestamp("${timestampText(value)}")`;
  if (value instanceof Duration) return `duration("${durationText(value)}")`;
  if (value instanceof Uint8Array) {
    const text = toText(value);
    return typeof text === 'string' ? `b${goQuoted(text)}` : (text as CelError);
  }
  if (value instanceof Double) {
    return Number.isFinite(value.value)
      ? fixed(value.value, defaultPrecision, 'standard')
      : `"${doubleText(value.value)}"`;
  }
  const text = textOf(value);
  if (text instanceof CelError && !(value instanceof CelList || value instanceof CelMap)) {
    return new CelError(`no formatting function for ${typeOfValue(value).name}`);
  }
  return text;
}

export function goQuoted(text: string): string {
  return JSON.stringify(text).replace(/\\u00(0[7b])|\\u007f|\u007f/g, match =>
    match === '\\u0007' ? '\\a' : match === '\\u000b' ? '\\v' : '\\x7f',
  );
}

/** `%s` of the language as it is today. */
function plainText(value: CelValue): string | CelError {
  if (value === null) return 'null';
  if (value instanceof Double) return standardDouble(value.value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (value instanceof TypeValue) return value.type.name;
  if (value instanceof CelList) {
    const parts: string[] = [];
    for (let index = 0; index < value.size; index++) {
      const element = value.get(index);
      const part = element instanceof CelError ? element : plainText(element);
      if (part instanceof CelError) return part;
      parts.push(part);
    }
    return `[${parts.join(', ')}]`;
  }
  if (value instanceof CelMap) {
    const parts: (readonly [string, string])[] = [];
    for (const key of value.keys()) {
      const member = value.find(key) as Result;
      const part = member instanceof CelError ? member : plainText(member);
      const name = plainText(key);
      if (part instanceof CelError) return part;
      if (name instanceof CelError) return name;
      parts.push([name, part]);
    }
    parts.sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0));
    return `{${parts.map(([name, part]) => `${name}: ${part}`).join(', ')}}`;
  }
  const text = toText(value);
  return typeof text === 'string' ? text : clauseProblem('s', typeOfValue(value).name);
}

function standardDouble(value: number): string {
  return Number.isFinite(value) ? plainNumber(value) : notFinite(value, 'standard');
}

const clauseMessages: Readonly<Record<string, string>> = {
  s: 'string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps',
  d: 'decimal clause can only be used on integers',
  f: 'fixed-point clause can only be used on doubles',
  e: 'scientific clause can only be used on doubles',
  b: 'only integers and bools can be formatted as binary',
  o: 'octal clause can only be used on integers',
  x: 'only integers, byte buffers, and strings can be formatted as hex',
};

function clauseProblem(letter: string, type: string): CelError {
  return new CelError(`${clauseMessages[letter === 'X' ? 'x' : letter]}, was given ${type}`);
}

const integers = ['int', 'uint'];
const clauseKinds: Readonly<Record<string, readonly string[]>> = {
  d: integers,
  f: ['double', 'string'],
  e: ['double', 'string'],
  b: [...integers, 'bool'],
  o: integers,
  x: [...integers, 'string', 'bytes'],
  X: [...integers, 'string', 'bytes'],
  s: ['list', 'map', ...integers, 'double', 'bool', 'string', 'timestamp', 'bytes', 'duration', 'type', 'null'],
};

/** The part of the argument that the clause cannot show. */
function misfit(letter: string, argument: Expression): Expression | undefined {
  const { kind } = argument.type as CelType;
  if (kind !== 'dyn' && !clauseKinds[letter]?.includes(kind)) return argument;
  if (letter !== 's') return undefined;
  const parts =
    argument.kind === 'list'
      ? argument.elements.map(({ value }) => value)
      : argument.kind === 'map'
        ? argument.entries.flatMap(({ key, value }) => [key, value])
        : [];
  for (const part of parts) {
    const bad = misfit('s', part);
    if (bad !== undefined) return bad;
  }
  return undefined;
}
