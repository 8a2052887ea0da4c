import { global, type Library, method } from '../functions.ts';
import { boolType, type CelType, intType, stringType, structOf } from '../types.ts';
import { CelError, integerOf, Opaque, type Result } from '../values.ts';
import { goQuoted } from './format-string.ts';

const semverType: CelType = structOf('kubernetes.Semver');

class Semver extends Opaque {
  readonly type: CelType = semverType;
  readonly numbers: readonly [bigint, bigint, bigint];
  readonly prerelease: readonly (string | bigint)[];

  constructor(numbers: readonly [bigint, bigint, bigint], prerelease: readonly (string | bigint)[]) {
    super();
    this.numbers = numbers;
    this.prerelease = prerelease;
  }

  equals(other: Opaque): boolean {
    return other instanceof Semver && compareVersions(this, other) === 0;
  }
}

/** Kubernetes' own functions on semantic versions. */
export const semverLibrary: Library = [
  [
    'semver',
    global('string_to_semver', [stringType], semverType, parseSemver),
    global('string_bool_to_semver', [stringType, boolType], semverType, read),
  ],
  [
    'isSemver',
    global('is_semver_string', [stringType], boolType, (text: string) => !(parseSemver(text) instanceof CelError)),
    global(
      'is_semver_string_bool',
      [stringType, boolType],
      boolType,
      (text: string, normalize: boolean) => !(read(text, normalize) instanceof CelError),
    ),
  ],
  [
    'isGreaterThan',
    method(
      'semver_is_greater_than',
      [semverType, semverType],
      boolType,
      (left: Semver, right: Semver) => compareVersions(left, right) > 0,
    ),
  ],
  [
    'isLessThan',
    method(
      'semver_is_less_than',
      [semverType, semverType],
      boolType,
      (left: Semver, right: Semver) => compareVersions(left, right) < 0,
    ),
  ],
  ['compareTo', method('semver_compare_to', [semverType, semverType], intType, compareVersions)],
  ['major', method('semver_major', [semverType], intType, ({ numbers }: Semver) => int64(numbers[0]))],
  ['minor', method('semver_minor', [semverType], intType, ({ numbers }: Semver) => int64(numbers[1]))],
  ['patch', method('semver_patch', [semverType], intType, ({ numbers }: Semver) => int64(numbers[2]))],
];

function int64(value: bigint): Result {
  return integerOf(BigInt.asIntN(64, value));
}

function read(text: string, normalize: boolean): Semver | CelError {
  if (!normalize) return parseSemver(text);
  const normal = normalized(text);
  return normal === undefined
    ? new CelError('short version cannot contain PreRelease/Build meta data')
    : parseSemver(normal);
}

/** Without `v`, without leading zeros, with three numbers. */
function normalized(text: string): string | undefined {
  const [first = '', second, ...rest] = text.replace(/^v/, '').split('.');
  const parts = second === undefined ? [first] : rest.length === 0 ? [first, second] : [first, second, rest.join('.')];
  const trimmed = parts.map(part => {
    if (part.length <= 1) return part;
    const stripped = part.replace(/^0+/, '');
    return /^[0-9]/.test(stripped) ? stripped : `0${stripped}`;
  });
  if (trimmed.length < 3) {
    if (/[+-]/.test(trimmed.at(-1) as string)) return undefined;
    while (trimmed.length < 3) trimmed.push('0');
  }
  return trimmed.join('.');
}

const uint64Max = (1n << 64n) - 1n;

export function parseSemver(text: string): Semver | CelError {
  if (text === '') return new CelError('Version string empty');
  const [major, minor, rest] = splitThree(text);
  if (rest === undefined) return new CelError('No Major.Minor.Patch elements found');
  const plus = rest.indexOf('+');
  const build = plus < 0 ? undefined : rest.slice(plus + 1);
  const unbuilt = plus < 0 ? rest : rest.slice(0, plus);
  const dash = unbuilt.indexOf('-');
  const prerelease = dash < 0 ? undefined : unbuilt.slice(dash + 1);
  const patch = dash < 0 ? unbuilt : unbuilt.slice(0, dash);
  const numbers: bigint[] = [];
  for (const [name, part] of [
    ['Major', major],
    ['Minor', minor],
    ['Patch', patch],
  ] as const) {
    const number = numberOf(name, part as string);
    if (number instanceof CelError) return number;
    numbers.push(number);
  }
  const identifiers: (string | bigint)[] = [];
  for (const part of prerelease?.split('.') ?? []) {
    const identifier = identifierOf(part);
    if (identifier instanceof CelError) return identifier;
    identifiers.push(identifier);
  }
  for (const part of build?.split('.') ?? []) {
    if (part === '') return new CelError('Build meta data is empty');
    if (!/^[0-9A-Za-z-]*$/.test(part))
      return new CelError(`Invalid character(s) found in build meta data ${goQuoted(part)}`);
  }
  return new Semver(numbers as [bigint, bigint, bigint], identifiers);
}

function splitThree(text: string): readonly (string | undefined)[] {
  const [major, minor, ...rest] = text.split('.');
  return [major, minor, rest.length === 0 ? undefined : rest.join('.')];
}

function numberOf(name: string, part: string): bigint | CelError {
  if (part === '' || /[^0-9]/.test(part)) {
    if (part === '') return new CelError('strconv.ParseUint: parsing "": invalid syntax');
    return new CelError(`Invalid character(s) found in ${name.toLowerCase()} number ${goQuoted(part)}`);
  }
  if (part.length > 1 && part.startsWith('0')) {
    return new CelError(`${name} number must not contain leading zeroes ${goQuoted(part)}`);
  }
  const value = BigInt(part);
  return value > uint64Max ? new CelError(`strconv.ParseUint: parsing ${goQuoted(part)}: value out of range`) : value;
}

function identifierOf(part: string): string | bigint | CelError {
  if (part === '') return new CelError('Prerelease is empty');
  if (/^[0-9]+$/.test(part)) {
    if (part.length > 1 && part.startsWith('0')) {
      return new CelError(`Numeric PreRelease version must not contain leading zeroes ${goQuoted(part)}`);
    }
    return BigInt(part);
  }
  if (!/^[0-9A-Za-z-]*$/.test(part)) return new CelError(`Invalid character(s) found in prerelease ${goQuoted(part)}`);
  return part;
}

function compareVersions(left: Semver, right: Semver): number {
  for (let index = 0; index < 3; index++) {
    const order = orderOf(left.numbers[index] as bigint, right.numbers[index] as bigint);
    if (order !== 0) return order;
  }
  const [one, other] = [left.prerelease, right.prerelease];
  if (one.length === 0 || other.length === 0) return one.length === other.length ? 0 : one.length === 0 ? 1 : -1;
  for (let index = 0; index < Math.min(one.length, other.length); index++) {
    const order = compareIdentifiers(one[index] as string | bigint, other[index] as string | bigint);
    if (order !== 0) return order;
  }
  return orderOf(one.length, other.length);
}

/** Numbers come before words. */
function compareIdentifiers(left: string | bigint, right: string | bigint): number {
  if (typeof left !== typeof right) return typeof left === 'bigint' ? -1 : 1;
  return orderOf(left, right);
}

function orderOf<Value extends string | number | bigint>(left: Value, right: Value): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
