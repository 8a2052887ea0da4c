import { parseIp } from '#base/ip.ts';

// The wire format of DNS (RFC 1035, 2782, 6891), as much of it as a server for a cluster needs. Answers for cluster names
// are put together from records that are encoded once; answers from elsewhere pass as they are.

export const recordType = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  AXFR: 252,
  ANY: 255,
} as const;

export const responseCode = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;

const internetClass = 1;
const headerBytes = 12;
const nameBytesMax = 255;
const labelBytesMax = 63;
/** What passes everywhere without fragments (DNS flag day 2020). */
const ednsBytesMax = 1232;
const plainBytesMax = 512;

/** A question of a client. */
export interface Query {
  readonly id: number;
  /** Lower case, without the last dot; empty for the root. */
  readonly name: string;
  readonly type: number;
  /** As it came, from the header on; the answer repeats the question in the client's own upper and lower case. */
  readonly message: Buffer;
  readonly questionEnd: number;
  readonly recursionDesired: boolean;
  readonly checkingDisabled: boolean;
  readonly edns: Edns | undefined;
}

export interface Edns {
  readonly version: number;
  readonly udpBytes: number;
  readonly dnssec: boolean;
}

/** A record in wire format. */
export interface Record {
  readonly type: number;
  readonly wire: Buffer;
}

export interface Lasting {
  isCurrent(): boolean;
  /** An answer was given again without asking anybody. */
  again?(): void;
}

export type Answer =
  | {
      readonly kind: 'records';
      readonly code: number;
      readonly authoritative: boolean;
      readonly answers: readonly Record[];
      readonly authority: readonly Record[];
      readonly additional: readonly Record[];
      /** Whoever asks the same gets the same bytes, as long as this says so. */
      readonly lasting?: Lasting;
    }
  /** From elsewhere: a whole message without OPT, whose question is as long as the client's. */
  | {
      readonly kind: 'message';
      readonly message: Buffer;
      /** How long it may be kept; 0: not at all. */
      readonly ttlSeconds: number;
      /** Where the TTLs of its records are. */
      readonly ttlOffsets: readonly number[];
    };

/** `undefined`: not to be answered at all; with `code`: to be refused with it. */
export type Parsed =
  | { readonly query: Query; readonly code?: undefined }
  | { readonly code: number; readonly message: Buffer }
  | undefined;

export function parseQuery(message: Buffer): Parsed {
  if (message.length < headerBytes) return undefined;
  const flags = message.readUInt16BE(2);
  const isResponse = 0x8000;
  if ((flags & isResponse) !== 0) return undefined;
  if ((flags & 0x7800) !== 0) return { code: responseCode.NOTIMP, message };
  if (message.readUInt16BE(4) !== 1 || message.readUInt16BE(6) !== 0) return { code: responseCode.FORMERR, message };
  let name = '';
  let at = headerBytes;
  for (let length = message[at]; length !== 0; length = message[at]) {
    // No pointers: there is nothing before a question to point to.
    if (length === undefined || length > labelBytesMax || at + 1 + length >= message.length)
      return { code: responseCode.FORMERR, message };
    const label = message.toString('latin1', at + 1, at + 1 + length);
    name += name === '' ? label : `.${label}`;
    at += 1 + length;
    if (at - headerBytes >= nameBytesMax) return { code: responseCode.FORMERR, message };
  }
  const questionEnd = at + 5;
  if (questionEnd > message.length) return { code: responseCode.FORMERR, message };
  if (message.readUInt16BE(at + 3) !== internetClass) return { code: responseCode.REFUSED, message };
  const additional = message.readUInt16BE(10);
  const edns = additional === 0 ? undefined : findEdns(message, questionEnd, message.readUInt16BE(8) + additional);
  if (edns === 'malformed') return { code: responseCode.FORMERR, message };
  return {
    query: {
      id: message.readUInt16BE(0),
      name: name.toLowerCase(),
      type: message.readUInt16BE(at + 1),
      message,
      questionEnd,
      recursionDesired: (flags & 0x0100) !== 0,
      checkingDisabled: (flags & 0x0010) !== 0,
      edns,
    },
  };
}

