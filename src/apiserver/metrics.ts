import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry as PrometheusRegistry } from 'prom-client';
import type { Kind } from '#api/machinery/kind.ts';
import type { RequestInfo } from './request-info.ts';
import type { WatchCache } from './cache/watch-cache.ts';

/** Counted by hand and handed to Prometheus when it asks: its own counters cost more than what they count. */
interface RequestSeries {
  readonly labels: ReturnType<typeof labelsOf>;
  readonly code: string;
  count: number;
}

interface DurationSeries {
  readonly labels: ReturnType<typeof labelsOf>;
  /** Requests by bucket, not cumulative; the last one is for those that took longer. */
  readonly counts: number[];
  sum: number;
}

interface WatchTotals {
  events: number;
  bytes: number;
}

const durationBuckets = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
];

/** Of every second one: what is looked for are stalls, and an idle process shall sleep. */
const eventLoopSampleMs = 1000;

/** Upstream's metrics of an API server, under upstream's names. Children of labels are kept: looking them up is what costs. */
export class ApiMetrics {
  readonly registry = new PrometheusRegistry();
  #inFlight: () => Readonly<Record<string, number>> = () => ({});
  readonly #longRunning: Gauge;
  readonly #series = new Map<string, { readonly request: RequestSeries; readonly duration: DurationSeries }>();
  readonly #durations = new Map<string, DurationSeries>();
  readonly #attempts = {
    authentication: { success: 0, failure: 0, error: 0 },
    users: { admin: 0, client: 0, kube_proxy: 0, kubelet: 0, email_id: 0, other: 0 },
    authorization: { allowed: 0, denied: 0, 'no-opinion': 0, error: 0 },
  };
  #conversion: ReturnType<typeof conversionMetrics> | undefined;
  #isProcessWatched = false;
  readonly #watchSeries = new WeakMap<Kind, WatchTotals>();
  readonly #watchTotals = new Map<
    { readonly group: string; readonly version: string; readonly resource: string },
    WatchTotals
  >();

  constructor(cache: () => WatchCache) {
    const registers = [this.registry];
    const requests = new Counter({
      name: 'apiserver_request_total',
      help: 'Requests by verb, resource, scope and HTTP code.',
      labelNames: ['verb', 'group', 'version', 'resource', 'subresource', 'scope', 'component', 'code'],
      registers,
      collect: () => {
        requests.reset();
        for (const { request } of this.#series.values())
          requests.inc({ ...request.labels, code: request.code }, request.count);
      },
    });
    this.registry.registerMetric(this.#durationMetric() as never);
    const inFlight = new Gauge({
      name: 'apiserver_current_inflight_requests',
      help: 'Requests being served, by kind of request.',
      labelNames: ['request_kind'],
      registers,
      collect: () => {
        for (const [kind, count] of Object.entries(this.#inFlight())) inFlight.set({ request_kind: kind }, count);
      },
    });
    this.#longRunning = new Gauge({
      name: 'apiserver_longrunning_requests',
      help: 'Watches and other long requests that are open.',
      labelNames: ['verb', 'group', 'version', 'resource', 'subresource', 'scope', 'component'],
      registers,
    });
    const { authentication, users, authorization } = this.#attempts;
    counted(
      this.registry,
      'authentication_attempts',
      'Attempts to say who one is, by result.',
      'result',
      authentication,
    );
    counted(this.registry, 'authenticated_user_requests', 'Requests by known user.', 'username', users);
    counted(
      this.registry,
      'authorization_attempts_total',
      'Decisions about requests, by result.',
      'result',
      authorization,
    );
    const labelNames = ['group', 'version', 'resource'];
    const watchEvents = new Counter({
      name: 'apiserver_watch_events_total',
      help: 'Events sent to watchers.',
      labelNames,
      registers,
      collect: () => {
        watchEvents.reset();
        for (const [labels, { events }] of this.#watchTotals) watchEvents.inc(labels, events);
      },
    });
    const watchBytes = new Counter({
      name: 'apiserver_watch_events_sizes_sum',
      help: 'Bytes of the events sent to watchers.',
      labelNames,
      registers,
      collect: () => {
        watchBytes.reset();
        for (const [labels, { bytes }] of this.#watchTotals) watchBytes.inc(labels, bytes);
      },
    });
    const objects = new Gauge({
      name: 'apiserver_storage_objects',
      help: 'Objects in the store, by resource.',
      labelNames: ['resource'],
      registers,
      collect() {
        for (const [name, resource] of cache().resources()) objects.set({ resource: name }, resource.size);
      },
    });
    const byGroup = new Gauge({
      name: 'apiserver_resource_objects',
      help: 'Objects in the store, by group and resource.',
      labelNames: ['group', 'resource'],
      registers,
      collect() {
        for (const [, { kind, size }] of cache().resources())
          byGroup.set({ group: kind.group, resource: kind.plural }, size);
      },
    });
  }

  /**
   * All of it as Prometheus reads it; with the process's own from the first question on: to watch the delay of the event
   * loop wakes it again and again.
   */
  async text(): Promise<string> {
    if (!this.#isProcessWatched) {
      this.#isProcessWatched = true;
      collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: eventLoopSampleMs });
    }
    return this.registry.metrics();
  }

  /** A request from outside has said who makes it, or has not. */
  authenticated(result: 'success' | 'failure' | 'error', username = ''): void {
    this.#attempts.authentication[result]++;
    if (result === 'success') this.#attempts.users[userClassOf(username)]++;
  }

  authorized(result: 'allowed' | 'denied' | 'no-opinion' | 'error'): void {
    this.#attempts.authorization[result]++;
  }

  request(info: RequestInfo, code: number, seconds: number): void {
    const key = `${info.verb}|${info.group}|${info.version}|${info.resource}|${info.subresource}|${scopeOf(info)}|${code}`;
    let series = this.#series.get(key);
    if (!series) {
      // Paths that name nothing must not make series without end.
      if (this.#series.size >= seriesMax) return;
      series = this.#newSeries(info, code);
      this.#series.set(key, series);
    }
    series.request.count++;
    if (info.verb === 'watch') return;
    const { duration } = series;
    let bucket = 0;
    while (bucket < durationBuckets.length && seconds > (durationBuckets[bucket] as number)) bucket++;
    duration.counts[bucket] = (duration.counts[bucket] ?? 0) + 1;
    duration.sum += seconds;
  }

  #newSeries(info: RequestInfo, code: number) {
    const labels = labelsOf(info);
    const name = Object.values(labels).join('|');
    const duration = this.#durations.get(name) ?? { labels, counts: durationBuckets.map(() => 0), sum: 0 };
    this.#durations.set(name, duration);
    return { request: { labels, code: String(code), count: 0 }, duration };
  }

  /** A histogram in the form in which prom-client asks its metrics for their values. */
  #durationMetric() {
    const name = 'apiserver_request_duration_seconds';
    const help = 'How long requests took to be answered.';
    const get = async () => ({
      name,
      help,
      type: 'histogram',
      aggregator: 'sum',
      values: [...this.#durations.values()].flatMap(series => histogramValues(name, series)),
    });
    return { name, help, type: 'histogram', get, reset() {} };
  }

  collectInFlight(read: () => Readonly<Record<string, number>>): void {
    this.#inFlight = read;
  }

  longRunning(info: RequestInfo, change: 1 | -1): void {
    this.#longRunning.inc(labelsOf(info), change);
  }

  /** One call of a conversion webhook; without `failure` it converted. */
  conversion(seconds: number, failure: string | undefined): void {
    const labels = { result: failure === undefined ? 'success' : 'failure', failure_type: failure ?? '' };
    this.#conversion ??= conversionMetrics([this.registry]);
    this.#conversion.durations.observe(labels, seconds);
    this.#conversion.requests.inc(labels);
  }

  /** Counts what one watch sends. */
  watchEvents(kind: Kind): (bytes: number) => void {
    let totals = this.#watchSeries.get(kind);
    if (!totals) {
      totals = this.#newWatchSeries(kind);
      this.#watchSeries.set(kind, totals);
    }
    const counted = totals;
    return bytes => {
      counted.events++;
      counted.bytes += bytes;
    };
  }

  /** Kinds come and go with their definitions; what was counted stays, under the name they have. */
  #newWatchSeries({ group, version, plural: resource }: Kind): WatchTotals {
    for (const [labels, totals] of this.#watchTotals)
      if (labels.group === group && labels.version === version && labels.resource === resource) return totals;
    const totals = { events: 0, bytes: 0 };
    this.#watchTotals.set({ group, version, resource }, totals);
    return totals;
  }
}

function conversionMetrics(registers: PrometheusRegistry[]) {
  const labelNames = ['result', 'failure_type'];
  return {
    durations: new Histogram({
      name: 'apiextensions_apiserver_conversion_webhook_duration_seconds',
      help: 'How long conversion webhooks took.',
      labelNames,
      buckets: [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 45, 60],
      registers,
    }),
    requests: new Counter({
      name: 'apiextensions_apiserver_conversion_webhook_request_total',
      help: 'Calls of conversion webhooks, by how they ended.',
      labelNames,
      registers,
    }),
  };
}

function histogramValues(name: string, { labels, counts, sum }: DurationSeries) {
  let total = 0;
  const buckets = durationBuckets.map((le, index) => {
    total += counts[index] ?? 0;
    return { labels: { ...labels, le }, value: total, metricName: `${name}_bucket` };
  });
  total += counts[durationBuckets.length] ?? 0;
  return [
    ...buckets,
    { labels: { ...labels, le: '+Inf' }, value: total, metricName: `${name}_bucket` },
    { labels, value: sum, metricName: `${name}_sum` },
    { labels, value: total, metricName: `${name}_count` },
  ];
}

const seriesMax = 10_000;

function labelsOf(info: RequestInfo) {
  const { group, version, resource, subresource } = info;
  const verb =
    info.verb === 'deletecollection' ? 'DELETECOLLECTION' : (metricVerbs[info.verb] ?? info.verb.toUpperCase());
  return { verb, group, version, resource, subresource, scope: scopeOf(info), component: 'apiserver' };
}

const metricVerbs: Readonly<Record<string, string>> = {
  create: 'POST',
  update: 'PUT',
  patch: 'PATCH',
};

function scopeOf(info: RequestInfo): string {
  if (!info.isResource) return '';
  if (info.name !== '') return 'resource';
  return info.namespace !== '' ? 'namespace' : 'cluster';
}

/** Names of users are without end; upstream tells these apart. */
function userClassOf(name: string): 'admin' | 'client' | 'kube_proxy' | 'kubelet' | 'email_id' | 'other' {
  if (name === 'admin' || name === 'client' || name === 'kube_proxy' || name === 'kubelet') return name;
  return name.includes('@') ? 'email_id' : 'other';
}

function counted(
  registry: PrometheusRegistry,
  name: string,
  help: string,
  label: string,
  counts: Readonly<Record<string, number>>,
): void {
  const counter = new Counter({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      counter.reset();
      for (const [value, count] of Object.entries(counts)) if (count > 0) counter.inc({ [label]: value }, count);
    },
  });
}
