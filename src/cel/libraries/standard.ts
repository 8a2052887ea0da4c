import { toBool, toBytes, toDouble, toDuration, toInt, toText, toTimestamp, toUint } from '../conversions.ts';
import { global, type Implementation, type Library, method, type Overload } from '../functions.ts';
import {
  add,
  compare,
  contains,
  divide,
  equal,
  modulo,
  multiply,
  negate,
  noSuchOverload,
  sizeOf,
  subtract,
} from '../operations.ts';
import { regexOf } from '../regex.ts';
import { type CivilTime, civilTime } from '../time.ts';
import {
  boolType,
  bytesType,
  type CelType,
  doubleType,
  durationType,
  dynType,
  intType,
  listOf,
  mapOf,
  optionalOf,
  parameterOf,
  stringType,
  timestampType,
  typeOf,
  uintType,
} from '../types.ts';
import {
  CelError,
  type CelValue,
  type Duration,
  integerOf,
  type Result,
  type Timestamp,
  TypeValue,
  typeOfValue,
} from '../values.ts';

const a = parameterOf('A');
const b = parameterOf('B');
const listOfA = listOf(a);
const mapOfAB = mapOf(a, b);

/** What the planner writes out itself; only the signatures count. */
const planned: Implementation = () => noSuchOverload;

/** The functions and operators of the language. */
export const standardLibrary: Library = [
  ['_?_:_', global('conditional', [boolType, a, a], a, planned)],
  ['_&&_', global('logical_and', [boolType, boolType], boolType, planned)],
  ['_||_', global('logical_or', [boolType, boolType], boolType, planned)],
  [
    '!_',
    global('logical_not', [boolType], boolType, (value: CelValue) =>
      typeof value === 'boolean' ? !value : noSuchOverload,
    ),
  ],
  ['@not_strictly_false', global('not_strictly_false', [boolType], boolType, planned)],
  ['_==_', global('equals', [a, a], boolType, equal)],
  ['_!=_', global('not_equals', [a, a], boolType, planned)],
  [
    '_+_',
    ...same('add', add, [bytesType, 'bytes'], [doubleType, 'double']),
    global('add_duration_duration', [durationType, durationType], durationType, add),
    global('add_duration_timestamp', [durationType, timestampType], timestampType, add),
    global('add_timestamp_duration', [timestampType, durationType], timestampType, add),
    ...same('add', add, [intType, 'int64'], [listOfA, 'list'], [stringType, 'string'], [uintType, 'uint64']),
  ],
  ['_/_', ...same('divide', divide, [doubleType, 'double'], [intType, 'int64'], [uintType, 'uint64'])],
  ['_%_', ...same('modulo', modulo, [intType, 'int64'], [uintType, 'uint64'])],
  ['_*_', ...same('multiply', multiply, [doubleType, 'double'], [intType, 'int64'], [uintType, 'uint64'])],
  ['-_', global('negate_double', [doubleType], doubleType, negate), global('negate_int64', [intType], intType, negate)],
  [
    '_-_',
    ...same('subtract', subtract, [doubleType, 'double']),
    global('subtract_duration_duration', [durationType, durationType], durationType, subtract),
    ...same('subtract', subtract, [intType, 'int64']),
    global('subtract_timestamp_duration', [timestampType, durationType], timestampType, subtract),
    global('subtract_timestamp_timestamp', [timestampType, timestampType], durationType, subtract),
    ...same('subtract', subtract, [uintType, 'uint64']),
  ],
  ['_<_', ...comparisons('less', order => order < 0)],
  ['_<=_', ...comparisons('less_equals', order => order <= 0)],
  ['_>_', ...comparisons('greater', order => order > 0)],
  ['_>=_', ...comparisons('greater_equals', order => order >= 0)],
  [
    '_[_]',
    global('index_list', [listOfA, intType], a, planned),
    global('index_map', [mapOfAB, a], b, planned),
    global('optional_list_index_int', [optionalOf(listOfA), intType], optionalOf(a), planned),
    global('optional_map_index_value', [optionalOf(mapOfAB), a], optionalOf(b), planned),
  ],
  ['@in', global('in_list', [a, listOfA], boolType, contains), global('in_map', [a, mapOfAB], boolType, contains)],
  [
    'size',
    ...[bytesType, listOfA, mapOfAB, stringType].flatMap((type, index) => {
      const name = ['bytes', 'list', 'map', 'string'][index] as string;
      return [global(`size_${name}`, [type], intType, size), method(`${name}_size`, [type], intType, size)];
    }),
  ],
  ['type', global('type', [a], typeOf(a), (value: CelValue) => new TypeValue(typeOfValue(value)))],
  ['bool', ...conversions('bool', boolType, toBool, [boolType, 'bool'], [stringType, 'string'])],
  ['bytes', ...conversions('bytes', bytesType, toBytes, [bytesType, 'bytes'], [stringType, 'string'])],
  [
    'double',
    ...conversions(
      'double',
      doubleType,
      toDouble,
      [doubleType, 'double'],
      [intType, 'int64'],
      [stringType, 'string'],
      [uintType, 'uint64'],
    ),
  ],
  [
    'duration',
    ...conversions('duration', durationType, toDuration, [durationType, 'duration'], [stringType, 'string']),
  ],
  ['dyn', global('to_dyn', [a], dynType, (value: CelValue) => value)],
  [
    'int',
    ...conversions(
      'int64',
      intType,
      toInt,
      [intType, 'int64'],
      [doubleType, 'double'],
      [durationType, 'duration'],
      [stringType, 'string'],
      [timestampType, 'timestamp'],
      [uintType, 'uint64'],
    ),
  ],
  [
    'string',
    ...conversions(
      'string',
      stringType,
      toText,
      [stringType, 'string'],
      [boolType, 'bool'],
      [bytesType, 'bytes'],
      [doubleType, 'double'],
      [durationType, 'duration'],
      [intType, 'int64'],
      [timestampType, 'timestamp'],
      [uintType, 'uint64'],
    ),
  ],
  [
    'timestamp',
    ...conversions(
      'timestamp',
      timestampType,
      toTimestamp,
      [timestampType, 'timestamp'],
      [intType, 'int64'],
      [stringType, 'string'],
    ),
  ],
  [
    'uint',
    ...conversions(
      'uint64',
      uintType,
      toUint,
      [uintType, 'uint64'],
      [doubleType, 'double'],
      [intType, 'int64'],
      [stringType, 'string'],
    ),
  ],
  [
    'cel.@mapInsert',
    global('@mapInsert_map_map', [mapOfAB, mapOfAB], mapOfAB, planned),
    global('@mapInsert_map_key_value', [mapOfAB, a, b], mapOfAB, planned),
  ],
  [
    'contains',
    method('contains_string', [stringType, stringType], boolType, (text: string, part: string) => text.includes(part)),
  ],
  [
    'endsWith',
    method('ends_with_string', [stringType, stringType], boolType, (text: string, end: string) => text.endsWith(end)),
  ],
  [
    'startsWith',
    method('starts_with_string', [stringType, stringType], boolType, (text: string, start: string) =>
      text.startsWith(start),
    ),
  ],
  [
    'matches',
    global('matches', [stringType, stringType], boolType, matches),
    method('matches_string', [stringType, stringType], boolType, matches),
  ],
  ['getFullYear', ...calendar('year', ({ year }) => year)],
  ['getMonth', ...calendar('month', ({ month }) => month)],
  ['getDayOfYear', ...calendar('day_of_year', ({ yearday }) => yearday)],
  ['getDayOfMonth', ...calendar('day_of_month', ({ day }) => day - 1)],
  ['getDate', ...calendar('day_of_month_1_based', ({ day }) => day)],
  ['getDayOfWeek', ...calendar('day_of_week', ({ weekday }) => weekday)],
  ['getHours', ...calendar('hours', ({ hours }) => hours), inDuration('hours', 3_600_000_000_000n)],
  ['getMinutes', ...calendar('minutes', ({ minutes }) => minutes), inDuration('minutes', 60_000_000_000n)],
  ['getSeconds', ...calendar('seconds', ({ seconds }) => seconds), inDuration('seconds', 1_000_000_000n)],
  [
    'getMilliseconds',
    ...calendar('milliseconds', (_, timestamp) => Math.floor(timestamp.nanoseconds / 1_000_000)),
    inDuration('milliseconds', 1_000_000n),
  ],
];

