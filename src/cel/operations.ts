import { deepEqual } from '#base/deep-equal.ts';
import { listSizeMax, work } from './work.ts';
import { addDuration, durationOf, subtractTimestamps } from './time.ts';
import {
  CelError,
  CelList,
  CelMap,
  CelObject,
  type CelValue,
  Double,
  Duration,
  integerOf,
  Opaque,
  Optional,
  type Result,
  Timestamp,
  TypeValue,
  Uint,
} from './values.ts';

export const noSuchOverload = new CelError('no such overload');
const integerOverflow = new CelError('integer overflow');
const uintOverflow = new CelError('unsigned integer overflow');
const divisionByZero = new CelError('division by zero');
const modulusByZero = new CelError('modulus by zero');
const notANumber = new CelError('NaN values cannot be ordered');

type Integer = number | bigint;

export function isInteger(value: unknown): value is Integer {
  return typeof value === 'number' || typeof value === 'bigint';
}

export function add(left: CelValue, right: CelValue): Result {
  if (typeof left === 'number' && typeof right === 'number') {
    const sum = left + right;
    return Number.isSafeInteger(sum) ? sum : int64(BigInt(left) + BigInt(right));
  }
  if (typeof left === 'string') return typeof right === 'string' ? left + right : noSuchOverload;
  if (isInteger(left)) return isInteger(right) ? int64(BigInt(left) + BigInt(right)) : noSuchOverload;
  if (left instanceof Double) return right instanceof Double ? new Double(left.value + right.value) : noSuchOverload;
  if (left instanceof Uint) return right instanceof Uint ? uint64(left.value + right.value) : noSuchOverload;
  if (left instanceof CelList) return right instanceof CelList ? concatenate(left, right) : noSuchOverload;
  if (left instanceof Uint8Array) return right instanceof Uint8Array ? joinBytes(left, right) : noSuchOverload;
  if (left instanceof Duration) {
    if (right instanceof Duration) return durationOf(left.nanoseconds + right.nanoseconds);
    return right instanceof Timestamp ? addDuration(right, left.nanoseconds) : noSuchOverload;
  }
  if (left instanceof Timestamp && right instanceof Duration) return addDuration(left, right.nanoseconds);
  return noSuchOverload;
}

export function subtract(left: CelValue, right: CelValue): Result {
  if (typeof left === 'number' && typeof right === 'number') {
    const difference = left - right;
    return Number.isSafeInteger(difference) ? difference : int64(BigInt(left) - BigInt(right));
  }
  if (isInteger(left)) return isInteger(right) ? int64(BigInt(left) - BigInt(right)) : noSuchOverload;
  if (left instanceof Double) return right instanceof Double ? new Double(left.value - right.value) : noSuchOverload;
  if (left instanceof Uint) return right instanceof Uint ? uint64(left.value - right.value) : noSuchOverload;
  if (left instanceof Duration && right instanceof Duration) return durationOf(left.nanoseconds - right.nanoseconds);
  if (left instanceof Timestamp) {
    if (right instanceof Duration) return addDuration(left, -right.nanoseconds);
    if (right instanceof Timestamp) return subtractTimestamps(left, right);
  }
  return noSuchOverload;
}

export function multiply(left: CelValue, right: CelValue): Result {
  if (typeof left === 'number' && typeof right === 'number') {
    const product = left * right;
    return Number.isSafeInteger(product) ? product + 0 : int64(BigInt(left) * BigInt(right));
  }
  if (isInteger(left)) return isInteger(right) ? int64(BigInt(left) * BigInt(right)) : noSuchOverload;
  if (left instanceof Double) return right instanceof Double ? new Double(left.value * right.value) : noSuchOverload;
  if (left instanceof Uint) return right instanceof Uint ? uint64(left.value * right.value) : noSuchOverload;
  return noSuchOverload;
}

export function divide(left: CelValue, right: CelValue): Result {
  if (isInteger(left)) {
    if (!isInteger(right)) return noSuchOverload;
    if (right === 0) return divisionByZero;
    return typeof left === 'number' && typeof right === 'number'
      ? Math.trunc(left / right) + 0
      : int64(BigInt(left) / BigInt(right));
  }
  if (left instanceof Double) return right instanceof Double ? new Double(left.value / right.value) : noSuchOverload;
  if (left instanceof Uint && right instanceof Uint) {
    return right.value === 0n ? divisionByZero : new Uint(left.value / right.value);
  }
  return noSuchOverload;
}

