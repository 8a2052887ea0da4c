import { limits } from '#base/limits.ts';
import type { Json, JsonObject } from './schema.ts';

export interface JsonOptions {
  readonly depthMax?: number;
}

/**
 * Parses JSON as Go does: integers of up to 64 bits survive (as bigint where a number would lose digits), nesting is
 * bounded, `__proto__` is a plain key. Throws an Error in the words of Go's encoding/json.
 */
export function decodeJson(source: Uint8Array | string, options?: JsonOptions): Json {
  const text = textOf(source);
  if (mayNeedSlowPath(text, options?.depthMax ?? limits.documentDepthMax)) return parseSlowly(text, options);
  try {
    return JSON.parse(text) as Json;
  } catch {
    // Our own parser says what is wrong in the words that clients know.
    return parseSlowly(text, options);
  }
}

/** Paths of keys that stand twice in one object, as upstream names them: `spec.containers[0].name`. */
export function duplicateKeys(source: Uint8Array | string): string[] {
  const text = textOf(source);
  if (!mayHaveDuplicates(text)) return [];
  return keysOf(text)
    .filter(({ isRepeated }) => isRepeated)
    .map(({ path }) => path);
}

/** The path of every key as often as it stands there, in the order of the text. */
export function keysOf(
  source: Uint8Array | string,
): readonly { readonly path: string; readonly isRepeated: boolean }[] {
  const found: { path: string; isRepeated: boolean }[] = [];
  parseSlowly(textOf(source), { onKey: (path, isRepeated) => found.push({ path, isRepeated }) });
  return found;
}

/** JSON without spaces; a bigint becomes a number with all its digits. */
export function encodeJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? rawJson(each.toString()) : each));
  }
}

/** The same value with the keys of all its objects in order, as Go writes maps. What is undefined is left out. */
export function withSortedKeys(value: Json): Json {
  if (Array.isArray(value)) return value.map(withSortedKeys);
  if (typeof value !== 'object' || value === null) return value;
  const sorted = {};
  for (const name of Object.keys(value).sort()) {
    const each = (value as JsonObject)[name];
    if (each !== undefined) setOwn(sorted, name, withSortedKeys(each));
  }
  return sorted;
}

const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function textOf(source: Uint8Array | string): string {
  if (typeof source === 'string') return source;
  return Buffer.isBuffer(source) ? source.toString('utf8') : decoder.decode(source);
}

/**
 * A run of 16 digits may be an integer beyond 2^53, an exponent of three digits a number beyond all doubles, `\ud…` may be
 * half of a surrogate pair, and many brackets may nest too deep. False alarms cost time, never correctness.
 */
function mayNeedSlowPath(text: string, depthMax: number): boolean {
  // Every run of 16 digits covers one position in 16.
  for (let index = 15; index < text.length; index += 16) {
    const code = text.charCodeAt(index);
    if (code <= 57 && code >= 48 && isLongRun(text, index)) return true;
  }
  if (largeExponent.test(text) || text.includes('\\ud') || text.includes('\\uD')) return true;
  if (text.length <= depthMax * 2) return false;
  return countBrackets(text, depthMax) > depthMax && isTooDeep(text, depthMax);
}

/** Where a number begins; within uids there are many `4e567`. */
const largeExponent = /(?:^|[:[,\s])-?\d[\d.]*[eE]\+?\d{3}/;

function isLongRun(text: string, index: number): boolean {
  let start = index;
  while (isDigitAt(text, start - 1)) start--;
  let end = index + 1;
  while (end - start < 16 && isDigitAt(text, end)) end++;
  return end - start >= 16;
}

function isDigitAt(text: string, index: number): boolean {
  const code = text.charCodeAt(index);
  return code <= 57 && code >= 48;
}

/** Stops counting beyond `max`. */
function countBrackets(text: string, max: number): number {
  let count = 0;
  for (const bracket of ['{', '['])
    for (let at = text.indexOf(bracket); at >= 0 && count <= max; at = text.indexOf(bracket, at + 1)) count++;
  return count;
}

function isTooDeep(text: string, depthMax: number): boolean {
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 34) index = endOfString(text, index);
    else if (code === 123 || code === 91) {
      if (++depth > depthMax) return true;
    } else if (code === 125 || code === 93) depth--;
  }
  return false;
}

