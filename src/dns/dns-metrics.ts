import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { recordType, responseCode } from './message.ts';
import { serverLabel } from './plugin.ts';

export const typeNames = new Map<number, string>(Object.entries(recordType).map(([name, type]) => [type, name]));
const codeNames = new Map<number, string>(Object.entries(responseCode).map(([name, code]) => [code, name]));

const durationBuckets = [
  0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192,
];
const sizeBuckets = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16_000, 32_000, 48_000, 64_000];

export function codeName(code: number): string {
  return codeNames.get(code) ?? String(code);
}

/**
 * CoreDNS' metrics. A labelled metric would cost more than an answer, so counts are plain numbers that are given names when
 * somebody reads them. They outlive a change of configuration.
 */
export class DnsMetrics {
  readonly registry: Registry;
  /** By zone, which comes from the configuration, then by a number of type, transport and family. */
  readonly requests = new Map<string, Map<number, number>>();
  readonly responses = new Map<string, Map<number, number>>();
  cacheHits = 0;
  cacheDenials = 0;
  cacheMisses = 0;
  cacheStale = 0;
  reloadsFailed = 0;
  panics = 0;
  /** How many entries the caches have now. */
  readonly cacheEntries = new Map<string, () => number>();
  readonly rejects: Counter;
  readonly requestSeconds: Histogram<'server' | 'zone' | 'view'>;
  readonly responseBytes: Histogram<'server' | 'zone' | 'view' | 'proto'>;
  readonly upstreamSeconds: Histogram<'proxy_name' | 'to' | 'rcode'>;
  readonly hostsEntries: Gauge;

  constructor(registry: Registry) {
    this.registry = registry;
    const registers = [registry];
    const labels = { server: serverLabel, view: '' };
    const counts = (table: ReadonlyMap<string, ReadonlyMap<number, number>>) =>
      [...table].flatMap(([zone, ofZone]) => [...ofZone].map(([key, count]) => ({ zone, key, count })));
    const { requests, responses } = this;
    new Counter({
      name: 'coredns_dns_requests_total',
      help: 'Counter of DNS requests made per zone, protocol and family',
      labelNames: ['server', 'zone', 'view', 'proto', 'family', 'type'],
      registers,
      collect() {
        this.reset();
        for (const { zone, key, count } of counts(requests))
          this.inc(
            {
              ...labels,
              zone,
              proto: (key & 2) !== 0 ? 'tcp' : 'udp',
              family: (key & 1) !== 0 ? '2' : '1',
              type: typeNames.get(key >> 2) ?? 'other',
            },
            count,
          );
      },
    });
    new Counter({
      name: 'coredns_dns_responses_total',
      help: 'Counter of response status codes',
      labelNames: ['server', 'zone', 'view', 'rcode', 'plugin'],
      registers,
      collect() {
        this.reset();
        for (const { zone, key, count } of counts(responses))
          this.inc(
            { ...labels, zone, rcode: codeName(key >> 1), plugin: (key & 1) !== 0 ? 'kubernetes' : 'forward' },
            count,
          );
      },
    });
    this.requestSeconds = new Histogram({
      name: 'coredns_dns_request_duration_seconds',
      help: 'Histogram of the time (in seconds) each request took per zone',
      labelNames: ['server', 'zone', 'view'],
      buckets: durationBuckets,
      registers,
    });
    this.responseBytes = new Histogram({
      name: 'coredns_dns_response_size_bytes',
      help: 'Size of the returned response in bytes',
      labelNames: ['server', 'zone', 'view', 'proto'],
      buckets: sizeBuckets,
      registers,
    });
    this.upstreamSeconds = new Histogram({
      name: 'coredns_proxy_request_duration_seconds',
      help: 'How long an upstream server took to answer',
      labelNames: ['proxy_name', 'to', 'rcode'],
      buckets: durationBuckets,
      registers,
    });
    this.rejects = new Counter({
      name: 'coredns_forward_max_concurrent_rejects_total',
      help: 'Queries that were refused because too many were under way',
      registers,
    });
    this.hostsEntries = new Gauge({
      name: 'coredns_hosts_entries',
      help: 'The combined number of entries in hosts and Corefile',
      registers,
    });
    const cache = { ...labels, zones: '.' };
    const read = (of: (metrics: this) => number) => () => of(this);
    const plain = (name: string, help: string, value: () => number, of: Readonly<Record<string, string>>) =>
      new Counter({
        name,
        help,
        labelNames: Object.keys(of),
        registers,
        collect() {
          this.reset();
          this.inc(of, value());
        },
      });
    const [hits, denials] = [read(metrics => metrics.cacheHits), read(metrics => metrics.cacheDenials)];
    new Counter({
      name: 'coredns_cache_hits_total',
      help: 'The count of cache hits',
      labelNames: ['server', 'type', 'zones', 'view'],
      registers,
      collect() {
        this.reset();
        this.inc({ ...cache, type: 'success' }, hits());
        this.inc({ ...cache, type: 'denial' }, denials());
      },
    });
    plain(
      'coredns_cache_misses_total',
      'The count of cache misses',
      read(metrics => metrics.cacheMisses),
      cache,
    );
    plain(
      'coredns_cache_served_stale_total',
      'The number of requests served from stale cache entries',
      read(metrics => metrics.cacheStale),
      cache,
    );
    plain(
      'coredns_reload_failed_total',
      'Reloads that failed',
      read(metrics => metrics.reloadsFailed),
      {},
    );
    plain(
      'coredns_panics_total',
      'Failures of the server itself',
      read(metrics => metrics.panics),
      {},
    );
    const { cacheEntries } = this;
    new Gauge({
      name: 'coredns_cache_entries',
      help: 'The number of elements in the cache',
      labelNames: ['server', 'type', 'zones', 'view'],
      registers,
      collect() {
        for (const [type, entries] of cacheEntries) this.set({ ...cache, type }, entries());
      },
    });
  }
}
