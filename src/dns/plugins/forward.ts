import { createSocket } from 'node:dgram';
import { connect, isIP } from 'node:net';
import type { Clock } from '#base/clock.ts';
import { limits } from '#base/limits.ts';
import { argCount, durationMs, wholeNumber, wrong, zoneName, zoneOf, type Directive } from '../corefile.ts';
import { codeName } from '../dns-metrics.ts';
import {
  encodeForward,
  failure,
  parseResponse,
  responseCode,
  type Answer,
  type Query,
  type Response,
} from '../message.ts';
import type { Handler, Plugin, Scope, Upstream, Wrap } from '../plugin.ts';
import { parseResolvConf } from '../resolv-conf.ts';

/** Upstream's own: a server that says nothing for so long is passed over. */
const attemptMs = 2_000;
const deadlineMs = 5_000;
const upstreamsMax = 15;

interface Settings {
  readonly from: string;
  readonly except: readonly string[];
  readonly upstreams: readonly Upstream[];
  readonly forceTcp: boolean;
  readonly policy: 'random' | 'round_robin' | 'sequential';
  readonly inFlightMax: number;
  /** Answers with these codes send the query to the plugins behind. */
  readonly next: ReadonlySet<number>;
  /** Answers with these codes send it to the next server. */
  readonly failover: ReadonlySet<number>;
}

/** `forward FROM TO… { … }`: asks other servers; several lines serve several zones. */
export const forward: Plugin = (directives, scope) => {
  const wraps = directives.map(directive => asking(settingsOf(directive, scope)));
  return (next, context) => wraps.reduceRight<Handler>((behind, wrap) => wrap(behind, context), next);
};

function settingsOf(directive: Directive, { readFile, nodeUpstreams }: Scope): Settings {
  const [from, ...to] = directive.args;
  if (from === undefined || to.length === 0) throw wrong(directive, 'wrong argument count or unexpected line ending');
  let settings: Settings = {
    from: zoneName(directive, from),
    except: [],
    upstreams: to.flatMap(text => upstreamsOf(directive, text, readFile, nodeUpstreams)),
    forceTcp: false,
    policy: 'random',
    inFlightMax: limits.dnsForwardsInFlightMax,
    next: new Set(),
    // One that cannot answer this may be followed by one that can.
    failover: new Set([responseCode.SERVFAIL]),
  };
  if (settings.upstreams.length > upstreamsMax) throw wrong(directive, `more than ${upstreamsMax} servers`);
  for (const property of directive.block) {
    const { name, args } = property;
    switch (name) {
      case 'except':
        settings = { ...settings, except: [...settings.except, ...args.map(arg => zoneName(property, arg))] };
        break;
      case 'force_tcp':
        argCount(property, 0);
        settings = { ...settings, forceTcp: true };
        break;
      case 'policy': {
        const policy = (['random', 'round_robin', 'sequential'] as const).find(each => each === args[0]);
        if (!policy) throw wrong(property, `unknown policy ${JSON.stringify(args[0] ?? '')}`);
        settings = { ...settings, policy };
        break;
      }
      case 'max_concurrent': {
        argCount(property, 1);
        const asked = wholeNumber(property, args[0], 0, 1e9);
        const inFlightMax = asked === 0 ? limits.dnsForwardsInFlightMax : asked;
        settings = { ...settings, inFlightMax: Math.min(inFlightMax, limits.dnsForwardsInFlightMax) };
        break;
      }
      case 'next':
        settings = { ...settings, next: codesOf(property) };
        break;
      case 'failover':
        settings = { ...settings, failover: new Set([...settings.failover, ...codesOf(property)]) };
        break;
      // What is said by UDP is asked by UDP here anyhow.
      case 'prefer_udp':
        argCount(property, 0);
        break;
      // Each question has a socket of its own, and each silence counts: there is nothing to keep or to check.
      case 'expire':
      case 'health_check':
        durationMs(property, args[0]);
        break;
      case 'max_fails':
      case 'max_idle_conns':
        argCount(property, 1);
        wholeNumber(property, args[0], 0, 1e9);
        break;
      default:
        throw wrong(property, `the property ${JSON.stringify(name)} is not served`);
    }
  }
  return settings;
}

function upstreamsOf(
  directive: Directive,
  text: string,
  readFile: Scope['readFile'],
  nodeUpstreams: readonly Upstream[],
): readonly Upstream[] {
  if (text === '/etc/resolv.conf') return nodeUpstreams;
  if (text.startsWith('/')) {
    const found = parseResolvConf(readFile(directive, text), []);
    if (found.length === 0) throw wrong(directive, `no nameservers found in ${text}`);
    return found;
  }
  if (/^(tls|https|quic|grpc):/.test(text)) throw wrong(directive, `${text} is not served: only plain DNS is`);
  const plain = text.replace(/^dns:\/\//, '');
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(plain) ?? /^([^:]+):(\d+)$/.exec(plain);
  const address = bracketed?.[1] ?? plain;
  if (isIP(address) === 0) throw wrong(directive, `not an IP address or file: ${JSON.stringify(text)}`);
  return [{ address, port: bracketed?.[2] === undefined ? 53 : wholeNumber(directive, bracketed[2], 1, 65_535) }];
}

function codesOf(property: Directive): ReadonlySet<number> {
  if (property.args.length === 0) throw wrong(property, 'wrong argument count or unexpected line ending');
  return new Set(
    property.args.map(arg => {
      const name = arg.toUpperCase();
      if (!Object.hasOwn(responseCode, name)) throw wrong(property, `${JSON.stringify(arg)} is not a valid rcode`);
      return responseCode[name as keyof typeof responseCode];
    }),
  );
}

function asking(settings: Settings): Wrap {
  const { from, except, upstreams, forceTcp, policy, inFlightMax } = settings;
  return (next, { clock, random, metrics, lifetime }) => {
    if (upstreams.length === 0) return next;
    const { signal } = lifetime;
    let inFlight = 0;
    let preferred = policy === 'random' && upstreams.length > 1 ? Math.floor(random.next() * upstreams.length) : 0;
    const forwarded = async (query: Query): Promise<Answer | undefined> => {
      inFlight++;
      if (policy === 'round_robin') preferred = (preferred + 1) % upstreams.length;
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
            const response = await ask(upstream, query, id, forceTcp, clock, Math.min(attemptMs, leftMs), signal);
            metrics?.upstreamSeconds.observe(
              {
                proxy_name: 'forward',
                to: `${upstream.address}:${upstream.port}`,
                rcode: codeName(response.code),
              },
              (clock.monotonic() - sentMs) / 1000,
            );
            if (settings.failover.has(response.code) && attempt + 1 < upstreams.length) continue;
            // Who answers is asked on: the silent one before it would cost each question a wait.
            if (attempt > 0 && policy !== 'round_robin') preferred = place;
            if (settings.next.has(response.code)) return undefined;
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
    return (query, client) => {
      if (zoneOf(query.name, [from]) === undefined || zoneOf(query.name, except) !== undefined)
        return next(query, client);
      if (inFlight >= inFlightMax) {
        metrics?.rejects.inc();
        return failure(responseCode.REFUSED);
      }
      return forwarded(query).then(answer => answer ?? next(query, client));
    };
  };
}

async function ask(
  upstream: Upstream,
  query: Query,
  id: number,
  forceTcp: boolean,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Response> {
  if (forceTcp) return askByTcp(upstream, query, id, clock, timeoutMs, signal);
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
