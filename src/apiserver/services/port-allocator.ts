import type { Random } from '#base/random.ts';

/** Gives out node ports. One number may serve several protocols of one Service. */
export class PortAllocator {
  readonly first: number;
  readonly last: number;
  readonly #used = new Set<number>();
  readonly #random: Random;

  constructor(range: { readonly first: number; readonly last: number }, random: Random) {
    this.first = range.first;
    this.last = range.last;
    this.#random = random;
  }

  next(): number | undefined {
    const count = this.last - this.first + 1;
    // The lower ports are left to those who ask for a certain one (KEP-3668).
    const band = count <= 16 ? 0 : Math.min(128, Math.max(16, Math.floor(count / 32)));
    return this.#within(this.first + band, this.last) ?? this.#within(this.first, this.first + band - 1);
  }

  take(port: number): 'taken' | 'outside' | undefined {
    if (port < this.first || port > this.last) return 'outside';
    if (this.#used.has(port)) return 'taken';
    this.#used.add(port);
    return undefined;
  }

  release(port: number): void {
    this.#used.delete(port);
  }

  confirm(port: number): void {
    this.#used.add(port);
  }

  #within(first: number, last: number): number | undefined {
    const count = last - first + 1;
    if (count <= 0) return undefined;
    const start = Math.floor(this.#random.next() * count);
    for (let step = 0; step < count; step++) {
      const port = first + ((start + step) % count);
      if (this.#used.has(port)) continue;
      this.#used.add(port);
      return port;
    }
    return undefined;
  }
}
