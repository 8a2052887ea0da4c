import type { Clock } from '#base/clock.ts';

const retryAfterSecondsMax = 32;

/**
 * How long clients of a level that refuses are told to stay away: doubled while it goes on refusing, a second less when it
 * hardly does any more.
 */
export class RetryAfter {
  readonly #clock: Clock;
  readonly #levels = new Map<string, Refusals>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Notes one more refusal; answers with the seconds to be told. */
  refused(level: string): number {
    let refusals = this.#levels.get(level);
    if (!refusals) this.#levels.set(level, (refusals = new Refusals()));
    return refusals.note(Math.floor(this.#clock.now() / 1000));
  }
}

class Refusals {
  #history: { readonly second: number; readonly count: number }[] = [];
  #second = 0;
  #count = 0;
  #retryAfterSeconds = 1;
  #raisedAt = 0;

  note(second: number): number {
    if (second === this.#second) this.#count++;
    else {
      this.#remember();
      this.#second = second;
      this.#count = 1;
      this.#adjust(second);
    }
    return this.#retryAfterSeconds;
  }

  #remember(): void {
    this.#history.push({ second: this.#second, count: this.#count });
    const secondsMax = Math.min(2 * this.#retryAfterSeconds, retryAfterSecondsMax);
    this.#history = this.#history.filter(({ second }) => this.#second - second <= secondsMax);
  }

  #adjust(second: number): void {
    const wait = this.#retryAfterSeconds;
    let refused = 0;
    for (const past of this.#history) if (second - past.second <= wait) refused += past.count;
    if (second - this.#raisedAt >= wait && refused >= 3 * wait) {
      this.#retryAfterSeconds = Math.min(2 * wait, retryAfterSecondsMax);
      this.#raisedAt = second;
    } else if (refused < wait && wait > 1) this.#retryAfterSeconds--;
  }
}