/** The question of a query of our own. */
export function questionOf(name: string, type: number): Query {
  const encoded = encodeName(name);
  const message = Buffer.alloc(headerBytes + encoded.length + 4);
  message.writeUInt16BE(0x0100, 2);
  message.writeUInt16BE(1, 4);
  encoded.copy(message, headerBytes);
  message.writeUInt16BE(type, headerBytes + encoded.length);
  message.writeUInt16BE(internetClass, headerBytes + encoded.length + 2);
  return {
    id: 0,
    name: name.toLowerCase().replace(/\.$/, ''),
    type,
    message,
    questionEnd: message.length,
    recursionDesired: true,
    checkingDisabled: false,
    edns: undefined,
  };
}

/** The client's query, for another name or type. */
export function askedOtherwise(query: Query, name: string, type: number): Query {
  const { id, recursionDesired, checkingDisabled, edns } = query;
  return { ...questionOf(name, type), id, recursionDesired, checkingDisabled, edns };
}

/** The query as it goes to another server: the same question with our id and our own EDNS. */
export function encodeForward(query: Query, id: number): Buffer {
  const question = query.message.subarray(headerBytes, query.questionEnd);
  const message = Buffer.alloc(headerBytes + question.length + optBytes);
  message.writeUInt16BE(id, 0);
  message.writeUInt16BE(0x0100 | (query.checkingDisabled ? 0x0010 : 0), 2);
  message.writeUInt16BE(1, 4);
  message.writeUInt16BE(1, 10);
  question.copy(message, headerBytes);
  writeOpt(message, headerBytes + question.length, 0, query.edns?.dnssec ?? false);
  return message;
}

/** The whole answer for the client, cut to what it takes over UDP. */
export function encodeAnswer(query: Query, answer: Answer, transport: 'udp' | 'tcp'): Buffer {
  const bytesMax = transport === 'tcp' ? 65_535 : udpBytesMax(query);
  return answer.kind === 'message' ? adapt(query, answer.message, bytesMax) : assemble(query, answer, bytesMax);
}

/** For a message that is no query: its header with a code. */
export function encodeRefusal(message: Buffer, code: number): Buffer {
  const header = Buffer.alloc(headerBytes);
  message.copy(header, 0, 0, 4);
  header.writeUInt16BE((message.readUInt16BE(2) & 0x7900) | 0x8000 | (code & 15), 2);
  return header;
}

export function failure(code: number): Answer {
  return { kind: 'records', code, authoritative: false, answers: [], authority: [], additional: [] };
}

export function codeOf(answer: Answer): number {
  return answer.kind === 'records' ? answer.code : (answer.message[3] ?? 0) & 15;
}

/** `owner` absent: the name that was asked for. */
export function encodeRecord(type: number, ttlSeconds: number, data: Buffer, owner?: string): Record {
  const name = owner === undefined ? askedName : encodeName(owner);
  const wire = Buffer.allocUnsafe(name.length + 10 + data.length);
  let at = name.copy(wire);
  at = wire.writeUInt16BE(type, at);
  at = wire.writeUInt16BE(internetClass, at);
  at = wire.writeUInt32BE(ttlSeconds, at);
  at = wire.writeUInt16BE(data.length, at);
  data.copy(wire, at);
  return { type, wire };
}

/** A pointer to the question's name. */
const askedName = Buffer.from([0xc0, headerBytes]);

/** A or AAAA, by the address. */
export function addressRecord(ip: string, ttlSeconds: number, owner?: string): Record {
  const address = parseIp(ip);
  if (!address) throw new Error(`cannot make an address record: ${ip} is no address`);
  const digits = address.family === 4 ? 8 : 32;
  const data = Buffer.from(address.value.toString(16).padStart(digits, '0'), 'hex');
  return encodeRecord(address.family === 4 ? recordType.A : recordType.AAAA, ttlSeconds, data, owner);
}