function same(id: string, call: Implementation, ...types: readonly (readonly [CelType, string])[]): Overload[] {
  return types.map(([type, name]) => global(`${id}_${name}`, [type, type], type, call));
}

function comparisons(id: string, holds: (order: number) => boolean): Overload[] {
  const call = (left: CelValue, right: CelValue): Result => {
    const order = compare(left, right);
    return typeof order === 'number' ? holds(order) : order;
  };
  const numbers: readonly (readonly [CelType, string])[] = [
    [intType, 'int64'],
    [uintType, 'uint64'],
    [doubleType, 'double'],
  ];
  const mixed = numbers.flatMap(([left, leftName]) =>
    numbers.map(([right, rightName]) =>
      global(left === right ? `${id}_${leftName}` : `${id}_${leftName}_${rightName}`, [left, right], boolType, call),
    ),
  );
  const others: readonly (readonly [CelType, string])[] = [
    [stringType, 'string'],
    [bytesType, 'bytes'],
    [timestampType, 'timestamp'],
    [durationType, 'duration'],
  ];
  return [
    global(`${id}_bool`, [boolType, boolType], boolType, call),
    ...mixed,
    ...others.map(([type, name]) => global(`${id}_${name}`, [type, type], boolType, call)),
  ];
}

function conversions(
  to: string,
  result: CelType,
  call: Implementation,
  ...from: readonly (readonly [CelType, string])[]
): Overload[] {
  return from.map(([type, name]) => global(`${name}_to_${to}`, [type], result, call));
}

function size(value: CelValue): Result {
  return sizeOf(value) ?? noSuchOverload;
}

function matches(text: string, pattern: string): Result {
  const regex = regexOf(pattern);
  return regex instanceof CelError ? regex : regex.test(text);
}

function calendar(name: string, part: (time: CivilTime, timestamp: Timestamp) => number): Overload[] {
  const call = (timestamp: Timestamp, zone?: string): Result => {
    const time = civilTime(timestamp, zone);
    return time instanceof CelError ? time : part(time, timestamp);
  };
  return [
    method(`timestamp_to_${name}`, [timestampType], intType, call),
    method(`timestamp_to_${name}_${name === 'seconds' ? '' : 'with_'}tz`, [timestampType, stringType], intType, call),
  ];
}

function inDuration(name: string, unit: bigint): Overload {
  return method(`duration_to_${name}`, [durationType], intType, ({ nanoseconds }: Duration) =>
    integerOf(nanoseconds / unit),
  );
}
