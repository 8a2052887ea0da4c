import { addressAt, cidrContains, formatIp, networkSize, parseCidr, parseIp, type IpNetwork } from '#base/ip.ts';
import type { Random } from '#base/random.ts';

export type AllocationProblem = 'full' | 'taken' | 'outside' | 'malformed';

/** Gives out the addresses of one service network. The first ones are left to whoever asks for a certain one (KEP-3070). */
export class AddressAllocator {
  readonly network: IpNetwork;
  readonly family: 'IPv4' | 'IPv6';
  readonly #used = new Set<string>();
  readonly #random: Random;
  readonly #size: number;
  readonly #bandSize: number;

  constructor(cidr: string, random: Random) {
    const network = parseCidr(cidr);
    if (!network) throw new Error(`cannot read the service CIDR ${JSON.stringify(cidr)}: it is no network`);
    this.network = network;
    this.family = network.address.family === 4 ? 'IPv4' : 'IPv6';
    this.#random = random;
    const size = networkSize(network);
    this.#size = size > BigInt(sizeMax) ? sizeMax : Number(size);
    this.#bandSize = this.#size <= 16 ? 1 : Math.min(256, Math.max(16, Math.floor(this.#size / 16)));
  }

  /** Any free one, at random: from the upper part as long as there are some. */
  next(): string | undefined {
    // The last address of an IPv4 network is its broadcast address, the first the network's own.
    const end = this.family === 'IPv4' ? this.#size - 1 : this.#size;
    return this.#within(this.#bandSize, end) ?? this.#within(1, Math.min(this.#bandSize, end));
  }

  take(address: string): AllocationProblem | undefined {
    const parsed = parseIp(address);
    if (!parsed) return 'malformed';
    if (!cidrContains(this.network, parsed)) return 'outside';
    const canonical = formatIp(parsed);
    if (this.#used.has(canonical)) return 'taken';
    this.#used.add(canonical);
    return undefined;
  }

  release(address: string): void {
    this.#used.delete(address);
  }

  /** What stands in the store is taken, whatever was known before. */
  confirm(address: string): void {
    this.#used.add(address);
  }

  contains(address: string): boolean {
    const parsed = parseIp(address);
    return parsed !== undefined && cidrContains(this.network, parsed);
  }

  #within(first: number, end: number): string | undefined {
    const count = end - first;
    if (count <= 0) return undefined;
    const start = Math.floor(this.#random.next() * count);
    for (let step = 0; step < count; step++) {
      const address = formatIp(addressAt(this.network, BigInt(first + ((start + step) % count))));
      if (this.#used.has(address)) continue;
      this.#used.add(address);
      return address;
    }
    return undefined;
  }
}

/** Of larger networks only so many addresses are looked at. */
const sizeMax = 1 << 20;
