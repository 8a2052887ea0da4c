import { limits } from '#base/limits.ts';
import { argCount, durationMs, only, wholeNumber, wrong, zoneName, zoneOf, type Directive } from '../corefile.ts';
import { codeOf, responseCode, type Answer, type Query } from '../message.ts';
import type { Plugin } from '../plugin.ts';

interface Kind {
  readonly capacity: number;
  readonly secondsMax: number;
  readonly secondsMin: number;
  /** In these zones nothing of the kind is kept. */
  readonly disabled: readonly string[];
}

interface Settings {
  readonly zones: readonly string[];
  readonly success: Kind;
  readonly denial: Kind;
  /** An upstream that fails is not asked again at once (RFC 2308, section 7.1: at most five minutes). */
  readonly failureSeconds: number;
  readonly keepTtl: boolean;
  /** How long an answer that is too old may still be given when there is no other; 0: not at all. */
  readonly staleMs: number;
}

type Kept = Extract<Answer, { kind: 'message' }>;

interface Entry {
  readonly answer: Answer;
  readonly storedMs: number;
  readonly untilMs: number;
  readonly bytes: number;
}

interface Store {
  readonly entries: Map<string, Entry>;
  bytes: number;
}

/**
 * `cache [TTL] [ZONES…] { … }`: keeps answers from outside for as long as they allow, and asks once for many who ask at the
 * same time. What comes from memory at once is not kept twice.
 */
export const cache: Plugin = (directives, { zones }) => {
  const settings = settingsOf(only(directives), zones);
  return (next, { clock, metrics }) => {
    const success: Store = { entries: new Map(), bytes: 0 };
    const denial: Store = { entries: new Map(), bytes: 0 };
    const asking = new Map<string, Promise<Answer>>();
    metrics?.cacheEntries.set('success', () => success.entries.size);
    metrics?.cacheEntries.set('denial', () => denial.entries.size);
    const drop = (store: Store, key: string, entry: Entry) => {
      store.entries.delete(key);
      store.bytes -= entry.bytes;
    };
    const keep = (key: string, query: Query, answer: Answer) => {
      const denied = isDenial(answer);
      const kind = denied ? settings.denial : settings.success;
      const ttlMs = 1000 * keepSeconds(answer, kind, settings.failureSeconds);
      if (ttlMs <= 0 || zoneOf(query.name, kind.disabled) !== undefined) return;
      for (const each of [success, denial]) {
        const old = each.entries.get(key);
        // A failure takes no place of what may yet be given when nothing else is there.
        if (old && settings.staleMs > 0 && codeOf(answer) === responseCode.SERVFAIL) return;
        if (old) drop(each, key, old);
      }
      const store = denied ? denial : success;
      const size = key.length + (answer.kind === 'message' ? answer.message.length : 0) + 200;
      const storedMs = clock.monotonic();
      store.entries.set(key, { answer, storedMs, untilMs: storedMs + ttlMs, bytes: size });
      store.bytes += size;
      // The oldest makes room: it has the least time left anyway.
      for (const [oldest, entry] of store.entries) {
        if (store.entries.size <= kind.capacity && store.bytes <= limits.dnsCacheBytesMax / 2) break;
        drop(store, oldest, entry);
      }
    };
    return (query, client) => {
      if (zoneOf(query.name, settings.zones) === undefined) return next(query, client);
      const key = keyOf(query);
      const nowMs = clock.monotonic();
      const store = success.entries.has(key) ? success : denial;
      const entry = store.entries.get(key);
      if (entry && entry.untilMs > nowMs) {
        if (metrics && store === denial) metrics.cacheDenials++;
        else if (metrics) metrics.cacheHits++;
        return settings.keepTtl ? entry.answer : aged(entry.answer, Math.floor((nowMs - entry.storedMs) / 1000));
      }
      const stale = entry && entry.untilMs + settings.staleMs > nowMs ? entry : undefined;
      if (entry && !stale) drop(store, key, entry);
      if (metrics) metrics.cacheMisses++;
      const known = asking.get(key);
      if (known) return known;
      const answer = next(query, client);
      if (!(answer instanceof Promise)) return answer;
      const instead = (): Answer | undefined => {
        if (!stale) return undefined;
        if (metrics) metrics.cacheStale++;
        return aged(stale.answer, ageMax);
      };
      const asked = answer
        .then(
          found => {
            if (codeOf(found) === responseCode.SERVFAIL && stale) return instead() ?? found;
            keep(key, query, found);
            return found;
          },
          (error: unknown) => {
            const found = instead();
            if (!found) throw error;
            return found;
          },
        )
        .finally(() => asking.delete(key));
      asking.set(key, asked);
      return asked;
    };
  };
};

