import { codePointCount, sizeOf } from './operations.ts';
import { CelError, CelList, CelMap, CelObject, Opaque, Optional, type Result } from './values.ts';

/**
 * What a call costs: a constant, a function of its arguments, which is asked before it runs, or where it cannot be known
 * before, of its result.
 */
export type ActualCost =
  | number
  | ((args: readonly Result[]) => number)
  | { readonly ofResult: (result: Result) => number };

export const listCreateCost = 10;
export const mapCreateCost = 30;
export const objectCreateCost = 40;
/** Of going through a string once, a character. */
export const stringTraversalFactor = 0.1;
/** Of a regular expression, a character of the pattern. */
export const regexFactor = 0.25;
/** Allows two checks an expression. */
export const authorizationCheckCost = 350_000;

/** By function and overload; an overload that is not known yet is `''`. */
export function actualCost(name: string, overload: string): ActualCost {
  return byOverload.get(overload) ?? byFunction.get(name) ?? byStandardOverload.get(overload) ?? 1;
}

export function actualSize(value: Result): number {
  if (value instanceof CelError) return 1;
  if (value instanceof Optional) return value.value === undefined ? 1 : actualSize(value.value);
  if (value instanceof Opaque) return value.size ?? 1;
  return sizeOf(value) ?? 1;
}

/** Of `==`, `<` and their like: the shorter side is gone through. */
export function comparisonCost(left: Result, right: Result): number {
  if (typeof left === 'number' || typeof left === 'boolean') return 1;
  if (typeof left === 'string' && typeof right === 'string') {
    const units = Math.min(left.length, right.length);
    return units <= 10 ? (units === 0 ? 0 : 1) : traversal(Math.min(codePointCount(left), codePointCount(right)));
  }
  if (left instanceof Opaque) return 1;
  return traversal(Math.min(actualSize(left), actualSize(right)));
}

function traversal(size: number, factor = stringTraversalFactor): number {
  return Math.ceil(size * factor);
}

const traverseSecond = ([, second]: readonly Result[]) => traversal(actualSize(second as Result));
const traverseFirst = ([first]: readonly Result[]) => traversal(actualSize(first as Result));
const compareBoth = ([left, right]: readonly Result[]) => comparisonCost(left as Result, right as Result);
const concatenateBoth = ([left, right]: readonly Result[]) =>
  traversal(actualSize(left as Result) + actualSize(right as Result));
const matchRegex = ([text, pattern]: readonly Result[]) =>
  traversal(1 + actualSize(text as Result)) * traversal(actualSize(pattern as Result), regexFactor);
const allocate = (size: number, factor = 1) => Math.trunc(size * factor) + 1 + listCreateCost;

function selfCompare(list: Result): number {
  const size = actualSize(list);
  if (size === 0) return allocate(0);
  const first = list instanceof CelList ? list.get(0) : undefined;
  const text = typeof first === 'string' || first instanceof Uint8Array;
  return allocate(size * size, text ? 2 + stringTraversalFactor : 2);
}

const setsCost =
  (factor: number) =>
  ([left, right]: readonly Result[]) =>
    1 + Math.trunc(actualSize(left as Result) * actualSize(right as Result) * factor);

const sortable = [
  'int',
  'uint',
  'double',
  'bool',
  'google.protobuf.Duration',
  'google.protobuf.Timestamp',
  'string',
  'bytes',
];

const byOverload: ReadonlyMap<string, ActualCost> = new Map<string, ActualCost>([
  ['list_slice', { ofResult: result => allocate(actualSize(result)) }],
  ['list_flatten', ([list]) => allocate(actualSize(list as Result))],
  ['list_flatten_int', ([list, depth]) => allocate(actualSize(list as Result), Number(depth))],
  ['lists_range', ([count]) => allocate(Math.max(0, Number(count)))],
  ['list_reverse', ([list]) => allocate(actualSize(list as Result))],
  ['list_distinct', ([list]) => selfCompare(list as Result)],
  ...sortable.flatMap((name): [string, ActualCost][] => [
    [`list_${name}_sort`, ([list]) => selfCompare(list as Result)],
    [`list_${name}_sortByAssociatedKeys`, ([, keys]) => selfCompare(keys as Result)],
  ]),
  ['list_sets_contains_list', setsCost(1)],
  ['list_sets_intersects_list', setsCost(1)],
  ['list_sets_equivalent_list', setsCost(2)],
  ['cidr_ip', 1],
  ['cidr_contains_ip_string', ([cidr, other]) => compareBytes(cidr) + traversal(actualSize(other as Result))],
  [
    'cidr_contains_cidr_string',
    ([cidr, other]) =>
      compareBytes(cidr) + traversal(actualSize(cidr as Result)) + 1 + traversal(actualSize(other as Result)),
  ],
]);

