import { isDeepStrictEqual } from 'node:util';
import type { Random } from '#base/random.ts';

/** Something that reads what strangers write. */
export interface Target {
  readonly name: string;
  /** How inputs are changed: as bytes, as lines of words, or as the tree of a JSON document. */
  readonly form: 'bytes' | 'text' | 'json';
  /** Inputs to begin with. */
  seeds(): readonly (string | Uint8Array)[];
  /** Words of the language, put in here and there. */
  readonly words?: readonly string[];
  /** A new input by the grammar. */
  generate?(random: Random): string | Uint8Array;
  /** Inputs come from `generate` and are not changed: the property holds for what the grammar makes only. */
  readonly isGenerated?: boolean;
  /** CPU time that one input may take. */
  readonly cpuMsMax?: number;
  /**
   * Reads one input. What it answers with names the way that was taken, for the choice of inputs worth changing again.
   * Throws `Violation` when a property does not hold; any error that `declares` does not know is a fault as well.
   */
  run(input: Buffer): string | Promise<string>;
  /** Whether an error is the target's way of saying that the input is wrong. */
  declares(error: unknown): boolean;
}

/** A property does not hold. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

export function holds(condition: boolean, what: () => string): asserts condition {
  if (!condition) throw new Violation(what());
}

/** A value as one line for people: not too long. */
export function shown(value: unknown): string {
  const text =
    typeof value === 'string'
      ? value
      : (JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? `${each}n` : each)) ?? 'undefined');
  return text.length > 400 ? `${text.slice(0, 400)}…` : text;
}

export function pick<Value>(random: Random, values: readonly Value[]): Value {
  return values[Math.floor(random.next() * values.length)] as Value;
}

/** A whole number in [0, end). */
export function below(random: Random, end: number): number {
  return Math.floor(random.next() * end);
}

/** Where two values differ first, for messages about large ones. */
export function difference(left: unknown, right: unknown, path = ''): string {
  const isTree = (value: unknown) => typeof value === 'object' && value !== null;
  if (!isTree(left) || !isTree(right) || Array.isArray(left) !== Array.isArray(right))
    return `${path || '.'}: ${shown(left)} and ${shown(right)}`;
  const [one, other] = [left, right] as [Record<string, unknown>, Record<string, unknown>];
  for (const key of new Set([...Object.keys(one), ...Object.keys(other)]))
    if (!isDeepStrictEqual(one[key], other[key])) return difference(one[key], other[key], `${path}.${key}`);
  return 'no difference';
}
