/**
 * The part of etcd's protobuf API (v3, `etcdserverpb`) that the store needs, straight to and from the shapes it works with.
 * Encoders write from the end to the start, so the fields of a message stand in falling order.
 */
import {
  position,
  Reader,
  writeByte,
  writeBytes,
  writeInteger,
  writeString,
  writeVarint,
  written,
} from '#api/machinery/wire.ts';

export interface KeyValue {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** A view into the message it came in. */
  readonly value: Buffer;
}

export interface RangeRequest {
  readonly key: string;
  /** Absent: the one key. */
  readonly end?: Uint8Array;
  readonly limit?: number;
  readonly revision?: number;
}

export interface RangeResponse {
  readonly revision: number;
  readonly entries: readonly KeyValue[];
  /** Of the whole range, whatever the limit. */
  readonly count: number;
}

/** Compare-and-swap of one key: one comparison, one write, and what is there when it is otherwise. */
export interface SwapRequest {
  readonly key: string;
  /** 0: there must be no entry. */
  readonly modRevision?: number;
  /** How often the key was written since it was made. */
  readonly version?: number;
  /** Undefined deletes. */
  readonly value: Uint8Array | undefined;
  readonly lease?: bigint;
}

export interface SwapResponse {
  readonly revision: number;
  readonly swapped: boolean;
  /** What is there, when it was not swapped; what was deleted, when a deletion was. */
  readonly found: KeyValue | undefined;
}

export interface WatchCreateRequest {
  /** Chosen by the client, unique in its stream. */
  readonly watchId: number;
  readonly key: string;
  readonly end: Uint8Array;
  readonly startRevision: number;
}

export interface WatchedEvent {
  readonly deleted: boolean;
  readonly entry: KeyValue;
  readonly previous: KeyValue | undefined;
}

export interface WatchResponse {
  readonly revision: number;
  readonly watchId: number;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  /** More of the same revision follows. */
  readonly fragment: boolean;
  readonly events: readonly WatchedEvent[];
}

/** The key behind every key: a range up to it is open. */
export const endOfKeys: Uint8Array = Uint8Array.of(0);

/** The first key that does not start with the prefix. */
export function endOfPrefix(prefix: string): Uint8Array {
  const bytes = Buffer.from(prefix);
  for (let at = bytes.length - 1; at >= 0; at--) {
    if (bytes[at] === 0xff) continue;
    bytes[at] = (bytes[at] as number) + 1;
    return bytes.subarray(0, at + 1);
  }
  return endOfKeys;
}

export function encodeRange(request: RangeRequest): Buffer {
  return encoded(() => writeRange(request));
}

export function encodeSwap({ key, modRevision, version, value, lease }: SwapRequest): Buffer {
  return encoded(() => {
    nested(3, () => nested(1, () => writeRange({ key })));
    if (value) {
      nested(2, () =>
        nested(2, () => {
          if (lease !== undefined) integer(3, lease);
          bytes(2, value);
          string(1, key);
        }),
      );
    } else {
      nested(2, () =>
        nested(3, () => {
          integer(3, 1);
          string(1, key);
        }),
      );
    }
    nested(1, () => {
      if (version === undefined) integer(6, modRevision ?? 0);
      else integer(4, version);
      string(3, key);
      if (version === undefined) integer(2, compareModRevision);
    });
  });
}

export function encodeCompaction(revision: number): Buffer {
  return encoded(() => integer(1, revision));
}

/** With progress notifications, what was deleted, and large answers in parts. */
export function encodeWatchCreate({ watchId, key, end, startRevision }: WatchCreateRequest): Buffer {
  return encoded(() =>
    nested(1, () => {
      integer(8, 1);
      integer(7, watchId);
      integer(6, 1);
      integer(4, 1);
      integer(3, startRevision);
      bytes(2, end);
      string(1, key);
    }),
  );
}

export function encodeWatchCancel(watchId: number): Buffer {
  return encoded(() => nested(2, () => integer(1, watchId)));
}

export function encodeWatchProgress(): Buffer {
  return encoded(() => nested(3, () => {}));
}

export function encodeLeaseGrant(ttlSeconds: number): Buffer {
  return encoded(() => integer(1, ttlSeconds));
}

export function encodeNothing(): Buffer {
  return Buffer.alloc(0);
}

export function decodeRange(message: Buffer): RangeResponse {
  return readRange(new Reader(message));
}

export function decodeSwap(message: Buffer): SwapResponse {
  const reader = new Reader(message);
  let revision = 0;
  let swapped = false;
  let found: KeyValue | undefined;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === tagOf(1, 2)) revision = readHeader(reader.message());
    else if (tag === tagOf(2, 0)) swapped = reader.varint() !== 0;
    else if (tag === tagOf(3, 2)) found = readResponseOp(reader.message());
    else reader.skip(tag & 7);
  }
  return { revision, swapped, found };
}

/** Only the header: compaction. */
export function decodeHeader(message: Buffer): number {
  const reader = new Reader(message);
  let revision = 0;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === tagOf(1, 2)) revision = readHeader(reader.message());
    else reader.skip(tag & 7);
  }
  return revision;
}

