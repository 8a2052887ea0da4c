import { Counter, Histogram } from 'prom-client';
import { codeOf, recordType, responseCode } from '../message.ts';
import { serverLabel, then, type Plugin } from '../plugin.ts';
import { durationBuckets } from './forward.ts';

const typeNames = new Map<number, string>(Object.entries(recordType).map(([name, type]) => [type, name]));
const codeNames = new Map<number, string>(Object.entries(responseCode).map(([name, code]) => [code, name]));

/**
 * Counts queries and times one in sixteen. A labelled metric would cost more than the answer, so counts are plain
 * numbers that are given names when somebody reads them.
 */
export const metrics: Plugin = (next, { registry, records, clock }) => {
  if (!registry) return next;
  const requests = new Map<number, number>();
  const responses = new Map<number, number>();
  const zoneOf = (inside: boolean) => (inside ? `${records.zone}.` : '.');
  const labels = { server: serverLabel, view: '' };
  new Counter({
    name: 'coredns_dns_requests_total',
    help: 'Counter of DNS requests made per zone, protocol and family',
    labelNames: ['server', 'zone', 'view', 'proto', 'family', 'type'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [key, count] of requests) {
        const { type, inside, tcp, six } = unpack(key);
        const names = { proto: tcp ? 'tcp' : 'udp', family: six ? '2' : '1', type: typeNames.get(type) ?? 'other' };
        this.inc({ ...labels, zone: zoneOf(inside), ...names }, count);
      }
    },
  });
  new Counter({
    name: 'coredns_dns_responses_total',
    help: 'Counter of response status codes',
    labelNames: ['server', 'zone', 'view', 'rcode', 'plugin'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [key, count] of responses) {
        const { type: code, inside } = unpack(key);
        const plugin = inside ? 'kubernetes' : 'forward';
        this.inc({ ...labels, zone: zoneOf(inside), rcode: codeNames.get(code) ?? String(code), plugin }, count);
      }
    },
  });
  const durations = new Histogram({
    name: 'coredns_dns_request_duration_seconds',
    help: 'Histogram of the time (in seconds) each request took per zone',
    labelNames: ['server', 'zone', 'view'],
    buckets: durationBuckets,
    registers: [registry],
  });
  const [inner, outer] = [true, false].map(inside => durations.labels({ ...labels, zone: zoneOf(inside) }));
  const suffix = `.${records.zone}`;
  let turn = 0;
  return (query, client) => {
    const inside = query.name.endsWith(suffix) || query.name === records.zone;
    // Types are whatever a client sends: only known ones have a number of their own.
    const type = typeNames.has(query.type) ? query.type : 0;
    count(requests, pack(type, inside, client.transport === 'tcp', client.address.includes(':')));
    const startMs = (turn++ & 15) === 0 ? clock.monotonic() : undefined;
    return then(next(query, client), answer => {
      if (startMs !== undefined) (inside ? inner : outer)?.observe((clock.monotonic() - startMs) / 1000);
      count(responses, pack(codeOf(answer), inside, false, false));
      return answer;
    });
  };
};

function pack(type: number, inside: boolean, tcp: boolean, six: boolean): number {
  return (type << 3) | (inside ? 4 : 0) | (tcp ? 2 : 0) | (six ? 1 : 0);
}

function unpack(key: number): { type: number; inside: boolean; tcp: boolean; six: boolean } {
  return { type: key >> 3, inside: (key & 4) !== 0, tcp: (key & 2) !== 0, six: (key & 1) !== 0 };
}

function count(counts: Map<number, number>, key: number): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
