import type { Registry as PrometheusRegistry } from 'prom-client';
import type { Clock } from '#base/clock.ts';
import { Histogram, type Sample, TimingHistogram } from '../histogram.ts';

const queueLengthBounds = [0, 10, 25, 50, 100, 250, 500, 1000];
const durationBounds = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];
const seatBounds = [1, 2, 4, 8, 16, 32, 64, 100];
const watchCountBounds = [0, 1, 10, 100, 1000, 10000];
const seatUtilizationBounds = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1];
const requestUtilizationBounds = [0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1];
const readWriteBounds = [0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1];
const demandBounds = [0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.7, 2, 2.8, 4, 6];

/** What is counted of one schema in one level. Plain numbers: Prometheus' own cost more than what they would count. */
export class FlowSeries {
  readonly labels: { readonly priority_level: string; readonly flow_schema: string };
  readonly rejected = new Map<string, number>();
  dispatched = 0;
  waitingRequests = 0;
  waitingSeats = 0;
  executingRequests = 0;
  executingSeats = 0;
  noAccommodation = 0;
  readonly queueLength = new Histogram(queueLengthBounds);
  readonly waitSeconds = { true: new Histogram(durationBounds), false: new Histogram(durationBounds) };
  readonly executionSeconds = { regular: new Histogram(durationBounds), watch: new Histogram(durationBounds) };
  readonly watchCount = new Histogram(watchCountBounds);
  readonly estimatedSeats = new Histogram(seatBounds);

  constructor(level: string, schema: string) {
    this.labels = { priority_level: level, flow_schema: schema };
  }

  reject(reason: string): void {
    this.rejected.set(reason, (this.rejected.get(reason) ?? 0) + 1);
  }
}

/** What a level's queues are like, for `note`. */
export interface LevelState {
  readonly seatsInUse: number;
  readonly seatsWaiting: number;
  readonly waitingRequests: number;
  readonly executingRequests: number;
  readonly progress: number;
}

export class LevelSeries {
  readonly name: string;
  dispatchR = 0;
  latestS = 0;
  nextS = { min: 0, max: 0 };
  nextDiscountedS = { min: 0, max: 0 };
  currentR = 0;
  nominalSeats = 0;
  lowerSeats = 0;
  upperSeats = 0;
  currentSeats = 0;
  targetSeats = 0;
  demand = { highest: 0, average: 0, deviation: 0, smoothed: 0 };
  /** What utilizations are a part of. */
  seatsDenominator = 1;
  waitingDenominator = 1;
  readonly seatUtilization: TimingHistogram;
  readonly waiting: TimingHistogram;
  readonly executing: TimingHistogram;
  readonly demandRatio: TimingHistogram;

  constructor(name: string, nowMs: number) {
    this.name = name;
    this.seatUtilization = new TimingHistogram(seatUtilizationBounds, nowMs);
    this.waiting = new TimingHistogram(requestUtilizationBounds, nowMs);
    this.executing = new TimingHistogram(requestUtilizationBounds, nowMs);
    this.demandRatio = new TimingHistogram(demandBounds, nowMs);
  }

  note(state: LevelState, nowMs: number): void {
    const { seatsDenominator } = this;
    this.currentR = state.progress;
    this.seatUtilization.set(state.seatsInUse / seatsDenominator, nowMs);
    this.executing.set(state.executingRequests / seatsDenominator, nowMs);
    this.waiting.set(state.waitingRequests / this.waitingDenominator, nowMs);
    this.demandRatio.set((state.seatsInUse + state.seatsWaiting) / seatsDenominator, nowMs);
  }
}

type Phase = 'waiting' | 'executing';
type RequestKind = 'readOnly' | 'mutating';

