import { global, type Library, method } from '../functions.ts';
import { noSuchOverload } from '../operations.ts';
import { boolType, dynType, intType, listOf, mapOf, optionalOf, parameterOf, stringType } from '../types.ts';
import {
  CelError,
  CelList,
  CelMap,
  CelObject,
  type CelValue,
  Double,
  Duration,
  none,
  Optional,
  type Result,
  Timestamp,
  Uint,
} from '../values.ts';

const k = parameterOf('K');
const v = parameterOf('V');
const optional = optionalOf(v);
const list = listOf(v);
const map = mapOf(k, v);

export const noValue = new CelError('optional.none() dereference');

/** Optional values; `or` and `orValue` are written out by the planner, because they are lazy. */
export const optionalLibrary: Library = [
  ['optional.of', global('optional_of', [v], optional, (value: CelValue) => new Optional(value))],
  [
    'optional.ofNonZeroValue',
    global('optional_ofNonZeroValue', [v], optional, (value: CelValue) => (isZero(value) ? none : new Optional(value))),
  ],
  ['optional.none', global('optional_none', [], optional, () => none)],
  ['value', method('optional_value', [optional], v, ({ value }: Optional) => (value === undefined ? noValue : value))],
  ['hasValue', method('optional_hasValue', [optional], boolType, ({ value }: Optional) => value !== undefined)],
  ['or', method('optional_or_optional', [optional, optional], optional, () => noSuchOverload)],
  ['orValue', method('optional_orValue_value', [optional, v], v, () => noSuchOverload)],
  ['_?._', global('select_optional_field', [dynType, stringType], optional, () => noSuchOverload)],
  [
    '_[?_]',
    global('list_optindex_optional_int', [list, intType], optional, () => noSuchOverload),
    global('optional_list_optindex_optional_int', [optionalOf(list), intType], optional, () => noSuchOverload),
    global('map_optindex_optional_value', [map, k], optional, () => noSuchOverload),
    global('optional_map_optindex_optional_value', [optionalOf(map), k], optional, () => noSuchOverload),
  ],
  ['last', method('list_last', [list], optional, (values: CelList) => at(values, values.size - 1))],
  ['first', method('list_first', [list], optional, (values: CelList) => at(values, 0))],
  ['optional.unwrap', global('optional_unwrap', [listOf(optional)], list, unwrap)],
  ['unwrapOpt', method('optional_unwrapOpt', [listOf(optional)], list, unwrap)],
];

function at(values: CelList, index: number): Result {
  if (values.size === 0) return none;
  const value = values.get(index);
  return value instanceof CelError ? value : new Optional(value);
}

function unwrap(values: CelList): Result {
  const unwrapped: CelValue[] = [];
  for (let index = 0; index < values.size; index++) {
    const value = values.get(index);
    if (value instanceof CelError) return value;
    if (!(value instanceof Optional)) return new CelError('value is not optional');
    if (value.value !== undefined) unwrapped.push(value.value);
  }
  return new CelList(unwrapped);
}

function isZero(value: CelValue): boolean {
  if (value === null || value === false || value === '' || value === 0) return true;
  if (value instanceof CelList || value instanceof CelMap) return value.size === 0;
  if (value instanceof Uint) return value.value === 0n;
  if (value instanceof Double) return value.value === 0;
  if (value instanceof Uint8Array) return value.length === 0;
  if (value instanceof Duration) return value.nanoseconds === 0n;
  if (value instanceof Timestamp) return value.seconds === -62_135_596_800 && value.nanoseconds === 0;
  if (value instanceof CelObject) return value.names().length === 0;
  return value instanceof Optional && value.value === undefined;
}
