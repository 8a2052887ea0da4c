import { randomBytes, randomUUID } from 'node:crypto';

/** Chance as a parameter. Production code gets `systemRandom`; tests and the simulator get `seededRandom`. */
export interface Random {
  /** A number in [0, 1). Not for secrets. */
  next(): number;
  /** A version 4 UUID. */
  uuid(): string;
  /** Random bytes; fit for secrets only from `systemRandom`. */
  bytes(length: number): Uint8Array;
}

export const systemRandom: Random = {
  next: () => Math.random(),
  uuid: () => randomUUID(),
  bytes: length => randomBytes(length),
};

/** The same seed gives the same run. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  // mulberry32: small, fast, and good enough for a simulation.
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const bytes = (length: number) => Uint8Array.from({ length }, () => Math.floor(next() * 256));
  return { next, bytes, uuid: () => uuidFrom(bytes(16)) };
}

/** The alphabet of generated names: no vowels, so that no words appear; no characters that look alike. */
const suffixAlphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** Random characters as upstream puts them behind a generateName. */
export function nameSuffix(random: Random, length = 5): string {
  let suffix = '';
  for (let index = 0; index < length; index++)
    suffix += suffixAlphabet[Math.floor(random.next() * suffixAlphabet.length)];
  return suffix;
}

function uuidFrom(bytes: Uint8Array): string {
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Buffer.from(bytes).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