export function modulo(left: CelValue, right: CelValue): Result {
  if (isInteger(left)) {
    if (!isInteger(right)) return noSuchOverload;
    if (right === 0) return modulusByZero;
    if (typeof left === 'number' && typeof right === 'number') return (left % right) + 0;
    return BigInt(left) === -(1n << 63n) && right === -1 ? integerOverflow : int64(BigInt(left) % BigInt(right));
  }
  if (left instanceof Uint && right instanceof Uint) {
    return right.value === 0n ? modulusByZero : new Uint(left.value % right.value);
  }
  return noSuchOverload;
}

export function negate(value: CelValue): Result {
  if (typeof value === 'number') return 0 - value;
  if (typeof value === 'bigint') return int64(-value);
  if (value instanceof Double) return new Double(-value.value);
  if (value instanceof Duration) return durationOf(-value.nanoseconds);
  return noSuchOverload;
}

export function int64(value: bigint): number | bigint | CelError {
  return value === BigInt.asIntN(64, value) ? integerOf(value) : integerOverflow;
}

export function uint64(value: bigint): Uint | CelError {
  return value === BigInt.asUintN(64, value) ? new Uint(value) : uintOverflow;
}

function joinBytes(left: Uint8Array, right: Uint8Array): Uint8Array {
  const joined = new Uint8Array(left.length + right.length);
  joined.set(left);
  joined.set(right, left.length);
  return joined;
}

/** Below 0, 0 or above 0. */
export function compare(left: CelValue, right: CelValue): number | CelError {
  if (typeof left === 'number' && typeof right === 'number') return left < right ? -1 : left > right ? 1 : 0;
  if (typeof left === 'string') return typeof right === 'string' ? compareStrings(left, right) : noSuchOverload;
  if (isNumber(left)) return isNumber(right) ? compareNumbers(left, right) : noSuchOverload;
  if (typeof left === 'boolean') return typeof right === 'boolean' ? Number(left) - Number(right) : noSuchOverload;
  if (left instanceof Timestamp && right instanceof Timestamp) {
    return left.seconds - right.seconds || left.nanoseconds - right.nanoseconds;
  }
  if (left instanceof Duration && right instanceof Duration) return order(left.nanoseconds, right.nanoseconds);
  if (left instanceof Uint8Array && right instanceof Uint8Array) return Buffer.compare(left, right);
  return noSuchOverload;
}

/** By code points, which is how bytes of UTF-8 compare. */
export function compareStrings(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  if (length > 1024) work(length >> 4);
  for (let index = 0; index < length; index++) {
    const one = left.charCodeAt(index);
    const other = right.charCodeAt(index);
    if (one === other) continue;
    const surrogates = one >= 0xd800 && other >= 0xd800;
    return surrogates ? rank(one) - rank(other) : one - other;
  }
  return left.length - right.length;
}

/** Halves of surrogate pairs stand for code points beyond all others. */
function rank(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000;
}

type CelNumber = Integer | Uint | Double;

export function isNumber(value: CelValue): value is CelNumber {
  return isInteger(value) || value instanceof Double || value instanceof Uint;
}

function compareNumbers(left: CelNumber, right: CelNumber): number | CelError {
  if (left instanceof Double) {
    return right instanceof Double ? compareDoubles(left.value, right.value) : negative(compareNumbers(right, left));
  }
  const whole = left instanceof Uint ? left.value : left;
  if (right instanceof Double) return compareWithDouble(whole, right.value, left instanceof Uint);
  return order(BigInt(whole), right instanceof Uint ? right.value : BigInt(right));
}

/** As upstream does it: the whole number is rounded to a double when both are in its range. */
function compareWithDouble(whole: Integer, double: number, unsigned: boolean): number | CelError {
  if (Number.isNaN(double)) return notANumber;
  const [low, high] = unsigned ? [0, 2 ** 64] : [-(2 ** 63), 2 ** 63];
  if (double < low) return 1;
  if (double > high) return -1;
  return compareDoubles(Number(whole), double);
}

function compareDoubles(left: number, right: number): number | CelError {
  return left < right ? -1 : left > right ? 1 : left === right ? 0 : notANumber;
}

function negative(comparison: number | CelError): number | CelError {
  return typeof comparison === 'number' ? -comparison : comparison;
}

