/** Hands out the IPv4 addresses of a range, each to one holder at a time; freed ones only after the range went round. */
export class Addresses {
  readonly #base: number;
  readonly #size: number;
  readonly #taken = new Set<number>();
  #next = 1;

  constructor(cidr: string) {
    const [address = '', bits = '32'] = cidr.split('/');
    const octets = address.split('.').map(Number);
    const prefix = Number(bits);
    if (octets.length !== 4 || octets.some(octet => !(octet >= 0 && octet <= 255)) || !(prefix >= 0 && prefix <= 30))
      throw new Error(`cannot hand out addresses of ${cidr}: not an IPv4 range`);
    const mask = prefix === 0 ? 0 : (0xffff_ffff << (32 - prefix)) >>> 0;
    this.#base = (octets.reduce((sum, octet) => sum * 256 + octet, 0) & mask) >>> 0;
    this.#size = 2 ** (32 - prefix);
  }

  /** `undefined` when all are taken. */
  take(): string | undefined {
    for (let tried = 0; tried < this.#size; tried++) {
      const offset = this.#next;
      // Neither the network's own address nor the broadcast address.
      this.#next = offset + 1 >= this.#size - 1 ? 1 : offset + 1;
      if (this.#taken.has(offset)) continue;
      this.#taken.add(offset);
      const value = this.#base + offset;
      return [24, 16, 8, 0].map(shift => (value >>> shift) & 255).join('.');
    }
    return undefined;
  }

  release(address: string): void {
    const value = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
    this.#taken.delete(value - this.#base);
  }
}
