import { global, type Library, method } from '../functions.ts';
import { boolType, type CelType, doubleType, intType, stringType, structOf } from '../types.ts';
import { CelError, Double, integerOf, Opaque, type Result } from '../values.ts';

export const quantityType: CelType = structOf('kubernetes.Quantity');

/** An exact amount: `unscaled` times ten to the power of `scale`. */
export class Quantity extends Opaque {
  readonly type: CelType = quantityType;
  readonly unscaled: bigint;
  readonly scale: number;
  /** Upstream holds it in an int64, which decides whether it can be an integer. */
  readonly small: boolean;

  constructor(unscaled: bigint, scale: number, small: boolean) {
    super();
    this.unscaled = unscaled;
    this.scale = scale;
    this.small = small;
  }

  equals(other: Opaque): boolean {
    return other instanceof Quantity && compareQuantities(this, other) === 0;
  }
}

/** Kubernetes' own functions on amounts of resources. */
export const quantityLibrary: Library = [
  ['quantity', global('string_to_quantity', [stringType], quantityType, parseQuantity)],
  [
    'isQuantity',
    global('is_quantity_string', [stringType], boolType, (text: string) => !(parseQuantity(text) instanceof CelError)),
  ],
  [
    'sign',
    global('quantity_sign', [quantityType], intType, signOf),
    method('quantity_sign', [quantityType], intType, signOf),
  ],
  [
    'isGreaterThan',
    method(
      'quantity_is_greater_than',
      [quantityType, quantityType],
      boolType,
      (left: Quantity, right: Quantity) => compareQuantities(left, right) > 0,
    ),
  ],
  [
    'isLessThan',
    method(
      'quantity_is_less_than',
      [quantityType, quantityType],
      boolType,
      (left: Quantity, right: Quantity) => compareQuantities(left, right) < 0,
    ),
  ],
  ['compareTo', method('quantity_compare_to', [quantityType, quantityType], intType, compareQuantities)],
  [
    'asApproximateFloat',
    method(
      'quantity_get_float',
      [quantityType],
      doubleType,
      ({ unscaled, scale }: Quantity) => new Double(scale === 0 ? Number(unscaled) : Number(unscaled) * 10 ** scale),
    ),
  ],
  [
    'asInteger',
    method('quantity_get_int', [quantityType], intType, (quantity: Quantity) => {
      const value = wholeOf(quantity);
      return value === undefined ? new CelError('cannot convert value to integer') : integerOf(value);
    }),
  ],
  [
    'isInteger',
    method('quantity_is_integer', [quantityType], boolType, (quantity: Quantity) => wholeOf(quantity) !== undefined),
  ],
  [
    'add',
    method('quantity_add', [quantityType, quantityType], quantityType, (left: Quantity, right: Quantity) =>
      sum(left, right, 1n),
    ),
    method('quantity_add_int', [quantityType, intType], quantityType, (left: Quantity, right: number | bigint) =>
      sum(left, new Quantity(BigInt(right), 0, true), 1n),
    ),
  ],
  [
    'sub',
    method('quantity_sub', [quantityType, quantityType], quantityType, (left: Quantity, right: Quantity) =>
      sum(left, right, -1n),
    ),
    method('quantity_sub_int', [quantityType, intType], quantityType, (left: Quantity, right: number | bigint) =>
      sum(left, new Quantity(BigInt(right), 0, true), -1n),
    ),
  ],
];

const int64Max = (1n << 63n) - 1n;
/** Digits and exponents beyond it would cost memory; no resource has that many. */
const digitsMax = 1_000;

const decimalExponents: ReadonlyMap<string, number> = new Map([
  ['n', -9],
  ['u', -6],
  ['m', -3],
  ['', 0],
  ['k', 3],
  ['M', 6],
  ['G', 9],
  ['T', 12],
  ['P', 15],
  ['E', 18],
]);
const binaryExponents: ReadonlyMap<string, number> = new Map([
  ['Ki', 10],
  ['Mi', 20],
  ['Gi', 30],
  ['Ti', 40],
  ['Pi', 50],
  ['Ei', 60],
]);

