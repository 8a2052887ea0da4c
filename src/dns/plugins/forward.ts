import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { Counter, Histogram } from 'prom-client';
import type { Clock } from '#base/clock.ts';
import { limits } from '#base/limits.ts';
import {
  encodeForward,
  failure,
  parseResponse,
  responseCode,
  type Answer,
  type Query,
  type Response,
} from '../message.ts';
import type { Plugin, Upstream } from '../plugin.ts';

/** Upstream's own: a server that says nothing for so long is passed over. */
const attemptMs = 2_000;
const deadlineMs = 5_000;

/** Asks the servers of the node's resolv.conf. */
export const forward: Plugin = (next, { upstreams, clock, random, registry, lifetime }) => {
  if (upstreams.length === 0) return next;
  const { signal } = lifetime;
  let inFlight = 0;
  let preferred = 0;
  const rejects = registry && rejectsCounter(registry);
  const durations = registry && durationHistogram(registry);
  return async (query): Promise<Answer> => {
    if (inFlight >= limits.dnsForwardsInFlightMax) {
      rejects?.inc();
      return failure(responseCode.REFUSED);
    }
    inFlight++;
    try {
      const startMs = clock.monotonic();
      let last: unknown;
      for (let attempt = 0; attempt < upstreams.length * 2; attempt++) {
        const leftMs = deadlineMs - (clock.monotonic() - startMs);
        if (leftMs <= 0) break;
        signal.throwIfAborted();
        const place = (preferred + attempt) % upstreams.length;
        const upstream = upstreams[place] as Upstream;
        const id = Buffer.from(random.bytes(2)).readUInt16BE(0);
        try {
          const sentMs = clock.monotonic();
          const response = await ask(upstream, query, id, clock, Math.min(attemptMs, leftMs), signal);
          durations?.observe(
            { proxy_name: 'forward', to: `${upstream.address}:${upstream.port}`, rcode: codeName(response.code) },
            (clock.monotonic() - sentMs) / 1000,
          );
          // One that cannot answer this may be followed by one that can.
          if (response.code === responseCode.SERVFAIL && attempt + 1 < upstreams.length) continue;
          if (attempt > 0) preferred = place;
          const { message, ttlSeconds, ttlOffsets } = response;
          return { kind: 'message', message, ttlSeconds, ttlOffsets };
        } catch (error) {
          last = error;
        }
      }
      throw new Error(`cannot forward ${query.name}: no upstream server answers`, { cause: last });
    } finally {
      inFlight--;
    }
  };
};

async function ask(
  upstream: Upstream,
  query: Query,
  id: number,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Response> {
  const response = await askByUdp(upstream, query, id, clock, timeoutMs, signal);
  return response.truncated ? askByTcp(upstream, query, id, clock, timeoutMs, signal) : response;
}

/** A socket a question: its port, like the id, is nothing that a forger knows. */
function askByUdp(
  { address, port }: Upstream,
  query: Query,
  id: number,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const finish = (settle: () => void) => {
      cancel();
      signal.removeEventListener('abort', aborted);
      socket.removeAllListeners();
      socket.on('error', () => undefined);
      socket.close();
      settle();
    };
    const failed = (error: Error) => finish(() => reject(error));
    const aborted = () => failed(signal.reason as Error);
    const cancel = clock.after(timeoutMs, () => failed(new Error(`no answer from ${address} within ${timeoutMs} ms`)));
    signal.addEventListener('abort', aborted, { once: true });
    socket.on('error', failed);
    socket.on('message', message => {
      const response = parseResponse(message, query, id);
      // Anything else is forged or late: the answer may still come.
      if (response) finish(() => resolve(response));
    });
    socket.connect(port, address, () => socket.send(encodeForward(query, id)));
  });
}

function askByTcp(
  { address, port }: Upstream,
  query: Query,
  id: number,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, signal });
    let received = Buffer.alloc(0);
    const finish = (settle: () => void) => {
      cancel();
      socket.destroy();
      settle();
    };
    const failed = (error: Error) => finish(() => reject(error));
    const cancel = clock.after(timeoutMs, () => failed(new Error(`no answer from ${address} within ${timeoutMs} ms`)));
    socket.on('error', failed);
    socket.on('end', () => failed(new Error(`${address} has closed the connection`)));
    socket.on('data', (part: Buffer) => {
      received = Buffer.concat([received, part]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const response = parseResponse(received.subarray(2, 2 + received.readUInt16BE(0)), query, id);
      if (response) finish(() => resolve(response));
      else failed(new Error(`${address} has sent something else than the answer`));
    });
    const message = encodeForward(query, id);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(message.length, 0);
    socket.write(Buffer.concat([length, message]));
  });
}

function codeName(code: number): string {
  return Object.entries(responseCode).find(([, value]) => value === code)?.[0] ?? String(code);
}

type Registry = NonNullable<Parameters<Plugin>[1]['registry']>;

function rejectsCounter(registry: Registry): Counter {
  return new Counter({
    name: 'coredns_forward_max_concurrent_rejects_total',
    help: 'Queries that were refused because too many were under way',
    registers: [registry],
  });
}

function durationHistogram(registry: Registry): Histogram<'proxy_name' | 'to' | 'rcode'> {
  return new Histogram({
    name: 'coredns_proxy_request_duration_seconds',
    help: 'How long an upstream server took to answer',
    labelNames: ['proxy_name', 'to', 'rcode'],
    buckets: durationBuckets,
    registers: [registry],
  });
}

export const durationBuckets = [
  0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192,
];