/** The index of the quote that closes the string opened at `start`. */
function endOfString(text: string, start: number): number {
  let index = start + 1;
  for (; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 92) index++;
    else if (code === 34) break;
  }
  return index;
}

/** Hashes of the keys of the objects that are open, innermost last; grows on demand. */
let keyHashes = new Int32Array(1024);
const smallObjectKeysMax = 32;

/** Compares hashes of keys within each object. False alarms cost time, never correctness. */
function mayHaveDuplicates(text: string): boolean {
  let top = 0;
  let base = 0;
  const bases: number[] = [];
  let hash = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 34) {
      hash = 0;
      for (index++; index < text.length; index++) {
        const inner = text.charCodeAt(index);
        if (inner === 34) break;
        if (inner === 92) {
          // Only these two escapes are another way to write what can also stand plainly.
          const escaped = text.charCodeAt(++index);
          if (escaped === 117 || escaped === 47) return true;
          hash = (Math.imul(hash, 31) + escaped + 92) | 0;
          continue;
        }
        hash = (Math.imul(hash, 31) + inner) | 0;
      }
    } else if (code === 58) {
      if (top - base >= smallObjectKeysMax) return true;
      for (let at = base; at < top; at++) if (keyHashes[at] === hash) return true;
      if (top === keyHashes.length) keyHashes = grown(keyHashes);
      keyHashes[top++] = hash;
    } else if (code === 123) {
      bases.push(base);
      base = top;
    } else if (code === 125) {
      top = base;
      base = bases.pop() ?? 0;
    }
  }
  return false;
}

function grown(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}

function parseSlowly(text: string, options?: JsonOptions & { onKey?: OnKey }): Json {
  return new Parser(text, options?.depthMax ?? limits.documentDepthMax, options?.onKey).document();
}

type OnKey = (path: string, isRepeated: boolean) => void;

/** The exact parser, for what the fast path cannot do: wide integers, errors in Go's words, duplicate keys. */
class Parser {
  readonly #text: string;
  readonly #depthMax: number;
  readonly #onKey: OnKey | undefined;
  #index = 0;
  #depth = 0;

  constructor(text: string, depthMax: number, onKey: OnKey | undefined) {
    this.#text = text;
    this.#depthMax = depthMax;
    this.#onKey = onKey;
  }

  document(): Json {
    const value = this.#value('');
    this.#skipSpace();
    if (this.#index < this.#text.length) this.#fail('after top-level value');
    return value;
  }

  #value(path: string): Json {
    this.#skipSpace();
    const character = this.#text[this.#index];
    switch (character) {
      case '{':
        return this.#object(path);
      case '[':
        return this.#list(path);
      case '"':
        return this.#string();
      case 't':
        return this.#literal('true', true);
      case 'f':
        return this.#literal('false', false);
      case 'n':
        return this.#literal('null', null);
      default:
        if (character !== undefined && (character === '-' || isDigit(character))) return this.#number();
        return this.#fail('looking for beginning of value');
    }
  }

