import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry as PrometheusRegistry } from 'prom-client';
import type { Kind } from '#api/machinery/kind.ts';
import type { RequestInfo } from './request-info.ts';
import type { WatchCache } from './cache/watch-cache.ts';

interface RequestSeries {
  readonly total: { inc(): void };
  readonly duration: { observe(value: number): void };
}

/** Upstream's metrics of an API server, under upstream's names. Children of labels are kept: looking them up is what costs. */
export class ApiMetrics {
  readonly registry = new PrometheusRegistry();
  readonly #requests: Counter;
  readonly #durations: Histogram;
  #inFlight: () => Readonly<Record<string, number>> = () => ({});
  readonly #longRunning: Gauge;
  readonly #watchEvents: Counter;
  readonly #watchBytes: Counter;
  readonly #series = new Map<string, RequestSeries>();
  readonly #watchSeries = new WeakMap<Kind, { inc(): void; bytes(count: number): void }>();

  constructor(cache: () => WatchCache) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#requests = new Counter({
      name: 'apiserver_request_total',
      help: 'Requests by verb, resource, scope and HTTP code.',
      labelNames: ['verb', 'group', 'version', 'resource', 'subresource', 'scope', 'component', 'code'],
      registers,
    });
    this.#durations = new Histogram({
      name: 'apiserver_request_duration_seconds',
      help: 'How long requests took to be answered.',
      labelNames: ['verb', 'group', 'version', 'resource', 'subresource', 'scope', 'component'],
      buckets: [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60],
      registers,
    });
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
    this.#watchEvents = new Counter({
      name: 'apiserver_watch_events_total',
      help: 'Events sent to watchers.',
      labelNames: ['group', 'version', 'resource'],
      registers,
    });
    this.#watchBytes = new Counter({
      name: 'apiserver_watch_events_sizes_sum',
      help: 'Bytes of the events sent to watchers.',
      labelNames: ['group', 'version', 'resource'],
      registers,
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
  }

  request(info: RequestInfo, code: number, seconds: number): void {
    const key = `${info.verb}|${info.group}|${info.version}|${info.resource}|${info.subresource}|${scopeOf(info)}|${code}`;
    let series = this.#series.get(key);
    if (!series) {
      // Paths that name nothing must not make series without end.
      if (this.#series.size >= seriesMax) return;
      const labels = labelsOf(info);
      series = {
        total: this.#requests.labels({ ...labels, code: String(code) }),
        duration: this.#durations.labels(labels),
      };
      this.#series.set(key, series);
    }
    series.total.inc();
    if (info.verb !== 'watch') series.duration.observe(seconds);
  }

  collectInFlight(read: () => Readonly<Record<string, number>>): void {
    this.#inFlight = read;
  }

  longRunning(info: RequestInfo, change: 1 | -1): void {
    this.#longRunning.inc(labelsOf(info), change);
  }

  watchEvent(kind: Kind, bytes: number): void {
    let series = this.#watchSeries.get(kind);
    if (!series) {
      const labels = { group: kind.group, version: kind.version, resource: kind.plural };
      const events = this.#watchEvents.labels(labels);
      const sizes = this.#watchBytes.labels(labels);
      series = { inc: () => events.inc(), bytes: count => sizes.inc(count) };
      this.#watchSeries.set(kind, series);
    }
    series.inc();
    if (bytes > 0) series.bytes(bytes);
  }
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
