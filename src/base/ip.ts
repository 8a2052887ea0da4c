/** An IP address as a number. An IPv4-mapped IPv6 address stays in family 6 with `mapped` set. */
export interface IpAddress {
  readonly family: 4 | 6;
  readonly value: bigint;
  readonly mapped?: boolean;
}

export interface IpNetwork {
  /** With the bits beyond the prefix as they were written. */
  readonly address: IpAddress;
  readonly prefixLength: number;
}

/** Parses an address as Go's `netip.ParseAddr` without zones: no leading zeros in IPv4. */
export function parseIp(text: string): IpAddress | undefined {
  if (text.length > 45) return undefined;
  if (!text.includes(':')) {
    const value = parseIp4(text);
    return value === undefined ? undefined : { family: 4, value };
  }
  return parseIp6(text);
}

/** RFC 5952 for IPv6; mapped addresses as `::ffff:1.2.3.4`. */
export function formatIp({ family, value, mapped }: IpAddress): string {
  if (family === 4) return formatIp4(value);
  if (mapped) return `::ffff:${formatIp4(value & 0xffff_ffffn)}`;
  const groups = Array.from({ length: 8 }, (_, index) => Number((value >> BigInt(112 - index * 16)) & 0xffffn));
  const [start, length] = longestZeros(groups);
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map(group => group.toString(16))
      .join(':');
  return length < 2 ? hex(0, 8) : `${hex(0, start)}::${hex(start + length, 8)}`;
}

/** Parses `10.0.0.0/8` or `2001:db8::/32`; host bits are kept. */
export function parseCidr(text: string): IpNetwork | undefined {
  const slash = text.lastIndexOf('/');
  if (slash < 0) return undefined;
  const address = parseIp(text.slice(0, slash));
  const length = text.slice(slash + 1);
  if (!address || !/^(0|[1-9][0-9]{0,2})$/.test(length)) return undefined;
  const prefixLength = Number(length);
  return prefixLength > bitsOf(address) ? undefined : { address, prefixLength };
}

/** The first address of the network: host bits cleared. */
export function networkOf({ address, prefixLength }: IpNetwork): IpAddress {
  const hostBits = BigInt(bitsOf(address) - prefixLength);
  return { ...address, value: (address.value >> hostBits) << hostBits };
}

export function formatCidr({ address, prefixLength }: IpNetwork): string {
  return `${formatIp(address)}/${prefixLength}`;
}

export function cidrContains(network: IpNetwork, address: IpAddress): boolean {
  if (network.address.family !== address.family) return false;
  const hostBits = BigInt(bitsOf(address) - network.prefixLength);
  return network.address.value >> hostBits === address.value >> hostBits;
}

/** How many addresses a network has. */
export function networkSize({ address, prefixLength }: IpNetwork): bigint {
  return 1n << BigInt(bitsOf(address) - prefixLength);
}

/** The address at a place in the network; 0 is the network's own. */
export function addressAt(network: IpNetwork, offset: bigint): IpAddress {
  if (offset < 0n || offset >= networkSize(network))
    throw new RangeError(`cannot take address ${offset} of ${formatCidr(network)}: it has ${networkSize(network)}`);
  const first = networkOf(network);
  return { family: first.family, value: first.value + offset };
}

export function offsetIn(network: IpNetwork, address: IpAddress): bigint {
  return address.value - networkOf(network).value;
}

/** Of larger networks only so many addresses are handed out. */
const poolAddressesMax = 1 << 20;

/** Hands out the addresses of a network one by one, in turn: a released address rests as long as there are others. */
export class AddressPool {
  readonly network: IpNetwork;
  readonly #used: Uint32Array;
  readonly #reserved: ReadonlySet<number>;
  readonly #size: number;
  #next = 0;
  #free: number;

  constructor(network: IpNetwork, reserved: Iterable<string> = []) {
    const size = networkSize(network);
    this.network = network;
    this.#size = size > BigInt(poolAddressesMax) ? poolAddressesMax : Number(size);
    this.#used = new Uint32Array(Math.ceil(this.#size / 32));
    this.#free = this.#size;
    const places = new Set<number>();
    for (const address of reserved) {
      const place = this.#placeOf(address);
      if (place !== undefined && this.#occupy(place)) places.add(place);
    }
    this.#reserved = places;
  }

  get free(): number {
    return this.#free;
  }

  /** `undefined` when all are taken. */
  allocate(): string | undefined {
    if (this.#free === 0) return undefined;
    for (let step = 0; step < this.#size; step++) {
      const place = (this.#next + step) % this.#size;
      // A full word is passed in one step.
      if (place % 32 === 0 && this.#used[place >> 5] === 0xffff_ffff && step + 32 < this.#size) {
        step += 31;
        continue;
      }
      if (!this.#occupy(place)) continue;
      this.#next = (place + 1) % this.#size;
      return formatIp(addressAt(this.network, BigInt(place)));
    }
    return undefined;
  }

  /** Takes a certain address; false when it is taken already or not in the network. */
  take(address: string): boolean {
    const place = this.#placeOf(address);
    return place !== undefined && this.#occupy(place);
  }

  release(address: string): void {
    const place = this.#placeOf(address);
    if (place === undefined || this.#reserved.has(place)) return;
    const bit = 1 << (place & 31);
    const word = this.#used[place >> 5] ?? 0;
    if ((word & bit) === 0) return;
    this.#used[place >> 5] = word & ~bit;
    this.#free++;
  }

  #occupy(place: number): boolean {
    const bit = 1 << (place & 31);
    const word = this.#used[place >> 5] ?? 0;
    if ((word & bit) !== 0) return false;
    this.#used[place >> 5] = word | bit;
    this.#free--;
    return true;
  }

  #placeOf(address: string): number | undefined {
    const parsed = parseIp(address);
    if (!parsed || !cidrContains(this.network, parsed)) return undefined;
    const place = offsetIn(this.network, parsed);
    return place < BigInt(this.#size) ? Number(place) : undefined;
  }
}

function bitsOf(address: IpAddress): number {
  return address.family === 4 ? 32 : 128;
}

function parseIp4(text: string): bigint | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!match) return undefined;
  let value = 0;
  for (const part of match.slice(1)) {
    if ((part.length > 1 && part.startsWith('0')) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return BigInt(value);
}

function parseIp6(text: string): IpAddress | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = groupsOf(halves[0] as string, halves.length === 1);
  const tail = halves.length === 2 ? groupsOf(halves[1] as string, true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const value = groups.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n);
  return value >> 32n === 0xffffn ? { family: 6, value, mapped: true } : { family: 6, value };
}

/** 16-bit groups; the last one may be an IPv4 address, which is two. */
function groupsOf(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (last && index === parts.length - 1 && part.includes('.')) {
      const value = parseIp4(part);
      if (value === undefined) return undefined;
      groups.push(Number(value >> 16n), Number(value & 0xffffn));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

function formatIp4(value: bigint): string {
  const number = Number(value);
  return `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`;
}

function longestZeros(groups: readonly number[]): readonly [start: number, length: number] {
  let best: [number, number] = [0, 0];
  for (let start = 0; start < groups.length; start++) {
    let end = start;
    while (groups[end] === 0) end++;
    if (end - start > best[1]) best = [start, end - start];
    if (end > start) start = end;
  }
  return best;
}
