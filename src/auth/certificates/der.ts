/** The few forms of ASN.1's DER that a certificate is written in. */

const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  nothing: 0x05,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** A value under any tag. */
export function tagged(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const length: number[] = [];
  for (let rest = content.length; rest > 0; rest >>>= 8) length.unshift(rest & 0xff);
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length, ...length]), content]);
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => tagged(tags.sequence, ...parts);
export const setOf = (...parts: readonly Uint8Array[]): Buffer => tagged(tags.set, ...parts);
export const octetString = (bytes: Uint8Array): Buffer => tagged(tags.octetString, bytes);
export const utf8String = (text: string): Buffer => tagged(tags.utf8String, Buffer.from(text));
export const yes: Buffer = tagged(tags.boolean, Buffer.from([0xff]));
export const nothing: Buffer = tagged(tags.nothing);

/** `unusedBits` at the end do not count. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return tagged(tags.bitString, Buffer.from([unusedBits]), bytes);
}

/** Positive: its first bit is kept clear. */
export function integer(bytes: Uint8Array): Buffer {
  const isNegative = ((bytes[0] ?? 0) & 0x80) !== 0;
  return tagged(tags.integer, ...(isNegative ? [Buffer.from([0])] : []), bytes);
}

/** `2.5.29.15` */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tagged(tags.objectIdentifier, Buffer.from(bytes));
}

/** To the second; two digits of the year until 2049, as RFC 5280 wants it. */
export function time(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return digits < '2050'
    ? tagged(tags.utcTime, Buffer.from(digits.slice(2)))
    : tagged(tags.generalizedTime, Buffer.from(digits));
}

/** The values inside of a constructed one, each with its tag and length. */
export function partsOf(der: Uint8Array): Buffer[] {
  const parts: Buffer[] = [];
  const bytes = Buffer.from(der.buffer, der.byteOffset, der.byteLength);
  for (let at = bytes.length - contentOf(bytes).length; at < bytes.length; ) {
    const length = lengthAt(bytes, at);
    parts.push(bytes.subarray(at, at + length));
    at += length;
  }
  return parts;
}

/** What is behind tag and length. */
export function contentOf(der: Uint8Array): Buffer {
  const bytes = Buffer.from(der.buffer, der.byteOffset, der.byteLength);
  const long = (bytes[1] ?? 0) & 0x80 ? (bytes[1] ?? 0) & 0x7f : 0;
  return bytes.subarray(2 + long);
}

function lengthAt(bytes: Buffer, at: number): number {
  const first = bytes.readUInt8(at + 1);
  if (first < 0x80) return 2 + first;
  const count = first & 0x7f;
  return 2 + count + bytes.readUIntBE(at + 2, count);
}
