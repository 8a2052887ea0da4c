import {
  cidrContains,
  formatCidr,
  formatIp,
  type IpAddress,
  type IpNetwork,
  networkOf,
  parseCidr,
  parseIp,
} from '#base/ip.ts';
import { global, type Library, method, type Overload } from '../functions.ts';
import { boolType, type CelType, intType, opaqueOf, stringType } from '../types.ts';
import { CelError, Opaque, type Result } from '../values.ts';
import { goQuoted } from './format-string.ts';

export const ipType: CelType = opaqueOf('net.IP');
export const cidrType: CelType = opaqueOf('net.CIDR');

export class Ip extends Opaque {
  readonly type: CelType = ipType;
  override readonly size: number;
  readonly address: IpAddress;

  constructor(address: IpAddress) {
    super();
    this.address = address;
    this.size = address.family === 4 ? 4 : 16;
  }

  equals(other: Opaque): boolean {
    return other instanceof Ip && sameAddress(this.address, other.address);
  }
}

export class Cidr extends Opaque {
  readonly type: CelType = cidrType;
  override readonly size: number;
  readonly network: IpNetwork;

  constructor(network: IpNetwork) {
    super();
    this.network = network;
    this.size = Math.ceil(network.prefixLength / 8);
  }

  equals(other: Opaque): boolean {
    return (
      other instanceof Cidr &&
      sameAddress(this.network.address, other.network.address) &&
      this.network.prefixLength === other.network.prefixLength
    );
  }
}

/** Kubernetes' own functions on IP addresses and networks. */
export const networkLibrary: Library = [
  [
    'ip',
    global('string_to_ip', [stringType], ipType, (text: string) => {
      const address = readIp(text);
      return address instanceof CelError ? address : new Ip(address);
    }),
    method('cidr_ip', [cidrType], ipType, ({ network }: Cidr) => new Ip(network.address)),
  ],
  ['isIP', global('is_ip', [stringType], boolType, (text: string) => !(readIp(text) instanceof CelError))],
  ['family', method('ip_family', [ipType], intType, ({ address }: Ip) => address.family)],
  [
    'ip.isCanonical',
    global('ip_is_canonical', [stringType], boolType, (text: string) => {
      const address = readIp(text);
      return address instanceof CelError ? address : formatIp(address) === text;
    }),
  ],
  ['isUnspecified', test('ip_is_unspecified', ({ value }) => value === 0n)],
  ['isLoopback', test('ip_is_loopback', isLoopback)],
  ['isLinkLocalMulticast', test('ip_is_link_local_multicast', isLinkLocalMulticast)],
  ['isLinkLocalUnicast', test('ip_is_link_local_unicast', isLinkLocalUnicast)],
  ['isGlobalUnicast', test('ip_is_global_unicast', isGlobalUnicast)],
  [
    'string',
    global('ip_to_string', [ipType], stringType, ({ address }: Ip) => formatIp(address)),
    global('cidr_to_string', [cidrType], stringType, ({ network }: Cidr) => formatCidr(network)),
  ],
  ['cidr', global('string_to_cidr', [stringType], cidrType, cidr)],
  ['isCIDR', global('is_cidr', [stringType], boolType, (text: string) => !(readCidr(text) instanceof CelError))],
  [
    'containsIP',
    method('cidr_contains_ip_string', [cidrType, stringType], boolType, ({ network }: Cidr, text: string) => {
      const address = readIp(text);
      return address instanceof CelError ? address : cidrContains(network, address);
    }),
    method('cidr_contains_ip_ip', [cidrType, ipType], boolType, ({ network }: Cidr, { address }: Ip) =>
      cidrContains(network, address),
    ),
  ],
  [
    'containsCIDR',
    method('cidr_contains_cidr_string', [cidrType, stringType], boolType, (outer: Cidr, text: string) => {
      const inner = cidr(text);
      return inner instanceof Cidr ? containsCidr(outer, inner) : inner;
    }),
    method('cidr_contains_cidr', [cidrType, cidrType], boolType, containsCidr),
  ],
  ['prefixLength', method('cidr_prefix_length', [cidrType], intType, ({ network }: Cidr) => network.prefixLength)],
  [
    'masked',
    method(
      'cidr_masked',
      [cidrType],
      cidrType,
      ({ network }: Cidr) => new Cidr({ address: networkOf(network), prefixLength: network.prefixLength }),
    ),
  ],
];

function sameAddress(left: IpAddress, right: IpAddress): boolean {
  return left.family === right.family && left.value === right.value;
}

function test(id: string, holds: (address: IpAddress) => boolean): Overload {
  return method(id, [ipType], boolType, ({ address }: Ip) => holds(address));
}