  #object(path: string): Json {
    this.#enter();
    const object: Record<string, Json> = {};
    if (this.#next() === '}') return this.#leave(object);
    for (;;) {
      this.#skipSpace();
      if (this.#text[this.#index] !== '"') this.#fail('looking for beginning of object key string');
      const key = this.#string();
      const keyPath = path === '' ? key : `${path}.${key}`;
      this.#onKey?.(keyPath, Object.hasOwn(object, key));
      if (this.#next() !== ':') this.#fail('after object key');
      this.#index++;
      setOwn(object, key, this.#value(keyPath));
      const after = this.#next();
      if (after === '}') return this.#leave(object);
      if (after !== ',') this.#fail('after object key:value pair');
      this.#index++;
    }
  }

  #list(path: string): Json {
    this.#enter();
    const list: Json[] = [];
    if (this.#next() === ']') return this.#leave(list);
    for (;;) {
      list.push(this.#value(`${path}[${list.length}]`));
      const after = this.#next();
      if (after === ']') return this.#leave(list);
      if (after !== ',') this.#fail('after array element');
      this.#index++;
    }
  }

  #enter(): void {
    if (++this.#depth > this.#depthMax) throw new Error('exceeded max depth');
    this.#index++;
  }

  #leave<Value>(value: Value): Value {
    this.#depth--;
    this.#index++;
    return value;
  }

  #string(): string {
    const start = this.#index;
    for (this.#index++; ; this.#index++) {
      const character = this.#text[this.#index];
      if (character === '"') break;
      if (character === '\\') this.#escape();
      else if (character === undefined || character < ' ') this.#fail('in string literal');
    }
    this.#index++;
    return (JSON.parse(this.#text.slice(start, this.#index)) as string).toWellFormed();
  }

  #escape(): void {
    this.#index++;
    const character = this.#text[this.#index];
    if (character === undefined || !'"\\/bfnrtu'.includes(character)) this.#fail('in string escape code');
    if (character !== 'u') return;
    for (let left = 4; left > 0; left--) {
      this.#index++;
      if (!/^[0-9a-fA-F]$/.test(this.#text[this.#index] ?? '')) this.#fail('in \\u hexadecimal character escape');
    }
  }

  #number(): Json {
    const start = this.#index;
    if (this.#text[this.#index] === '-') this.#index++;
    if (this.#text[this.#index] === '0') this.#index++;
    else this.#digits('in numeric literal');
    let integer = true;
    if (this.#text[this.#index] === '.') {
      integer = false;
      this.#index++;
      this.#digits('after decimal point in numeric literal');
    }
    if (this.#text[this.#index] === 'e' || this.#text[this.#index] === 'E') {
      integer = false;
      this.#index++;
      if (this.#text[this.#index] === '+' || this.#text[this.#index] === '-') this.#index++;
      this.#digits('in exponent of numeric literal');
    }
    const text = this.#text.slice(start, this.#index);
    const value = integer ? integerOf(text) : Number(text);
    if (value === Infinity || value === -Infinity)
      throw new Error(`json: cannot unmarshal number ${text.slice(0, 100)} into Go value of type float64`);
    return value;
  }

  #digits(where: string): void {
    if (!isDigit(this.#text[this.#index] ?? '')) this.#fail(where);
    while (isDigit(this.#text[this.#index] ?? '')) this.#index++;
  }

  #literal<Value extends Json>(word: string, value: Value): Value {
    for (const character of word) {
      if (this.#text[this.#index] !== character) this.#fail(`in literal ${word} (expecting ${quoted(character)})`);
      this.#index++;
    }
    return value;
  }

  /** The next character that is not space, without taking it. */
  #next(): string | undefined {
    this.#skipSpace();
    return this.#text[this.#index];
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#index);
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return;
      this.#index++;
    }
  }

  #fail(where: string): never {
    const point = this.#text.codePointAt(this.#index);
    if (point === undefined) throw new Error('unexpected end of JSON input');
    throw new Error(`invalid character ${quoted(String.fromCodePoint(point))} ${where}`);
  }
}

function isDigit(character: string): boolean {
  return character >= '0' && character <= '9';
}

/** Go's %q of a character. */
function quoted(character: string): string {
  if (character === "'") return "'\\''";
  if (character === '"') return "'\"'";
  return `'${JSON.stringify(character).slice(1, -1)}'`;
}

const int64Min = -(2n ** 63n);
const int64Max = 2n ** 63n - 1n;

/** A number where it is exact, a bigint within 64 bits, otherwise the nearest number. */
export function integerOf(text: string): number | bigint {
  const value = Number(text);
  if (Number.isSafeInteger(value)) return value;
  if (text.length > 20) return value;
  const wide = BigInt(text);
  if (String(value) === text) return value;
  return wide >= int64Min && wide <= int64Max ? wide : value;
}

/** Sets an own property whatever its name is: `__proto__` too. */
export function setOwn<Value>(object: Record<string, Value | undefined>, key: string, value: Value): void {
  if (key === '__proto__')
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  else object[key] = value;
}
