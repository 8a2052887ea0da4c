/** A type of the language, as the checker knows it. Two types are the same when their `text` is. */
export interface CelType {
  readonly kind: CelKind;
  /** `list`, `map`, `optional_type`, the full name of an object type, the name of a type parameter. */
  readonly name: string;
  readonly parameters: readonly CelType[];
  /** The form that messages show: `map(string, list(int))`. */
  readonly text: string;
}

export type CelKind =
  | 'dyn'
  | 'any'
  | 'error'
  | 'null'
  | 'bool'
  | 'int'
  | 'uint'
  | 'double'
  | 'string'
  | 'bytes'
  | 'duration'
  | 'timestamp'
  | 'list'
  | 'map'
  | 'type'
  | 'opaque'
  | 'struct'
  | 'parameter';

/** What is written longer counts as dyn: `.map(a, {a: a})` doubles the type of a list as often as it is said. */
const textLengthMax = 10_000;

export const dynType = simple('dyn', 'dyn');
export const anyType = simple('any', 'any', 'any');
export const errorType = simple('error', '!error!', '!error!');
export const nullType = simple('null', 'null_type', 'null');
export const boolType = simple('bool', 'bool');
export const intType = simple('int', 'int');
export const uintType = simple('uint', 'uint');
export const doubleType = simple('double', 'double');
export const stringType = simple('string', 'string');
export const bytesType = simple('bytes', 'bytes');
export const durationType = simple('duration', 'google.protobuf.Duration', 'duration');
export const timestampType = simple('timestamp', 'google.protobuf.Timestamp', 'timestamp');

export function listOf(element: CelType): CelType {
  return parameterized('list', 'list', [element]);
}

export function mapOf(key: CelType, value: CelType): CelType {
  return parameterized('map', 'map', [key, value]);
}

/** The type of a type; without parameter the type of any type. */
export function typeOf(type?: CelType): CelType {
  return type === undefined ? simple('type', 'type') : parameterized('type', 'type', [type]);
}

export function opaqueOf(name: string, ...parameters: CelType[]): CelType {
  return parameters.length === 0 ? simple('opaque', name) : parameterized('opaque', name, parameters);
}

export function optionalOf(type: CelType): CelType {
  return opaqueOf('optional_type', type);
}

/** An object type, known by its full name; its fields are asked from the environment. */
export function structOf(name: string): CelType {
  return simple('struct', name);
}

export function parameterOf(name: string): CelType {
  return simple('parameter', name);
}

export function isOptional(type: CelType): boolean {
  return type.kind === 'opaque' && type.name === 'optional_type';
}

export function sameType(left: CelType, right: CelType): boolean {
  return left === right || (left.kind === right.kind && left.text === right.text);
}

function simple(kind: CelKind, name: string, text: string = name): CelType {
  return { kind, name, parameters: [], text };
}

function parameterized(kind: CelKind, name: string, parameters: readonly CelType[]): CelType {
  const text = `${name}(${parameters.map(each => each.text).join(', ')})`;
  return text.length > textLengthMax ? dynType : { kind, name, parameters, text };
}