function order(left: bigint, right: bigint): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** What `==` says: values of different kinds are not equal, numbers compare by value. */
export function equal(left: CelValue, right: CelValue): boolean | CelError {
  if (left === right) return true;
  switch (typeof left) {
    case 'string':
    case 'boolean':
      return false;
    case 'number':
      if (typeof right === 'number') return false;
  }
  if (left === null || right === null) return false;
  if (isNumber(left)) return isNumber(right) && compareNumbers(left, right) === 0;
  if (left instanceof CelList) return right instanceof CelList && equalLists(left, right);
  if (left instanceof CelMap) {
    if (right instanceof CelObject) return equalObjectAndMap(right, left);
    return right instanceof CelMap && equalMaps(left, right);
  }
  if (left instanceof CelObject) {
    if (right instanceof CelMap) return equalObjectAndMap(left, right);
    return right instanceof CelObject && equalObjects(left, right);
  }
  if (left instanceof Optional) return right instanceof Optional && equalOptionals(left, right);
  if (left instanceof TypeValue) return right instanceof TypeValue && left.type.text === right.type.text;
  if (left instanceof Uint8Array) return right instanceof Uint8Array && Buffer.compare(left, right) === 0;
  if (left instanceof Timestamp) {
    return right instanceof Timestamp && left.seconds === right.seconds && left.nanoseconds === right.nanoseconds;
  }
  if (left instanceof Duration) return right instanceof Duration && left.nanoseconds === right.nanoseconds;
  return left instanceof Opaque && right instanceof Opaque && left.equals(right);
}

function equalResults(left: Result | undefined, right: Result | undefined): boolean | CelError {
  if (left instanceof CelError) return left;
  if (right instanceof CelError) return right;
  if (left === undefined || right === undefined) return left === right;
  return equal(left, right);
}

function equalOptionals(left: Optional, right: Optional): boolean | CelError {
  return equalResults(left.value, right.value);
}

function equalLists(left: CelList, right: CelList): boolean | CelError {
  if (left.size !== right.size) return false;
  work(left.size);
  if (left.keys === 'set') return equalSets(left, right);
  if (left.keys !== undefined) return equalMapLists(left, right, left.keys);
  for (let index = 0; index < left.size; index++) {
    const same = equalResults(left.get(index), right.get(index));
    if (same !== true) return same;
  }
  return true;
}

function equalSets(left: CelList, right: CelList): boolean | CelError {
  const wanted = new Set<unknown>();
  for (let index = 0; index < left.size; index++) wanted.add(identityOf(left.get(index)));
  const seen = new Set<unknown>();
  for (let index = 0; index < right.size; index++) {
    const identity = identityOf(right.get(index));
    if (!wanted.has(identity)) return false;
    seen.add(identity);
  }
  return seen.size === wanted.size;
}

function equalMapLists(left: CelList, right: CelList, keys: readonly string[]): boolean | CelError {
  const byKey = new Map<string, Result>();
  for (let index = 0; index < left.size; index++) {
    const element = left.get(index);
    byKey.set(keyOf(element, keys), element);
  }
  const seen = new Set<string>();
  for (let index = 0; index < right.size; index++) {
    const element = right.get(index);
    const key = keyOf(element, keys);
    const other = byKey.get(key);
    if (other === undefined) return false;
    const same = equalResults(other, element);
    if (same !== true) return same;
    seen.add(key);
  }
  return seen.size === byKey.size;
}

/** Entries are looked up by name: that takes longer than going through a list. */
const entryWork = 8;

function equalMaps(left: CelMap, right: CelMap): boolean | CelError {
  const { size } = left;
  work(size * entryWork);
  if (size !== right.size) return false;
  for (const key of left.keys()) {
    const other = right.find(key);
    if (other === undefined) return false;
    const same = equalResults(left.find(key), other);
    if (same !== true) return same;
  }
  return true;
}

function equalObjects(left: CelObject, right: CelObject): boolean | CelError {
  const { size } = left;
  work(size * entryWork);
  if (size !== right.size) return false;
  const hidden = left.hidden();
  if (hidden.length > 0) {
    const others = new Map(right.hidden());
    const differs = hidden.some(([property, value]) => others.has(property) && !deepEqual(value, others.get(property)));
    if (differs) return false;
  }
  for (const name of left.names()) {
    const same = equalResults(left.field(name), right.field(name));
    if (same !== true) return same;
  }
  return true;
}

function equalObjectAndMap(object: CelObject, map: CelMap): boolean | CelError {
  const names = object.names();
  work(names.length * entryWork);
  if (names.length !== map.size) return false;
  for (const name of names) {
    const same = equalResults(object.field(name), map.find(name));
    if (same !== true) return same;
  }
  return true;
}

/** Shorter lists are copied; longer ones keep their parts. */
const copiedSizeMax = 64;

/** The list with the other behind it; `set` and `map` lists are merged by key. */
function concatenate(left: CelList, right: CelList): Result {
  if (left.keys === undefined && right.size === 0) return left;
  const size = left.size + right.size;
  if (size > listSizeMax) return new CelError('operation cancelled: actual cost limit exceeded', true);
  if (left.keys === undefined && size > copiedSizeMax) return new CelList([], undefined, undefined, [left, right]);
  work(size);
  const elements: Result[] = [];
  for (let index = 0; index < left.size; index++) elements.push(left.get(index));
  const added: Result[] = [];
  for (let index = 0; index < right.size; index++) added.push(right.get(index));
  const failed = elements.find(each => each instanceof CelError) ?? added.find(each => each instanceof CelError);
  if (failed !== undefined) return failed;
  return left.keys === undefined ? new CelList([...elements, ...added]) : merged(elements, added, left.keys);
}