export function decodeWatch(message: Buffer): WatchResponse {
  const reader = new Reader(message);
  let [revision, watchId, compactRevision] = [0, 0, 0];
  let [created, canceled, fragment] = [false, false, false];
  let cancelReason = '';
  const events: WatchedEvent[] = [];
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === tagOf(11, 2)) events.push(readEvent(reader.message()));
    else if (tag === tagOf(1, 2)) revision = readHeader(reader.message());
    else if (tag === tagOf(2, 0)) watchId = Number(reader.integer());
    else if (tag === tagOf(3, 0)) created = reader.varint() !== 0;
    else if (tag === tagOf(4, 0)) canceled = reader.varint() !== 0;
    else if (tag === tagOf(5, 0)) compactRevision = reader.varint();
    else if (tag === tagOf(6, 2)) cancelReason = reader.string();
    else if (tag === tagOf(7, 0)) fragment = reader.varint() !== 0;
    else reader.skip(tag & 7);
  }
  return { revision, watchId, created, canceled, compactRevision, cancelReason, fragment, events };
}

export function decodeLeaseGrant(message: Buffer): { readonly id: bigint; readonly ttlSeconds: number } {
  const reader = new Reader(message);
  let id = 0n;
  let ttlSeconds = 0;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === tagOf(2, 0)) id = BigInt(reader.integer());
    else if (tag === tagOf(3, 0)) ttlSeconds = reader.varint();
    else reader.skip(tag & 7);
  }
  return { id, ttlSeconds };
}

export function decodeStatus(message: Buffer): { readonly version: string; readonly databaseBytes: number } {
  const reader = new Reader(message);
  let version = '';
  let databaseBytes = 0;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === tagOf(2, 2)) version = reader.string();
    else if (tag === tagOf(3, 0)) databaseBytes = reader.varint();
    else reader.skip(tag & 7);
  }
  return { version, databaseBytes };
}

export function decodeSnapshot(message: Buffer): { readonly remainingBytes: number; readonly blob: Buffer } {
  const reader = new Reader(message);
  let remainingBytes = 0;
  let blob = Buffer.alloc(0);
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === tagOf(2, 0)) remainingBytes = reader.varint();
    else if (tag === tagOf(3, 2)) blob = reader.view() as Buffer<ArrayBuffer>;
    else reader.skip(tag & 7);
  }
  return { remainingBytes, blob };
}

/** Compare.CompareTarget. */
const compareModRevision = 2;

function tagOf(field: number, wireType: number): number {
  return (field << 3) | wireType;
}

function encoded(write: () => void): Buffer {
  const made = written(write);
  return Buffer.from(made.buffer, made.byteOffset, made.byteLength);
}

function nested(field: number, write: () => void): void {
  const end = position();
  write();
  writeVarint(position() - end);
  writeByte(tagOf(field, 2));
}

function integer(field: number, value: number | bigint): void {
  writeInteger(value);
  writeByte(tagOf(field, 0));
}

function string(field: number, value: string): void {
  writeString(value);
  writeByte(tagOf(field, 2));
}

function bytes(field: number, value: Uint8Array): void {
  writeBytes(value);
  writeByte(tagOf(field, 2));
}

function writeRange({ key, end, limit, revision }: RangeRequest): void {
  if (revision !== undefined) integer(4, revision);
  if (limit !== undefined) integer(3, limit);
  if (end) bytes(2, end);
  string(1, key);
}

function readHeader(reader: Reader): number {
  let revision = 0;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === tagOf(3, 0)) revision = reader.varint();
    else reader.skip(tag & 7);
  }
  return revision;
}

function readRange(reader: Reader): RangeResponse {
  let [revision, count] = [0, 0];
  const entries: KeyValue[] = [];
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === tagOf(2, 2)) entries.push(readKeyValue(reader.message()));
    else if (tag === tagOf(1, 2)) revision = readHeader(reader.message());
    else if (tag === tagOf(4, 0)) count = reader.varint();
    else reader.skip(tag & 7);
  }
  return { revision, entries, count };
}

function readResponseOp(reader: Reader): KeyValue | undefined {
  let found: KeyValue | undefined;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === tagOf(1, 2)) [found] = readRange(reader.message()).entries;
    else if (tag === tagOf(3, 2)) found = readDeletion(reader.message());
    else reader.skip(tag & 7);
  }
  return found;
}

function readDeletion(reader: Reader): KeyValue | undefined {
  let found: KeyValue | undefined;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === tagOf(3, 2)) found = readKeyValue(reader.message());
    else reader.skip(tag & 7);
  }
  return found;
}

function readEvent(reader: Reader): WatchedEvent {
  let deleted = false;
  let entry = noEntry;
  let previous: KeyValue | undefined;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === tagOf(1, 0)) deleted = reader.varint() === 1;
    else if (tag === tagOf(2, 2)) entry = readKeyValue(reader.message());
    else if (tag === tagOf(3, 2)) previous = readKeyValue(reader.message());
    else reader.skip(tag & 7);
  }
  return { deleted, entry, previous };
}

const noEntry: KeyValue = { key: '', createRevision: 0, modRevision: 0, version: 0, value: Buffer.alloc(0) };

function readKeyValue(reader: Reader): KeyValue {
  let key = '';
  let [createRevision, modRevision, version] = [0, 0, 0];
  let { value } = noEntry;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === tagOf(1, 2)) key = reader.string();
    else if (tag === tagOf(2, 0)) createRevision = reader.varint();
    else if (tag === tagOf(3, 0)) modRevision = reader.varint();
    else if (tag === tagOf(4, 0)) version = reader.varint();
    else if (tag === tagOf(5, 2)) value = reader.view();
    else reader.skip(tag & 7);
  }
  return { key, createRevision, modRevision, version, value };
}
