import { Counter, Gauge } from 'prom-client';
import { limits } from '#base/limits.ts';
import { codeOf, responseCode, type Answer, type Query } from '../message.ts';
import { serverLabel, type Plugin } from '../plugin.ts';

/** What CoreDNS' usual `cache 30` says: nothing is kept longer. */
const ttlSecondsMax = 30;
/** An upstream that fails is not asked again at once (RFC 2308, section 7.1: at most five minutes). */
const failureSeconds = 2;

type Kept = Extract<Answer, { kind: 'message' }>;

interface Entry {
  readonly answer: Answer;
  readonly storedMs: number;
  readonly untilMs: number;
  readonly bytes: number;
}

/** Keeps answers from outside for as long as they allow, and asks once for many who ask at the same time. */
export const cache: Plugin = (next, { clock, registry }) => {
  const entries = new Map<string, Entry>();
  const asking = new Map<string, Promise<Answer>>();
  let [bytes, hits, denials, misses] = [0, 0, 0, 0];
  if (registry) {
    const labels = { server: serverLabel, zones: '.', view: '' };
    new Counter({
      name: 'coredns_cache_hits_total',
      help: 'The count of cache hits',
      labelNames: ['server', 'type', 'zones', 'view'],
      registers: [registry],
      collect() {
        this.reset();
        this.inc({ ...labels, type: 'success' }, hits);
        this.inc({ ...labels, type: 'denial' }, denials);
      },
    });
    new Counter({
      name: 'coredns_cache_misses_total',
      help: 'The count of cache misses',
      labelNames: ['server', 'zones', 'view'],
      registers: [registry],
      collect() {
        this.reset();
        this.inc(labels, misses);
      },
    });
    new Gauge({
      name: 'coredns_cache_entries',
      help: 'The number of elements in the cache',
      labelNames: ['server', 'type', 'zones', 'view'],
      registers: [registry],
      collect() {
        this.set({ ...labels, type: 'success' }, entries.size);
      },
    });
  }
  const drop = (key: string, entry: Entry) => {
    entries.delete(key);
    bytes -= entry.bytes;
  };
  const keep = (key: string, answer: Answer) => {
    const ttlMs = 1000 * keepSeconds(answer);
    if (ttlMs <= 0) return;
    const old = entries.get(key);
    if (old) drop(key, old);
    const size = key.length + (answer.kind === 'message' ? answer.message.length : 0) + 200;
    const storedMs = clock.monotonic();
    entries.set(key, { answer, storedMs, untilMs: storedMs + ttlMs, bytes: size });
    bytes += size;
    // The oldest makes room: it has the least time left anyway.
    for (const [oldest, entry] of entries) {
      if (entries.size <= limits.dnsCacheEntriesMax && bytes <= limits.dnsCacheBytesMax) break;
      drop(oldest, entry);
    }
  };
  return (query, client) => {
    const key = keyOf(query);
    const entry = entries.get(key);
    const nowMs = clock.monotonic();
    if (entry && entry.untilMs > nowMs) {
      if (codeOf(entry.answer) === responseCode.NXDOMAIN) denials++;
      else hits++;
      return aged(entry.answer, Math.floor((nowMs - entry.storedMs) / 1000));
    }
    if (entry) drop(key, entry);
    misses++;
    const known = asking.get(key);
    if (known) return known;
    const answer = next(query, client);
    if (!(answer instanceof Promise)) return answer;
    const asked = answer
      .then(found => {
        keep(key, found);
        return found;
      })
      .finally(() => asking.delete(key));
    asking.set(key, asked);
    return asked;
  };
};

/** The question in one case, with what else changes the answer. */
function keyOf({ message, questionEnd, checkingDisabled, edns }: Query): string {
  const question = message.toString('latin1', 12, questionEnd - 4).toLowerCase();
  const type = message.toString('latin1', questionEnd - 4, questionEnd - 2);
  return `${checkingDisabled ? 'c' : ''}${edns?.dnssec ? 'd' : ''} ${type}${question}`;
}

function keepSeconds(answer: Answer): number {
  if (codeOf(answer) === responseCode.SERVFAIL) return failureSeconds;
  return answer.kind === 'message' ? Math.min(answer.ttlSeconds, ttlSecondsMax) : 0;
}

/** The same answer with the time it was kept taken off. */
function aged(answer: Answer, seconds: number): Answer {
  if (answer.kind === 'records' || seconds === 0) return answer;
  const message = Buffer.from(answer.message);
  for (const offset of answer.ttlOffsets)
    message.writeUInt32BE(Math.max(0, message.readUInt32BE(offset) - seconds), offset);
  return { ...answer, message } satisfies Kept;
}