export function nameRecord(type: number, target: string, ttlSeconds: number, owner?: string): Record {
  return encodeRecord(type, ttlSeconds, encodeName(target), owner);
}

export function serviceRecord(
  service: { readonly priority: number; readonly weight: number; readonly port: number; readonly target: string },
  ttlSeconds: number,
): Record {
  const fixed = Buffer.alloc(6);
  fixed.writeUInt16BE(service.priority, 0);
  fixed.writeUInt16BE(service.weight, 2);
  fixed.writeUInt16BE(service.port, 4);
  return encodeRecord(recordType.SRV, ttlSeconds, Buffer.concat([fixed, encodeName(service.target)]));
}

export function textRecord(text: string, ttlSeconds: number): Record {
  const bytes = Buffer.from(text);
  return encodeRecord(recordType.TXT, ttlSeconds, Buffer.concat([Buffer.from([bytes.length]), bytes]));
}

export function authorityRecord(zone: string, serial: number, ttlSeconds: number): Record {
  const times = Buffer.alloc(20);
  for (const [index, value] of [serial, 7200, 1800, 86_400, ttlSeconds].entries())
    times.writeUInt32BE(value, index * 4);
  const names = [encodeName(`ns.dns.${zone}`), encodeName(`hostmaster.${zone}`)];
  return encodeRecord(recordType.SOA, ttlSeconds, Buffer.concat([...names, times]), zone);
}

export function encodeName(name: string): Buffer {
  const labels = name.replace(/\.$/, '').split('.');
  if (labels.length === 1 && labels[0] === '') return Buffer.from([0]);
  const parts: Buffer[] = [];
  for (const label of labels) {
    const bytes = Buffer.from(label, 'latin1');
    if (bytes.length === 0 || bytes.length > labelBytesMax)
      throw new Error(`cannot encode the name ${JSON.stringify(name)}: a label has ${bytes.length} bytes`);
    parts.push(Buffer.from([bytes.length]), bytes);
  }
  const encoded = Buffer.concat([...parts, Buffer.from([0])]);
  if (encoded.length > nameBytesMax) throw new Error(`cannot encode the name ${JSON.stringify(name)}: it is too long`);
  return encoded;
}

/** What a message from another server holds. */
export interface Response {
  readonly code: number;
  readonly truncated: boolean;
  /** The message without OPT. */
  readonly message: Buffer;
  /** Where the TTLs of its records are. */
  readonly ttlOffsets: readonly number[];
  /** How long it may be kept; 0: not at all. */
  readonly ttlSeconds: number;
  readonly records: readonly RawRecord[];
}

export interface RawRecord {
  readonly section: 'answer' | 'authority' | 'additional';
  readonly nameOffset: number;
  readonly type: number;
  readonly ttlSeconds: number;
  readonly dataOffset: number;
  readonly dataBytes: number;
}