function compareBytes(cidr: Result | undefined): number {
  return traversal(2 * actualSize(cidr as Result));
}

const byFunction: ReadonlyMap<string, ActualCost> = new Map<string, ActualCost>([
  ['check', authorizationCheckCost],
  ...['fieldSelector', 'labelSelector'].map((name): [string, ActualCost] => [
    name,
    ([, selector]) => selectorCost(actualSize(selector as Result)),
  ]),
  ...['isSorted', 'sum', 'max', 'min', 'indexOf', 'lastIndexOf'].map((name): [string, ActualCost] => [
    name,
    ([list]) => traversalOf(list as Result),
  ]),
  ...['url', 'lowerAscii', 'upperAscii', 'substring', 'trim', 'jsonpatch.escapeKey'].map(
    (name): [string, ActualCost] => [name, traverseFirst],
  ),
  ...['replace', 'split'].map((name): [string, ActualCost] => [
    name,
    ([text]) => traversal(actualSize(text as Result) * 2),
  ]),
  ['join', { ofResult: result => traversal(actualSize(result) * 2) }],
  ['find', matchRegex],
  ['findAll', matchRegex],
  ...['cidr', 'isIP', 'isCIDR', 'ip', 'quantity', 'isQuantity', 'semver', 'isSemver'].map(
    (name): [string, ActualCost] => [name, traverseFirst],
  ),
  ['ip.isCanonical', ([text]) => traversal(actualSize(text as Result) * 2)],
  ['containsIP', ([cidr]) => compareBytes(cidr)],
  ['containsCIDR', ([cidr]) => compareBytes(cidr) + traversal(actualSize(cidr as Result)) + 1],
  [
    'validate',
    ([format, text]) =>
      traversal(1 + actualSize(text as Result)) *
      traversal((format as { regexSizeMax?: number }).regexSizeMax ?? 0, regexFactor),
  ],
]);

/** Of reading a selector: the string, and a requirement every second character at worst. */
export function selectorCost(length: number): number {
  return listCreateCost + traversal(length) + Math.ceil(Math.ceil(length * 0.5) * (listCreateCost + objectCreateCost));
}

/** Of going through all parts of a value. */
function traversalOf(value: Result): number {
  if (typeof value === 'string') return Math.trunc(Buffer.byteLength(value) * stringTraversalFactor);
  if (value instanceof Uint8Array) return Math.trunc(value.length * stringTraversalFactor);
  let cost = 0;
  if (value instanceof CelList) {
    for (let index = 0; index < value.size; index++) cost += traversalOf(value.get(index));
    return cost;
  }
  if (value instanceof CelMap) {
    for (const key of value.keys()) cost += traversalOf(key) + traversalOf(value.find(key) ?? null);
    return cost;
  }
  if (value instanceof CelObject) {
    for (const name of value.names()) cost += traversalOf(name) + traversalOf(value.field(name) ?? null);
    return cost;
  }
  return 1;
}

const comparedTypes = ['string', 'bytes'];

const byStandardOverload: ReadonlyMap<string, ActualCost> = new Map<string, ActualCost>([
  ...['starts_with_string', 'ends_with_string'].map((id): [string, ActualCost] => [id, traverseSecond]),
  ...['string_to_bytes', 'bytes_to_string', 'strings_quote', 'string_format'].map((id): [string, ActualCost] => [
    id,
    traverseFirst,
  ]),
  ['in_list', ([, list]) => actualSize(list as Result)],
  ...['less', 'greater', 'less_equals', 'greater_equals'].flatMap(id =>
    comparedTypes.map((type): [string, ActualCost] => [`${id}_${type}`, compareBoth]),
  ),
  ['equals', compareBoth],
  ['not_equals', compareBoth],
  ['add_string', concatenateBoth],
  ['add_bytes', concatenateBoth],
  ['matches_string', matchRegex],
  ['contains_string', ([text, part]) => traversal(actualSize(text as Result)) * traversal(actualSize(part as Result))],
]);
