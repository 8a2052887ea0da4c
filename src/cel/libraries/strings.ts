import { global, type Library, method } from '../functions.ts';
import { codePointCount } from '../operations.ts';
import { dynType, intType, listOf, stringType } from '../types.ts';
import { CelError, CelList, type Result } from '../values.ts';
import { stringLengthMax } from '../work.ts';
import { type FormatStyle, formatString } from './format-string.ts';

type Integer = number | bigint;

/** cel-go's strings extension in version 2, which Kubernetes has; without `reverse`. */
export function stringsLibrary(style: FormatStyle): Library {
  return [
    ['charAt', method('string_char_at_int', [stringType, intType], stringType, charAt)],
    [
      'indexOf',
      method('string_index_of_string', [stringType, stringType], intType, indexOf),
      method('string_index_of_string_int', [stringType, stringType, intType], intType, indexOf),
    ],
    [
      'lastIndexOf',
      method('string_last_index_of_string', [stringType, stringType], intType, lastIndexOf),
      method('string_last_index_of_string_int', [stringType, stringType, intType], intType, lastIndexOf),
    ],
    [
      'lowerAscii',
      method('string_lower_ascii', [stringType], stringType, (text: string) =>
        text.replace(/[A-Z]+/g, each => each.toLowerCase()),
      ),
    ],
    [
      'upperAscii',
      method('string_upper_ascii', [stringType], stringType, (text: string) =>
        text.replace(/[a-z]+/g, each => each.toUpperCase()),
      ),
    ],
    [
      'replace',
      method('string_replace_string_string', [stringType, stringType, stringType], stringType, replace),
      method('string_replace_string_string_int', [stringType, stringType, stringType, intType], stringType, replace),
    ],
    [
      'split',
      method('string_split_string', [stringType, stringType], listOf(stringType), split),
      method('string_split_string_int', [stringType, stringType, intType], listOf(stringType), split),
    ],
    [
      'substring',
      method('string_substring_int', [stringType, intType], stringType, substring),
      method('string_substring_int_int', [stringType, intType, intType], stringType, substring),
    ],
    ['trim', method('string_trim', [stringType], stringType, trim)],
    [
      'format',
      method('string_format', [stringType, listOf(dynType)], stringType, (template: string, args: CelList) =>
        formatString(template, args, style),
      ),
    ],
    ['strings.quote', global('strings_quote', [stringType], stringType, quote)],
    [
      'join',
      method('list_join', [listOf(stringType)], stringType, join),
      method('list_join_string', [listOf(stringType), stringType], stringType, join),
    ],
  ];
}

/** What later versions of the extension have. */
export const reverseLibrary: Library = [
  [
    'reverse',
    method('string_reverse', [stringType], stringType, (text: string) => Array.from(text).reverse().join('')),
  ],
];

/** Kubernetes' own `jsonpatch.escapeKey`. */
export const jsonPatchLibrary: Library = [
  [
    'jsonpatch.escapeKey',
    global('string_jsonpatch_escapeKey_string', [stringType], stringType, (key: string) =>
      key.replace(/[~/]/g, each => (each === '~' ? '~0' : '~1')),
    ),
  ],
];

const outOfRange = (index: Integer) => new CelError(`index out of range: ${index}`);

/** Without surrogates the units of a string are its characters. */
function isPlain(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0xd800 && unit <= 0xdfff) return false;
  }
  return true;
}

function charAt(text: string, index: Integer): Result {
  const characters = isPlain(text) ? text : Array.from(text);
  if (index < 0 || index > characters.length) return outOfRange(index);
  return characters[Number(index)] ?? '';
}

function indexOf(text: string, part: string, from: Integer = 0): Result {
  if (from < 0) return outOfRange(from);
  const length = codePointCount(text);
  if (part === '') return from > length ? length : from;
  if (from >= length) return -1;
  if (length === text.length) return text.indexOf(part, Number(from));
  const start = Array.from(text).slice(0, Number(from)).join('').length;
  const found = text.indexOf(part, start);
  return found < 0 ? -1 : codePointCount(text.slice(0, found));
}