/** `undefined` when it is no answer to the query, or malformed. */
export function parseResponse(message: Buffer, query: Query, id: number): Response | undefined {
  const questionBytes = query.questionEnd - headerBytes;
  if (message.length < query.questionEnd || message.readUInt16BE(0) !== id) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & 0x8000) === 0 || message.readUInt16BE(4) !== 1) return undefined;
  const asked = query.message.toString('latin1', headerBytes, headerBytes + questionBytes - 4).toLowerCase();
  if (message.toString('latin1', headerBytes, query.questionEnd - 4).toLowerCase() !== asked) return undefined;
  if (message.readUInt32BE(query.questionEnd - 4) !== query.message.readUInt32BE(query.questionEnd - 4))
    return undefined;
  const code = flags & 15;
  const truncated = (flags & 0x0200) !== 0;
  const records: RawRecord[] = [];
  let at = query.questionEnd;
  let end = message.length;
  let additionalKept = 0;
  for (const section of ['answer', 'authority', 'additional'] as const) {
    const countOffset = section === 'answer' ? 6 : section === 'authority' ? 8 : 10;
    for (let left = message.readUInt16BE(countOffset); left > 0; left--) {
      const record = readRecord(message, at, section);
      if (!record) return undefined;
      if (record.type === recordType.OPT) {
        // Ours is put behind it again; what follows it is dropped, for its names may point anywhere.
        end = at;
        left = 0;
        break;
      }
      records.push(record);
      if (section === 'additional') additionalKept++;
      at = record.dataOffset + record.dataBytes;
    }
  }
  const kept = Buffer.from(message.subarray(0, Math.min(end, at)));
  kept.writeUInt16BE(additionalKept, 10);
  const ttlOffsets = records.map(record => record.dataOffset - 6);
  return { code, truncated, message: kept, ttlOffsets, ttlSeconds: ttlOf(code, kept, records), records };
}

/** The records of the answer section of a message that has been parsed before. */
export function answersIn(message: Buffer): readonly RawRecord[] {
  const records: RawRecord[] = [];
  let at = (skipName(message, headerBytes) ?? message.length) + 4;
  for (let left = message.readUInt16BE(6); left > 0; left--) {
    const record = readRecord(message, at, 'answer');
    if (!record) break;
    records.push(record);
    at = record.dataOffset + record.dataBytes;
  }
  return records;
}

/** A name in a message, its pointers followed. `undefined`: malformed. */
export function readName(message: Buffer, offset: number): string | undefined {
  let name = '';
  let at = offset;
  for (let jumps = 0; jumps < 64; ) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return name;
    if ((length & 0xc0) === 0xc0) {
      if (at + 1 >= message.length) return undefined;
      at = message.readUInt16BE(at) & 0x3fff;
      jumps++;
      continue;
    }
    if (length > labelBytesMax || at + 1 + length > message.length || name.length > nameBytesMax) return undefined;
    name += `${name === '' ? '' : '.'}${message.toString('latin1', at + 1, at + 1 + length)}`;
    at += 1 + length;
  }
  return undefined;
}

/** The records of a message that has been parsed before, without pointers: they may move to another message. */
export function detachedRecords(message: Buffer): Extract<Answer, { kind: 'records' }> {
  const sections: Record[][] = [[], [], []];
  let at = (skipName(message, headerBytes) ?? message.length) + 4;
  for (const [index, records] of sections.entries())
    for (let left = message.readUInt16BE(6 + 2 * index); left > 0; left--) {
      const raw = readRecord(message, at, 'answer');
      const owner = raw && readName(message, raw.nameOffset);
      if (!raw || owner === undefined) break;
      at = raw.dataOffset + raw.dataBytes;
      const data = detachedData(message, raw);
      if (data) records.push(encodeRecord(raw.type, raw.ttlSeconds, data, owner));
    }
  const [answers = [], authority = [], additional = []] = sections;
  return { kind: 'records', code: (message[3] ?? 0) & 15, authoritative: false, answers, authority, additional };
}

/** Of each type with names in its data: what stands before them, and how many there are. */
const namesInData = new Map<number, readonly [before: number, names: number]>([
  [recordType.NS, [0, 1]],
  [recordType.CNAME, [0, 1]],
  [recordType.PTR, [0, 1]],
  [recordType.SOA, [0, 2]],
  [recordType.MX, [2, 1]],
  [recordType.SRV, [6, 1]],
]);

function detachedData(message: Buffer, { type, dataOffset, dataBytes }: RawRecord): Buffer | undefined {
  const [before, names] = namesInData.get(type) ?? [0, 0];
  const end = dataOffset + dataBytes;
  const parts = [message.subarray(dataOffset, dataOffset + before)];
  let at = dataOffset + before;
  for (let left = names; left > 0; left--) {
    const name = readName(message, at);
    const behind = skipName(message, at);
    if (name === undefined || behind === undefined || behind > end) return undefined;
    parts.push(encodeName(name));
    at = behind;
  }
  parts.push(message.subarray(at, end));
  return Buffer.concat(parts);
}

