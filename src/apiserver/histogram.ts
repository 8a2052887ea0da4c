/** One value as prom-client asks a metric for it. */
export interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string;
}

/** Counts observations by bucket; what Prometheus wants of it is put together when it asks. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  /** `weight` counts one observation several times. */
  observe(value: number, weight = 1): void {
    const bucket = bucketOf(this.#bounds, value);
    this.#counts[bucket] = (this.#counts[bucket] as number) + weight;
    this.#sum += value * weight;
  }

  get isEmpty(): boolean {
    return this.#counts.every(count => count === 0);
  }

  samples(name: string, labels: Readonly<Record<string, string>>): Sample[] {
    let total = 0;
    const buckets = this.#bounds.map((le, index): Sample => {
      total += this.#counts[index] as number;
      return { labels: { ...labels, le }, value: total, metricName: `${name}_bucket` };
    });
    total += this.#counts[this.#bounds.length] as number;
    return [
      ...buckets,
      { labels: { ...labels, le: '+Inf' }, value: total, metricName: `${name}_bucket` },
      { labels, value: this.#sum, metricName: `${name}_sum` },
      { labels, value: total, metricName: `${name}_count` },
    ];
  }
}

/** Observes a ratio at the end of every nanosecond, as upstream's timing histograms do. */
export class TimingHistogram {
  readonly #bounds: readonly number[];
  readonly #histogram: Histogram;
  #value = 0;
  #sinceMs: number;

  constructor(bounds: readonly number[], nowMs: number) {
    this.#bounds = bounds;
    this.#histogram = new Histogram(this.#bounds);
    this.#sinceMs = nowMs;
  }

  set(value: number, nowMs: number): void {
    if (value === this.#value) return;
    this.#pass(nowMs);
    this.#value = value;
  }

  samples(name: string, labels: Readonly<Record<string, string>>, nowMs: number): Sample[] {
    this.#pass(nowMs);
    return this.#histogram.samples(name, labels);
  }

  #pass(nowMs: number): void {
    const nanoseconds = Math.round((nowMs - this.#sinceMs) * 1e6);
    if (nanoseconds <= 0) return;
    this.#histogram.observe(this.#value, nanoseconds);
    this.#sinceMs = nowMs;
  }
}

function bucketOf(bounds: readonly number[], value: number): number {
  let bucket = 0;
  while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
  return bucket;
}
