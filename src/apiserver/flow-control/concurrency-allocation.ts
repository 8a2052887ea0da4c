/** How much one level wants and may have. */
export interface AllocationWish {
  readonly lower: number;
  readonly upper: number;
  readonly target: number;
}

export interface Allocation {
  readonly seats: readonly number[];
  /** What part of its target everybody gets whom no bound holds. */
  readonly fairFraction: number;
}

/** A target of nothing would take part in nothing. */
const targetMin = 0.001;
const epsilon = 1e-7;

/**
 * Divides a sum so that each gets the same part of its target, within its bounds: the one fraction for which the sum comes
 * out. Undefined where the bounds leave no answer. KEP-1040.
 */
export function allocate(sum: number, wishes: readonly AllocationWish[]): Allocation | undefined {
  const lowest = wishes.reduce((total, { lower }) => total + lower, 0);
  const highest = wishes.reduce((total, { upper }) => total + upper, 0);
  if (sum < 0 || lowest - sum > epsilon || sum - highest > epsilon) return undefined;
  if (wishes.some(({ lower, upper, target }) => lower < 0 || upper < lower || target < lower)) return undefined;
  const targets = wishes.map(({ target }) => Math.max(target, targetMin));
  const seatsAt = (fraction: number) =>
    wishes.map(({ lower, upper }, index) => Math.max(lower, Math.min(upper, fraction * (targets[index] as number))));
  const bounds = wishes
    .flatMap(({ lower, upper }, index) => [lower / (targets[index] as number), upper / (targets[index] as number)])
    .sort((a, b) => a - b);
  if (bounds.length === 0) return { seats: [], fairFraction: 0 };
  // The total grows with the fraction, and in a straight line between two bounds.
  let from = 0;
  let fromSum = lowest;
  for (const to of bounds) {
    const toSum = seatsAt(to).reduce((total, each) => total + each, 0);
    if (toSum >= sum) {
      const fairFraction = toSum > fromSum ? from + ((to - from) * (sum - fromSum)) / (toSum - fromSum) : to;
      return { seats: seatsAt(fairFraction), fairFraction };
    }
    from = to;
    fromSum = toSum;
  }
  return { seats: seatsAt(from), fairFraction: from };
}