/** Longer than any TTL: what is too old says 0. */
const ageMax = 0x7fff_ffff;
const staleMsDefault = 3_600_000;

function settingsOf(directive: Directive, serverZones: readonly string[]): Settings {
  const [first, ...rest] = directive.args;
  const secondsMax = /^\d+$/.test(first ?? '') ? wholeNumber(directive, first, 1, 1e9) : undefined;
  const named = secondsMax === undefined ? directive.args : rest;
  const capacity = limits.dnsCacheEntriesMax;
  let settings: Settings = {
    zones: named.length > 0 ? named.map(zone => zoneName(directive, zone)) : serverZones,
    success: { capacity, secondsMax: secondsMax ?? 3600, secondsMin: 0, disabled: [] },
    denial: { capacity, secondsMax: secondsMax ?? 1800, secondsMin: 0, disabled: [] },
    failureSeconds: 5,
    keepTtl: false,
    staleMs: 0,
  };
  for (const property of directive.block) {
    const { name, args } = property;
    switch (name) {
      case 'success':
      case 'denial': {
        argCount(property, 1, 3);
        const [size, max, min] = args;
        const kind = settings[name];
        settings = {
          ...settings,
          [name]: {
            ...kind,
            capacity: Math.min(wholeNumber(property, size, 1, 1e9), limits.dnsCacheEntriesMax),
            secondsMax: max === undefined ? kind.secondsMax : wholeNumber(property, max, 1, 1e9),
            secondsMin: min === undefined ? kind.secondsMin : wholeNumber(property, min, 0, 1e9),
          },
        };
        break;
      }
      case 'servfail':
        argCount(property, 1);
        settings = { ...settings, failureSeconds: durationMs(property, args[0]) / 1000 };
        if (settings.failureSeconds > 300) throw wrong(property, 'caching SERVFAIL responses over 5 minutes');
        break;
      case 'serve_stale':
        argCount(property, 0, 2);
        settings = { ...settings, staleMs: args[0] === undefined ? staleMsDefault : durationMs(property, args[0]) };
        // Upstream's other mode, which asks behind an old answer, is not served.
        if (args[1] !== undefined && args[1] !== 'verify') throw wrong(property, `the mode ${args[1]} is not served`);
        break;
      case 'disable': {
        const [what, ...zones] = args;
        if (what !== 'success' && what !== 'denial') throw wrong(property, 'success or denial can be disabled');
        const disabled = zones.length > 0 ? zones.map(zone => zoneName(property, zone)) : settings.zones;
        settings = { ...settings, [what]: { ...settings[what], disabled } };
        break;
      }
      case 'keepttl':
        argCount(property, 0);
        settings = { ...settings, keepTtl: true };
        break;
      default:
        throw wrong(property, `the property ${JSON.stringify(name)} is not served`);
    }
  }
  return settings;
}

function isDenial(answer: Answer): boolean {
  const code = codeOf(answer);
  if (code === responseCode.NXDOMAIN) return true;
  return code === responseCode.NOERROR && answer.kind === 'message' && answer.message.readUInt16BE(6) === 0;
}

/** The question in one case, with what else changes the answer. */
function keyOf({ message, questionEnd, checkingDisabled, edns }: Query): string {
  const question = message.toString('latin1', 12, questionEnd - 4).toLowerCase();
  const type = message.toString('latin1', questionEnd - 4, questionEnd - 2);
  return `${checkingDisabled ? 'c' : ''}${edns?.dnssec ? 'd' : ''} ${type}${question}`;
}

function keepSeconds(answer: Answer, kind: Kind, failureSeconds: number): number {
  if (codeOf(answer) === responseCode.SERVFAIL) return failureSeconds;
  if (answer.kind !== 'message' || answer.ttlSeconds === 0) return 0;
  return Math.max(kind.secondsMin, Math.min(answer.ttlSeconds, kind.secondsMax));
}

/** The same answer with the time it was kept taken off. */
function aged(answer: Answer, seconds: number): Answer {
  if (answer.kind === 'records' || seconds === 0) return answer;
  const message = Buffer.from(answer.message);
  for (const offset of answer.ttlOffsets)
    message.writeUInt32BE(Math.max(0, message.readUInt32BE(offset) - seconds), offset);
  return { ...answer, message } satisfies Kept;
}