/** A record for another owner (null: the question's name), or with another TTL, or another name in its data. */
export function changeRecord(
  record: Record,
  change: { readonly owner?: string | null; readonly ttlSeconds?: number; readonly name?: (name: string) => string },
): Record {
  const { wire, type } = record;
  const fixed = skipName(wire, 0) ?? 0;
  const { owner: wanted } = change;
  const owner = wanted === undefined ? wire.subarray(0, fixed) : wanted === null ? askedName : encodeName(wanted);
  const head = Buffer.from(wire.subarray(fixed, fixed + 10));
  if (change.ttlSeconds !== undefined) head.writeUInt32BE(change.ttlSeconds, 4);
  let data = wire.subarray(fixed + 10);
  const place = namesInData.get(type);
  if (change.name && place) {
    const [before, names] = place;
    const parts = [data.subarray(0, before)];
    let at = before;
    for (let left = names; left > 0; left--) {
      parts.push(encodeName(change.name(readName(data, at) ?? '')));
      at = skipName(data, at) ?? data.length;
    }
    data = Buffer.concat([...parts, data.subarray(at)]);
    head.writeUInt16BE(data.length, 8);
  }
  return { type, wire: Buffer.concat([owner, head, data]) };
}

/** The owner of a record; `undefined` where it is the question's name. */
export function ownerOf({ wire }: Record): string | undefined {
  return ((wire[0] ?? 0) & 0xc0) === 0xc0 ? undefined : readName(wire, 0);
}

export function ttlSecondsOf({ wire }: Record): number {
  return wire.readUInt32BE((skipName(wire, 0) ?? 0) + 4);
}

function ttlOf(code: number, message: Buffer, records: readonly RawRecord[]): number {
  const answers = records.filter(record => record.section === 'answer');
  if (code === responseCode.NOERROR && answers.length > 0) return Math.min(...answers.map(record => record.ttlSeconds));
  if (code !== responseCode.NOERROR && code !== responseCode.NXDOMAIN) return 0;
  // RFC 2308: a denial lasts as long as its SOA says.
  const soa = records.find(record => record.section === 'authority' && record.type === recordType.SOA);
  if (!soa || soa.dataBytes < 20) return 0;
  return Math.min(soa.ttlSeconds, message.readUInt32BE(soa.dataOffset + soa.dataBytes - 4));
}

function readRecord(message: Buffer, offset: number, section: RawRecord['section']): RawRecord | undefined {
  const fixed = skipName(message, offset);
  if (fixed === undefined || fixed + 10 > message.length) return undefined;
  const dataBytes = message.readUInt16BE(fixed + 8);
  const dataOffset = fixed + 10;
  if (dataOffset + dataBytes > message.length) return undefined;
  return {
    section,
    nameOffset: offset,
    type: message.readUInt16BE(fixed),
    ttlSeconds: message.readUInt32BE(fixed + 4) & 0x7fff_ffff,
    dataOffset,
    dataBytes,
  };
}

function skipName(message: Buffer, offset: number): number | undefined {
  for (let at = offset; ; ) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return at + 1;
    if ((length & 0xc0) === 0xc0) return at + 2;
    if (length > labelBytesMax) return undefined;
    at += 1 + length;
  }
}

function findEdns(message: Buffer, offset: number, records: number): Edns | undefined | 'malformed' {
  let found: Edns | undefined;
  let at = offset;
  for (let left = records; left > 0; left--) {
    const record = readRecord(message, at, 'additional');
    if (!record) return 'malformed';
    if (record.type === recordType.OPT) {
      if (found) return 'malformed';
      const fixed = record.dataOffset - 10;
      found = {
        udpBytes: message.readUInt16BE(fixed + 2),
        version: message[fixed + 5] ?? 0,
        dnssec: ((message[fixed + 6] ?? 0) & 0x80) !== 0,
      };
    }
    at = record.dataOffset + record.dataBytes;
  }
  return found;
}