export function parseQuantity(text: string): Quantity | CelError {
  const match = /^([+-]?)0*([0-9]*)(\.[0-9]*)?([eEinumkKMGTP]*[-+]?[0-9]*)$/.exec(text);
  if (text === '' || match === null || /^[+-]$/.test(text)) {
    return new CelError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  }
  const [, sign = '', digits = '', point = '', suffix = ''] = match;
  const whole = digits === '' ? '0' : digits;
  const decimals = point.slice(1);
  const exponential = /^[eE]([-+]?[0-9]{1,18})$/.exec(suffix)?.[1];
  const decimal = exponential === undefined ? decimalExponents.get(suffix) : Number(exponential);
  const binary = binaryExponents.get(suffix);
  if ((decimal === undefined && binary === undefined) || Math.abs(decimal ?? 0) > digitsMax) {
    return new CelError("unable to parse quantity's suffix");
  }
  if (whole.length + decimals.length > digitsMax) return new CelError('unable to parse numeric part of quantity');
  const unsigned = BigInt(whole + decimals);
  const value = sign === '-' ? -unsigned : unsigned;
  return binary === undefined
    ? decimalQuantity(value, (decimal as number) - decimals.length, whole.length + decimals.length)
    : binaryQuantity(value, binary, whole.length, decimals.length);
}

function decimalQuantity(value: bigint, scale: number, digits: number): Quantity {
  if (scale >= -9) return new Quantity(value, scale, digits <= 18);
  return roundedUp(value, scale);
}

function binaryQuantity(value: bigint, exponent: number, digits: number, decimals: number): Quantity {
  const shifted = value << BigInt(exponent);
  if (decimals === 0 && 15 - digits - Math.trunc((exponent * 3) / 10) - 1 >= 0) return new Quantity(shifted, 0, true);
  const scale = -decimals;
  const quantity = scale >= -9 ? new Quantity(shifted, scale, false) : roundedUp(shifted, scale);
  const largest = new Quantity(int64Max, 0, false);
  return compareQuantities(quantity, largest) > 0 ? largest : quantity;
}

/** Finer than a billionth is rounded away from zero. */
function roundedUp(value: bigint, scale: number): Quantity {
  const divisor = 10n ** BigInt(-9 - scale);
  const quotient = value / divisor;
  const rest = value % divisor;
  return new Quantity(rest === 0n ? quotient : quotient + (value < 0n ? -1n : 1n), -9, false);
}

function compareQuantities(left: Quantity, right: Quantity): number {
  const scale = Math.min(left.scale, right.scale);
  const one = at(left, scale);
  const other = at(right, scale);
  return one < other ? -1 : one > other ? 1 : 0;
}

function at({ unscaled, scale }: Quantity, wanted: number): bigint {
  return unscaled * 10n ** BigInt(scale - wanted);
}

function sum(left: Quantity, right: Quantity, factor: bigint): Quantity {
  if (left.unscaled === 0n && left.small && right.small)
    return new Quantity(right.unscaled * factor, right.scale, true);
  if (right.unscaled === 0n) return left;
  const scale = Math.min(left.scale, right.scale);
  const total = at(left, scale) + at(right, scale) * factor;
  return new Quantity(total, scale, left.small && right.small && total === BigInt.asIntN(64, total));
}

function signOf({ unscaled }: Quantity): Result {
  return unscaled > 0n ? 1 : unscaled < 0n ? -1 : 0;
}

function wholeOf({ unscaled, scale, small }: Quantity): bigint | undefined {
  if (!small || scale < 0 || scale > 19) return undefined;
  const value = unscaled * 10n ** BigInt(scale);
  return value === BigInt.asIntN(64, value) ? value : undefined;
}
