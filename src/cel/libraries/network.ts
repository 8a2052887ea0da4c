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
  switch (/[.:%]/.exec(text)?.[0]) {
    case '.':
      return parse(ip4Problem(text));
    case ':':
      return parse(ip6Problem(text));
    case '%':
      return parse('missing IPv6 address');
    default:
      return parse('unable to parse IP');
  }
}

function ip4Problem(text: string): string {
  let value = 0;
  let digits = 0;
  let dots = 0;
  for (let index = 0; index < text.length; index++) {
    const character = text[index] as string;
    if (/[0-9]/.test(character)) {
      if (digits === 1 && value === 0) return 'IPv4 field has octet with leading zero';
      value = value * 10 + Number(character);
      digits++;
      if (value > 255) return 'IPv4 field has value >255';
    } else if (character === '.') {
      const empty = index === 0 || index === text.length - 1 || text[index - 1] === '.';
      if (empty) return `IPv4 field must have at least one digit (at ${goQuoted(text.slice(index))})`;
      if (dots === 3) return 'IPv4 address too long';
      dots++;
      value = 0;
      digits = 0;
    } else return `unexpected character (at ${goQuoted(text.slice(index))})`;
  }
  return 'IPv4 address too short';
}

function ip6Problem(text: string): string {
  const zone = text.indexOf('%');
  if (zone === text.length - 1) return 'zone must be a non-empty string';
  let rest = zone < 0 ? text : text.slice(0, zone);
  const at = (problem: string) => `${problem} (at ${goQuoted(rest)})`;
  let ellipsis = rest.startsWith('::');
  if (ellipsis) rest = rest.slice(2);
  let bytes = 0;
  while (bytes < 16 && rest !== '') {
    const digits = /^[0-9a-fA-F]*/.exec(rest)?.[0].length ?? 0;
    if (digits > 4) return at('each group must have 4 or less digits');
    if (digits === 0) return at('each colon-separated field must have at least one digit');
    if (rest[digits] === '.') return embeddedProblem(rest, bytes, ellipsis) ?? at('trailing garbage after address');
    bytes += 2;
    rest = rest.slice(digits);
    if (rest === '') break;
    if (!rest.startsWith(':')) return at('unexpected character, want colon');
    if (rest.length === 1) return at('colon must be followed by more characters');
    rest = rest.slice(1);
    if (rest.startsWith(':')) {
      if (ellipsis) return at('multiple :: in address');
      ellipsis = true;
      rest = rest.slice(1);
    }
  }
  if (rest !== '') return at('trailing garbage after address');
  return bytes < 16 ? 'address string too short' : 'the :: must expand to at least one field of zeros';
}

function embeddedProblem(rest: string, bytes: number, ellipsis: boolean): string | undefined {
  if (!ellipsis && bytes !== 12) {
    return `embedded IPv4 address must replace the final 2 fields of the address (at ${goQuoted(rest)})`;
  }
  if (bytes > 12) return `too many hex fields to fit an embedded IPv4 at the end of the address (at ${goQuoted(rest)})`;
  return parseIp(rest) === undefined ? ip4Problem(rest) : undefined;
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
