import { type CelType, stringType } from './types.ts';
import type { Result } from './values.ts';
import { workOn } from './work.ts';

/** One signature of a function. The target of a member call is the first parameter and argument. */
export interface Overload {
  readonly id: string;
  readonly member: boolean;
  readonly parameters: readonly CelType[];
  readonly result: CelType;
  /** Takes what is not of the declared types too, and says itself what it does not take. */
  readonly unguarded?: boolean;
  /** Gets as many values as there are parameters, never an error. */
  readonly call: Implementation;
}

export type Implementation = (...args: never[]) => Result;

export interface CelFunction {
  readonly name: string;
  readonly overloads: readonly Overload[];
}

/** Signatures of a library: `[name, overload, overload …]`. */
export type Library = readonly (readonly [name: string, ...overloads: Overload[]])[];

export function global(id: string, parameters: readonly CelType[], result: CelType, call: Implementation): Overload {
  return { id, member: false, parameters, result, call: bounded(parameters, call) };
}

export function method(id: string, parameters: readonly CelType[], result: CelType, call: Implementation): Overload {
  return { id, member: true, parameters, result, call: bounded(parameters, call) };
}

/** Of a function on a string: going through a long one is work, whatever it costs upstream. */
function bounded(parameters: readonly CelType[], call: Implementation): Implementation {
  if (parameters[0] !== stringType) return call;
  const inner = call as (...args: unknown[]) => Result;
  switch (parameters.length) {
    case 1:
      return (text: unknown) => (workOn(text), inner(text));
    case 2:
      return (text: unknown, first: unknown) => (workOn(text), inner(text, first));
    case 3:
      return (text: unknown, first: unknown, second: unknown) => (workOn(text), inner(text, first, second));
    default:
      return (text: unknown, ...rest: unknown[]) => (workOn(text), inner(text, ...rest));
  }
}

/** All functions of the libraries; overloads of one name from several libraries are one function, in order. */
export function functionTable(libraries: readonly Library[]): ReadonlyMap<string, CelFunction> {
  const table = new Map<string, { name: string; overloads: Overload[] }>();
  for (const library of libraries) {
    for (const [name, ...overloads] of library) {
      const known = table.get(name);
      if (known === undefined) table.set(name, { name, overloads });
      else known.overloads.push(...overloads);
    }
  }
  return table;
}
