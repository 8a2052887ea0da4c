import { addressAt, cidrContains, formatIp, networkSize, parseCidr, parseIp, type IpNetwork } from '#base/ip.ts';
import type { Random } from '#base/random.ts';

export type AddressFamily = 'IPv4' | 'IPv6';

/** The addresses of one service network. The first ones are left to whoever asks for a certain one (KEP-3070). */
export class AddressRange {
  readonly cidr: string;
  readonly network: IpNetwork;
  readonly family: AddressFamily;
  readonly #size: number;
  readonly #bandSize: number;

  constructor(cidr: string) {
    const network = parseCidr(cidr);
    if (!network) throw new Error(`cannot read the service CIDR ${JSON.stringify(cidr)}: it is no network`);
    this.cidr = cidr;
    this.network = network;
    this.family = network.address.family === 4 ? 'IPv4' : 'IPv6';
    const size = networkSize(network);
    this.#size = size > BigInt(sizeMax) ? sizeMax : Number(size);
    this.#bandSize = this.#size <= 16 ? 1 : Math.min(256, Math.max(16, Math.floor(this.#size / 16)));
  }

  /** All of them, from a random one on: first the upper part, then what is left to those who ask. */
  *candidates(random: Random): Generator<string> {
    // The last address of an IPv4 network is its broadcast address, the first the network's own.
    const end = this.family === 'IPv4' ? this.#size - 1 : this.#size;
    yield* this.#within(this.#bandSize, end, random);
    yield* this.#within(1, Math.min(this.#bandSize, end), random);
  }

  contains(address: string): boolean {
    const parsed = parseIp(address);
    return parsed !== undefined && cidrContains(this.network, parsed);
  }

  /** False for the network's own address and its broadcast address. */
  isGiven(address: string): boolean {
    const size = networkSize(this.network);
    if (address === formatIp(addressAt(this.network, 0n))) return false;
    return this.family === 'IPv6' || address !== formatIp(addressAt(this.network, size - 1n));
  }

  *#within(first: number, end: number, random: Random): Generator<string> {
    const count = end - first;
    if (count <= 0) return;
    const start = Math.floor(random.next() * count);
    for (let step = 0; step < count; step++)
      yield formatIp(addressAt(this.network, BigInt(first + ((start + step) % count))));
  }
}

/** Of larger networks only so many addresses are looked at. */
const sizeMax = 1 << 20;
