import { forgetPropertyNames } from './property-names.ts';
import { CostExceeded } from './values.ts';

/*
 * Upstream's costs do not see all that an evaluation does: comparing lists of lists, counting the characters of a long
 * string again and again, joining many references to one string. That has a bound of its own, far from what rules do.
 */

/** Elements compared, or 64 characters looked at, in one evaluation. */
const workMax = 10_000_000;
/** The longest string that a function makes, in UTF-16 units. */
export const stringLengthMax = 64 * 1024 * 1024;
/** The longest list that `+` makes; going through it would cost too much anyway. */
export const listSizeMax = 10_000_000;

let left = workMax;

/** At both ends of an evaluation, which is synchronous, and before an expression is compiled. */
export function startWork(): void {
  left = workMax;
  forgetPropertyNames();
}

export function work(units: number): void {
  left -= units;
  if (left < 0) throw new CostExceeded();
}

/** What a function does that goes through a string. */
export function workOn(text: unknown): void {
  if (typeof text === 'string' && text.length > 1024) work(text.length >> 4);
}
