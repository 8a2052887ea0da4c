/** What a number did over a while: its mean over time, its deviation, its highest value. */
export interface Integral {
  readonly seconds: number;
  readonly average: number;
  readonly deviation: number;
  readonly highest: number;
}

/** Follows a number over time. */
export class Integrator {
  #value = 0;
  #highest = 0;
  #lastMs: number;
  #seconds = 0;
  #sum = 0;
  #squares = 0;

  constructor(nowMs: number) {
    this.#lastMs = nowMs;
  }

  set(value: number, nowMs: number): void {
    this.#pass(nowMs);
    this.#value = value;
    if (value > this.#highest) this.#highest = value;
  }

  /** The integral since the last time, and begins anew. */
  reset(nowMs: number): Integral {
    this.#pass(nowMs);
    const seconds = this.#seconds;
    const average = seconds > 0 ? this.#sum / seconds : 0;
    const variance = seconds > 0 ? this.#squares / seconds - average * average : 0;
    const integral = { seconds, average, deviation: Math.sqrt(Math.max(0, variance)), highest: this.#highest };
    this.#seconds = this.#sum = this.#squares = 0;
    this.#highest = this.#value;
    return integral;
  }

  #pass(nowMs: number): void {
    const seconds = (nowMs - this.#lastMs) / 1000;
    if (seconds <= 0) return;
    this.#lastMs = nowMs;
    this.#seconds += seconds;
    this.#sum += seconds * this.#value;
    this.#squares += seconds * this.#value * this.#value;
  }
}