function lastIndexOf(text: string, part: string, from?: Integer): Result {
  const length = codePointCount(text);
  if (from === undefined) {
    if (part === '') return length;
    if (text.length < part.length) return -1;
  } else {
    if (from < 0) return outOfRange(from);
    if (part === '') return from > length ? length : from;
    if (from >= length) return -1;
  }
  if (length === text.length) return text.lastIndexOf(part, Number(from ?? length));
  const start = Array.from(text)
    .slice(0, Number(from ?? length))
    .join('').length;
  const found = text.lastIndexOf(part, start);
  return found < 0 ? -1 : codePointCount(text.slice(0, found));
}

const tooLong = new CelError('operation cancelled: actual cost limit exceeded', true);

function replace(text: string, from: string, to: string, count: Integer = -1): Result {
  const places = from === '' ? text.length + 1 : Math.ceil(text.length / from.length);
  const replaced = count < 0 ? places : Math.min(places, Number(count));
  return replaced * to.length + text.length > stringLengthMax ? tooLong : replaceFitting(text, from, to, count);
}

function replaceFitting(text: string, from: string, to: string, count: Integer): string {
  if (count < 0) {
    return from === '' ? `${to}${Array.from(text, each => each + to).join('')}` : text.split(from).join(to);
  }
  let left = Number(count);
  if (from === '') {
    const characters = Array.from(text);
    let replaced = left > 0 ? to : '';
    for (const character of characters) replaced += character + (--left > 0 ? to : '');
    return replaced;
  }
  let replaced = '';
  let start = 0;
  for (let found = text.indexOf(from); found >= 0 && left > 0; found = text.indexOf(from, start), left--) {
    replaced += text.slice(start, found) + to;
    start = found + from.length;
  }
  return replaced + text.slice(start);
}

function split(text: string, separator: string, count: Integer = -1): Result {
  if (count === 0) return new CelList([]);
  const parts = separator === '' ? Array.from(text) : text.split(separator);
  if (count < 0 || parts.length <= count) return new CelList(parts);
  const kept = parts.slice(0, Number(count) - 1);
  return new CelList([...kept, parts.slice(Number(count) - 1).join(separator)]);
}

function substring(text: string, start: Integer, end?: Integer): Result {
  const characters = isPlain(text) ? undefined : Array.from(text);
  const length = characters?.length ?? text.length;
  if (end !== undefined && start > end) {
    return new CelError(`invalid substring range. start: ${start}, end: ${end}`);
  }
  if (start < 0 || start > length) return outOfRange(start);
  if (end !== undefined && (end < 0 || end > length)) return outOfRange(end);
  const [from, to] = [Number(start), end === undefined ? length : Number(end)];
  return characters === undefined ? text.slice(from, to) : characters.slice(from, to).join('');
}

/** What Unicode calls white space, as Go's TrimSpace. */
const whiteSpace = '\\t\\n\\v\\f\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const leading = new RegExp(`^[${whiteSpace}]+`);
const space = new RegExp(`[${whiteSpace}]`);

function trim(text: string): string {
  const start = leading.exec(text)?.[0].length ?? 0;
  let end = text.length;
  while (end > start && space.test(text[end - 1] as string)) end--;
  return text.slice(start, end);
}

const quotes: ReadonlyMap<string, string> = new Map([
  ['\x07', '\\a'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
  ['\v', '\\v'],
  ['\\', '\\\\'],
  ['"', '\\"'],
]);

function quote(text: string): string {
  return `"${text.toWellFormed().replace(/[\x07\b\f\n\r\t\v\\"]/g, each => quotes.get(each) as string)}"`;
}

function join(list: CelList, separator = ''): Result {
  const parts: string[] = [];
  let length = 0;
  for (let index = 0; index < list.size; index++) {
    const part = list.get(index);
    if (part instanceof CelError) return part;
    if (typeof part !== 'string') return new CelError(`join: invalid input: ${String(part)}`);
    parts.push(part);
    length += part.length + separator.length;
    if (length > stringLengthMax) return tooLong;
  }
  return parts.join(separator);
}
