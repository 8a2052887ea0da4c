import { createHash } from 'node:crypto';
import { seededRandom, type Random } from '#base/random.ts';

/** A source of chance of its own for each purpose, so that one more throw here changes nothing there. */
export function chanceFor(seed: number, purpose: string): Random {
  return seededRandom(createHash('sha256').update(`${seed}/${purpose}`).digest().readUInt32LE(0));
}

export function pick<Item>(random: Random, items: readonly Item[]): Item | undefined {
  return items[Math.floor(random.next() * items.length)];
}

/** A whole number from `least` to `most`, both included. */
export function between(random: Random, least: number, most: number): number {
  return least + Math.floor(random.next() * (most - least + 1));
}

export function happens(random: Random, probability: number): boolean {
  return random.next() < probability;
}