function readIp(text: string): IpAddress | CelError {
  const zone = text.includes(':') ? text.indexOf('%') : -1;
  if (zone >= 0 && parseIp(text.slice(0, zone)) !== undefined && zone < text.length - 1) {
    return new CelError(`IP address ${goQuoted(text)} with zone value is not allowed`);
  }
  const address = parseIp(text);
  if (address === undefined) {
    return new CelError(
      `IP Address ${goQuoted(text)} parse error during conversion from string: ${addressProblem(text)}`,
    );
  }
  if (address.mapped) return new CelError(`IPv4-mapped IPv6 address ${goQuoted(text)} is not allowed`);
  return address;
}

/** What Go's netip says of a text that is no address. */
function addressProblem(text: string): string {
  const parse = (problem: string) => `ParseAddr(${goQuoted(text)}): ${problem}`;
  const mark = /[.:%]/.exec(text)?.[0];
  if (mark === undefined) return parse('unable to parse IP');
  if (mark === '%') return parse('missing IPv6 address');
  if (mark === ':') return parse(ip6Problem(text));
  for (const [index, part] of text.split('.').entries()) {
    if (index > 3) return parse('IPv4 address too long');
    if (/[^0-9]/.test(part)) return parse(`unexpected character (at ${goQuoted(text.slice(text.search(/[^0-9.]/)))})`);
    if (part === '')
      return parse(`IPv4 field must have at least one digit (at ${goQuoted(text.slice(emptyField(text)))})`);
    if (part.length > 1 && part.startsWith('0')) return parse('IPv4 field has octet with leading zero');
    if (Number(part) > 255) return parse('IPv4 field has value >255');
  }
  return parse('IPv4 address too short');
}

function emptyField(text: string): number {
  return text.startsWith('.') ? 0 : Math.max(0, text.indexOf('..') + 1);
}

function ip6Problem(text: string): string {
  if (text.split(':').some(each => /^[0-9a-fA-F]{5,}$/.test(each))) {
    const long = text.split(':').findIndex(each => each.length > 4);
    return `each group must have 4 or less digits (at ${goQuoted(text.split(':').slice(long).join(':'))})`;
  }
  if (text.split('::').length > 2) {
    return `multiple :: in address (at ${goQuoted(text.slice(text.lastIndexOf('::')).replace(/^:/, ''))})`;
  }
  const strange = text.search(/[^0-9a-fA-F:.]/);
  if (strange >= 0) return `unexpected character, want colon (at ${goQuoted(text.slice(strange))})`;
  return 'address string too short';
}

function readCidr(text: string): IpNetwork | CelError {
  const network = parseCidr(text);
  if (network === undefined) {
    return new CelError(`network address parse error during conversion from string: ${prefixProblem(text)}`);
  }
  return network.address.mapped ? new CelError(`IPv4-mapped IPv6 address ${goQuoted(text)} is not allowed`) : network;
}

function prefixProblem(text: string): string {
  const parse = (problem: string) => `netip.ParsePrefix(${goQuoted(text)}): ${problem}`;
  const slash = text.lastIndexOf('/');
  if (slash < 0) return parse(`no '/'`);
  const address = text.slice(0, slash);
  if (parseIp(address) === undefined) return parse(addressProblem(address));
  const bits = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]*)$/.test(bits)) return parse(`bad bits after slash: ${goQuoted(bits)}`);
  return parse('prefix length out of range');
}

function cidr(text: string): Result {
  const network = readCidr(text);
  if (!(network instanceof CelError)) return new Cidr(network);
  return new CelError(`network address parse error during conversion from string: ${network.message}`);
}

function containsCidr(outer: Cidr, inner: Cidr): boolean {
  return cidrContains(outer.network, inner.network.address) && outer.network.prefixLength <= inner.network.prefixLength;
}

function isLoopback({ family, value }: IpAddress): boolean {
  return family === 4 ? value >> 24n === 127n : value === 1n;
}

function isLinkLocalMulticast({ family, value }: IpAddress): boolean {
  return family === 4 ? value >> 8n === 0xe00000n : value >> 120n === 0xffn && ((value >> 112n) & 0xfn) === 2n;
}

function isLinkLocalUnicast({ family, value }: IpAddress): boolean {
  return family === 4 ? value >> 16n === 0xa9fen : value >> 118n === 0xfe80n >> 6n;
}

function isMulticast({ family, value }: IpAddress): boolean {
  return family === 4 ? value >> 28n === 0xen : value >> 120n === 0xffn;
}

function isGlobalUnicast(address: IpAddress): boolean {
  const broadcast = address.family === 4 && address.value === 0xffff_ffffn;
  return (
    address.value !== 0n && !broadcast && !isLoopback(address) && !isMulticast(address) && !isLinkLocalUnicast(address)
  );
}