/** Upstream's `apiserver_flowcontrol_…`. */
export class FlowMetrics {
  readonly #clock: Clock;
  readonly #flows = new Map<string, FlowSeries>();
  readonly #levels = new Map<string, LevelSeries>();
  readonly #counts = { waiting: { readOnly: 0, mutating: 0 }, executing: { readOnly: 0, mutating: 0 } };
  readonly #readWrite: Readonly<Record<Phase, Record<RequestKind, TimingHistogram>>>;
  readonly denominators = { waiting: 1, executing: 1 };
  fairFraction = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    const both = () => ({
      readOnly: new TimingHistogram(readWriteBounds, clock.monotonic()),
      mutating: new TimingHistogram(readWriteBounds, clock.monotonic()),
    });
    this.#readWrite = { waiting: both(), executing: both() };
  }

  flow(level: string, schema: string): FlowSeries {
    const key = `${level}/${schema}`;
    let series = this.#flows.get(key);
    if (!series) this.#flows.set(key, (series = new FlowSeries(level, schema)));
    return series;
  }

  level(name: string): LevelSeries {
    let series = this.#levels.get(name);
    if (!series) this.#levels.set(name, (series = new LevelSeries(name, this.#clock.monotonic())));
    return series;
  }

  /** The level is gone for good. */
  forget(level: string): void {
    this.#levels.delete(level);
    for (const [key, { labels }] of this.#flows) if (labels.priority_level === level) this.#flows.delete(key);
  }

  inFlight(): Readonly<Record<RequestKind, number>> {
    return this.#counts.executing;
  }

  count(phase: Phase, kind: RequestKind, change: 1 | -1, nowMs: number): void {
    const counts = this.#counts[phase];
    counts[kind] += change;
    this.#readWrite[phase][kind].set(counts[kind] / this.denominators[phase], nowMs);
  }

  registerIn(registry: PrometheusRegistry): void {
    for (const { name, help, type, read } of this.#definitions()) {
      const full = `apiserver_flowcontrol_${name}`;
      const get = async () => ({ name: full, help, type, aggregator: 'sum', values: read(full) });
      registry.registerMetric({ name: full, help, type, get, reset() {} } as never);
    }
  }

  #definitions(): readonly Definition[] {
    const flows = (read: (series: FlowSeries, name: string) => Sample[]) => (name: string) =>
      [...this.#flows.values()].flatMap(series => read(series, name));
    const levels = (read: (series: LevelSeries) => number) => () =>
      [...this.#levels.values()].map(each => ({ labels: { priority_level: each.name }, value: read(each) }));
    const bounds = (read: (series: LevelSeries) => { readonly min: number; readonly max: number }) => () =>
      [...this.#levels.values()].flatMap(each =>
        (['min', 'max'] as const).map(bound => ({
          labels: { priority_level: each.name, bound },
          value: read(each)[bound],
        })),
      );
    const flowValue = (read: (series: FlowSeries) => number) =>
      flows(series => [{ labels: series.labels, value: read(series) }]);
    const flowHistogram = (read: (series: FlowSeries) => Histogram) =>
      flows((series, name) => (read(series).isEmpty ? [] : read(series).samples(name, series.labels)));
    const split = <Key extends string>(label: string, read: (series: FlowSeries) => Record<Key, Histogram>) =>
      flows((series, name) =>
        Object.entries<Histogram>(read(series)).flatMap(([value, histogram]) =>
          histogram.isEmpty ? [] : histogram.samples(name, { ...series.labels, [label]: value }),
        ),
      );
    const timing = (read: (series: LevelSeries, name: string, nowMs: number) => Sample[]) => (name: string) =>
      [...this.#levels.values()].flatMap(series => read(series, name, this.#clock.monotonic()));
    return [
      {
        name: 'rejected_requests_total',
        help: 'Number of requests rejected by API Priority and Fairness subsystem',
        type: 'counter',
        read: flows(({ rejected, labels }) =>
          [...rejected].map(([reason, value]) => ({ labels: { ...labels, reason }, value })),
        ),
      },
      {
        name: 'dispatched_requests_total',
        help: 'Number of requests executed by API Priority and Fairness subsystem',
        type: 'counter',
        read: flowValue(({ dispatched }) => dispatched),
      },
      {
        name: 'current_inqueue_requests',
        help: 'Number of requests currently pending in queues of the API Priority and Fairness subsystem',
        type: 'gauge',
        read: flowValue(({ waitingRequests }) => waitingRequests),
      },
      {
        name: 'current_inqueue_seats',
        help: 'Number of seats currently pending in queues of the API Priority and Fairness subsystem',
        type: 'gauge',
        read: flowValue(({ waitingSeats }) => waitingSeats),
      },
      {
        name: 'current_executing_requests',
        help: 'Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem',
        type: 'gauge',
        read: flowValue(({ executingRequests }) => executingRequests),
      },
      {
        name: 'current_executing_seats',
        help: 'Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem',
        type: 'gauge',
        read: flowValue(({ executingSeats }) => executingSeats),
      },
      {
        name: 'request_dispatch_no_accommodation_total',
        help: 'Number of times a dispatch attempt resulted in a non accommodation due to lack of available seats',
        type: 'counter',
        read: flowValue(({ noAccommodation }) => noAccommodation),
      },
      {
        name: 'request_queue_length_after_enqueue',
        help: 'Length of queue in the API Priority and Fairness subsystem, as seen by each request after it is enqueued',
        type: 'histogram',
        read: flowHistogram(({ queueLength }) => queueLength),
      },
      {
        name: 'request_wait_duration_seconds',
        help: 'Length of time a request spent waiting in its queue',
        type: 'histogram',
        read: split('execute', ({ waitSeconds }) => waitSeconds),
      },
      {
        name: 'request_execution_seconds',
        help: 'Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority and Fairness subsystem',
        type: 'histogram',
        read: split('type', ({ executionSeconds }) => executionSeconds),
      },
      {
        name: 'watch_count_samples',
        help: 'count of watchers for mutating requests in API Priority and Fairness',
        type: 'histogram',
        read: flowHistogram(({ watchCount }) => watchCount),
      },
      {
        name: 'work_estimated_seats',
        help: 'Number of estimated seats (maximum of initial and final seats) associated with requests in API Priority and Fairness',
        type: 'histogram',
        read: flowHistogram(({ estimatedSeats }) => estimatedSeats),
      },
      {
        name: 'current_r',
        help: 'R(time of last change)',
        type: 'gauge',
        read: levels(({ currentR }) => currentR),
      },
      {
        name: 'dispatch_r',
        help: 'R(time of last dispatch)',
        type: 'gauge',
        read: levels(({ dispatchR }) => dispatchR),
      },
      {
        name: 'latest_s',
        help: 'S(most recently dispatched request)',
        type: 'gauge',
        read: levels(({ latestS }) => latestS),
      },
      {
        name: 'next_s_bounds',
        help: 'min and max, over queues, of S(oldest waiting request in queue)',
        type: 'gauge',
        read: bounds(({ nextS }) => nextS),
      },
      {
        name: 'next_discounted_s_bounds',
        help: 'min and max, over queues, of S(oldest waiting request in queue) - estimated work in progress',
        type: 'gauge',
        read: bounds(({ nextDiscountedS }) => nextDiscountedS),
      },
      {
        name: 'nominal_limit_seats',
        help: 'Nominal number of execution seats configured for each priority level',
        type: 'gauge',
        read: levels(({ nominalSeats }) => nominalSeats),
      },
      {
        name: 'lower_limit_seats',
        help: 'Configured lower bound on number of execution seats available to each priority level',
        type: 'gauge',
        read: levels(({ lowerSeats }) => lowerSeats),
      },
      {
        name: 'upper_limit_seats',
        help: 'Configured upper bound on number of execution seats available to each priority level',
        type: 'gauge',
        read: levels(({ upperSeats }) => upperSeats),
      },
      {
        name: 'current_limit_seats',
        help: 'current derived number of execution seats available to each priority level',
        type: 'gauge',
        read: levels(({ currentSeats }) => currentSeats),
      },
      {
        name: 'target_seats',
        help: 'Seat allocation targets',
        type: 'gauge',
        read: levels(({ targetSeats }) => targetSeats),
      },
      {
        name: 'demand_seats_high_watermark',
        help: 'High watermark, over last adjustment period, of demand_seats',
        type: 'gauge',
        read: levels(({ demand }) => demand.highest),
      },
      {
        name: 'demand_seats_average',
        help: 'Time-weighted average, over last adjustment period, of demand_seats',
        type: 'gauge',
        read: levels(({ demand }) => demand.average),
      },
      {
        name: 'demand_seats_stdev',
        help: 'Time-weighted standard deviation, over last adjustment period, of demand_seats',
        type: 'gauge',
        read: levels(({ demand }) => demand.deviation),
      },
      {
        name: 'demand_seats_smoothed',
        help: 'Smoothed seat demands',
        type: 'gauge',
        read: levels(({ demand }) => demand.smoothed),
      },
      {
        name: 'seat_fair_frac',
        help: "Fair fraction of server's concurrency to allocate to each priority level that can use it",
        type: 'gauge',
        read: () => [{ labels: {}, value: this.fairFraction }],
      },
      {
        name: 'priority_level_seat_utilization',
        help: 'Observations, at the end of every nanosecond, of utilization of seats for any stage of execution (but only initial stage for WATCHes)',
        type: 'histogram',
        read: timing((series, name, nowMs) =>
          series.seatUtilization.samples(name, { priority_level: series.name, phase: 'executing' }, nowMs),
        ),
      },
      {
        name: 'priority_level_request_utilization',
        help: 'Observations, at the end of every nanosecond, of number of requests (as a fraction of the relevant limit) waiting or in any stage of execution (but only initial stage for WATCHes)',
        type: 'histogram',
        read: timing((series, name, nowMs) =>
          (['waiting', 'executing'] as const).flatMap(phase =>
            series[phase].samples(name, { phase, priority_level: series.name }, nowMs),
          ),
        ),
      },
      {
        name: 'demand_seats',
        help: 'Observations, at the end of every nanosecond, of (the number of seats each priority level could use) / (nominal number of seats for that level)',
        type: 'histogram',
        read: timing((series, name, nowMs) => series.demandRatio.samples(name, { priority_level: series.name }, nowMs)),
      },
      {
        name: 'read_vs_write_current_requests',
        help: 'Observations, at the end of every nanosecond, of the number of requests (as a fraction of the relevant limit) waiting or in regular stage of execution',
        type: 'histogram',
        read: name =>
          (['waiting', 'executing'] as const).flatMap(phase =>
            (['readOnly', 'mutating'] as const).flatMap(kind =>
              this.#readWrite[phase][kind].samples(name, { phase, request_kind: kind }, this.#clock.monotonic()),
            ),
          ),
      },
    ];
  }
}

interface Definition {
  /** Behind `apiserver_flowcontrol_`. */
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  read(fullName: string): Sample[];
}