function merged(elements: Result[], added: readonly Result[], keys: 'set' | readonly string[]): CelList {
  const identify = (element: Result) => (keys === 'set' ? identityOf(element) : keyOf(element, keys));
  const places = new Map<unknown, number>();
  for (const [index, element] of elements.entries()) places.set(identify(element), index);
  for (const element of added) {
    const identity = identify(element);
    const place = places.get(identity);
    if (place === undefined) {
      places.set(identity, elements.length);
      elements.push(element);
    } else if (keys !== 'set') elements[place] = element;
  }
  return new CelList(elements, undefined, keys);
}

/** Elements of a set are scalars, or objects and lists that are compared as a whole. */
function identityOf(element: Result): unknown {
  return typeof element === 'object' && element !== null ? identityText(element) : element;
}

function keyOf(element: Result, keys: readonly string[]): string {
  if (!(element instanceof CelObject || element instanceof CelMap)) return '';
  const parts = keys.map(key => {
    const value = element instanceof CelObject ? element.field(key) : element.find(key);
    return value === undefined ? 'null' : identityText(value);
  });
  return parts.join('\n');
}

function identityText(value: Result): string {
  if (value instanceof CelError) return `error ${value.message}`;
  if (value instanceof CelList) {
    const elements: string[] = [];
    for (let index = 0; index < value.size; index++) elements.push(identityText(value.get(index)));
    return `[${elements.join()}]`;
  }
  if (value instanceof CelObject || value instanceof CelMap) {
    const names = value instanceof CelObject ? value.names() : value.keys();
    const parts = names.map(name => {
      const part = value instanceof CelObject ? value.field(name as string) : value.find(name);
      return `${identityText(name)}:${part === undefined ? '' : identityText(part)}`;
    });
    return `{${parts.sort().join()}}`;
  }
  if (value instanceof Uint || value instanceof Double) return String(value.value);
  if (value instanceof Uint8Array) return `b${Buffer.from(value).toString('hex')}`;
  if (value instanceof Duration) return `d${value.nanoseconds}`;
  if (value instanceof Timestamp) return `t${value.seconds}.${value.nanoseconds}`;
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

/** `element in container`. */
export function contains(element: CelValue, container: CelValue): boolean | CelError {
  if (container instanceof CelMap) return container.find(element) !== undefined;
  if (container instanceof CelObject) return typeof element === 'string' && container.field(element) !== undefined;
  if (!(container instanceof CelList)) return noSuchOverload;
  let failed: CelError | undefined;
  const { size } = container;
  if (size > 64) work(size >> 1);
  for (let index = 0; index < size; index++) {
    const same = equalResults(container.get(index), element);
    if (same === true) return true;
    if (same instanceof CelError) failed ??= same;
  }
  return failed ?? false;
}

/** Of a string in code points. Undefined for what has no size. */
export function sizeOf(value: CelValue): number | undefined {
  if (typeof value === 'string') return codePointCount(value);
  if (value instanceof CelList) return value.size;
  if (value instanceof Uint8Array) return value.length;
  if (!(value instanceof CelMap || value instanceof CelObject)) return undefined;
  const { size } = value;
  work(size >> 2);
  return size;
}

/** Takes no time when a string has Latin characters only. */
const surrogate = /[\ud800-\udbff]/;

/** Most strings have no surrogate pairs; those that do are counted. */
export function codePointCount(text: string): number {
  if (text.length > 64) {
    work(text.length >> 6);
    if (!surrogate.test(text)) return text.length;
  }
  let pairs = 0;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0xd800 && unit <= 0xdbff) {
      const next = text.charCodeAt(index + 1);
      if (next >= 0xdc00 && next <= 0xdfff) {
        pairs++;
        index++;
      }
    }
  }
  return text.length - pairs;
}

/** The place that an index means in a list; whole numbers of all kinds are taken. */
export function listIndex(value: CelValue): number | CelError {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number.MAX_SAFE_INTEGER;
  if (value instanceof Uint) return Number(value.value);
  if (value instanceof Double) {
    return Number.isInteger(value.value) ? value.value : new CelError(`unsupported index value ${value.value} in list`);
  }
  return new CelError(`unsupported index type '${typeof value === 'string' ? 'string' : 'other'}' in list`);
}