function udpBytesMax({ edns }: Query): number {
  return edns ? Math.max(plainBytesMax, Math.min(edns.udpBytes, ednsBytesMax)) : plainBytesMax;
}

const optBytes = 11;

function writeOpt(message: Buffer, offset: number, code: number, dnssec: boolean): void {
  message[offset] = 0;
  message.writeUInt16BE(recordType.OPT, offset + 1);
  message.writeUInt16BE(ednsBytesMax, offset + 3);
  message[offset + 5] = code >> 4;
  message[offset + 6] = 0;
  message.writeUInt16BE(dnssec ? 0x8000 : 0, offset + 7);
  message.writeUInt16BE(0, offset + 9);
}

function assemble(query: Query, answer: Extract<Answer, { kind: 'records' }>, bytesMax: number): Buffer {
  const room = bytesMax - (query.edns ? optBytes : 0);
  let length = query.questionEnd;
  let truncated = false;
  const fit = (records: readonly Record[]): number => {
    let count = 0;
    for (const { wire } of records) {
      if (length + wire.length > room) break;
      length += wire.length;
      count++;
    }
    return count;
  };
  const answers = fit(answer.answers);
  if (answers < answer.answers.length) truncated = true;
  const authority = truncated ? 0 : fit(answer.authority);
  // Additional records are a courtesy: without them nothing is missing.
  const additional = truncated ? 0 : fit(answer.additional);
  const message = Buffer.allocUnsafe(length + (query.edns ? optBytes : 0));
  query.message.copy(message, headerBytes, headerBytes, query.questionEnd);
  message.writeUInt16BE(query.id, 0);
  message[2] = 0x80 | (answer.authoritative ? 4 : 0) | (truncated ? 2 : 0) | (query.recursionDesired ? 1 : 0);
  message[3] = 0x80 | (query.checkingDisabled ? 0x10 : 0) | (answer.code & 15);
  message.writeUInt16BE(1, 4);
  message.writeUInt16BE(answers, 6);
  message.writeUInt16BE(authority, 8);
  message.writeUInt16BE(additional + (query.edns ? 1 : 0), 10);
  let at = query.questionEnd;
  for (let index = 0; index < answers; index++) at += (answer.answers[index] as Record).wire.copy(message, at);
  for (let index = 0; index < authority; index++) at += (answer.authority[index] as Record).wire.copy(message, at);
  for (let index = 0; index < additional; index++) at += (answer.additional[index] as Record).wire.copy(message, at);
  if (query.edns) writeOpt(message, at, answer.code, query.edns.dnssec);
  return message;
}

function adapt(query: Query, original: Buffer, bytesMax: number): Buffer {
  const whole = original.length + (query.edns ? optBytes : 0);
  const truncated = whole > bytesMax;
  const kept = truncated ? query.questionEnd : original.length;
  const message = Buffer.allocUnsafe(kept + (query.edns ? optBytes : 0));
  original.copy(message, 0, 0, kept);
  query.message.copy(message, headerBytes, headerBytes, query.questionEnd);
  message.writeUInt16BE(query.id, 0);
  // The other server's word is not ours to claim authority for.
  message[2] = 0x80 | (truncated ? 2 : 0) | (query.recursionDesired ? 1 : 0);
  message[3] = 0x80 | ((original[3] ?? 0) & 0x2f) | (query.checkingDisabled ? 0x10 : 0);
  if (truncated) {
    message.writeUInt32BE(0, 6);
    message.writeUInt16BE(0, 10);
  }
  if (query.edns) {
    message.writeUInt16BE(message.readUInt16BE(10) + 1, 10);
    writeOpt(message, kept, 0, query.edns.dnssec);
  }
  return message;
}
