import { limits } from '#base/limits.ts';
import type { JsonDraft } from './decode.ts';
import { decodeJson, encodeJson, setOwn } from './json.ts';
import { apiVersionOf } from './kind.ts';
import { canonicalQuantity } from './quantity.ts';
import {
  resolve,
  type Field,
  type Json,
  type ListSchema,
  type MapSchema,
  type ObjectSchema,
  type ScalarSchema,
  type Schema,
} from './schema.ts';
import { formatMicroTime, formatTime, secondsOf } from './time.ts';
import {
  position,
  Reader,
  writeByte,
  writeBytes,
  writeDouble,
  writeInteger,
  writeRaw,
  writeString,
  writeVarint,
  written,
} from './wire.ts';
import { isAlwaysWritten } from './zero.ts';

/** What an encoder needs to know of a kind. Status, DeleteOptions and the like have such a value without being kinds. */
export interface WireKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly schema: ObjectSchema;
}

export interface WireListMeta {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** What Kubernetes puts before protobuf: `k8s\0`. */
export const protobufMagic: Uint8Array = Uint8Array.of(0x6b, 0x38, 0x73, 0x00);

/** The object as a client gets it: magic, then runtime.Unknown around the message. */
export function encodeProtobuf(kind: WireKind, object: unknown): Uint8Array {
  const write = writerOf(kind.schema);
  return written(() => writeEnvelope(kind, () => write(object as JsonDraft)));
}

/** Puts an encoded message into its envelope: magic and runtime.Unknown. */
export function wrapMessage(kind: Omit<WireKind, 'schema'>, message: Uint8Array): Uint8Array {
  return written(() => writeEnvelope(kind, () => writeRaw(message)));
}

/** The bare message of a value. Fields stand in ascending order of their tags, maps in order of their keys, as in Go. */
export function encodeMessage(schema: Schema, value: unknown): Uint8Array {
  const write = writerOf(schema as ObjectSchema);
  return written(() => write(value as JsonDraft));
}

/** Opens the envelope. `raw` is a view into the bytes. Throws an Error when it is none. */
export function decodeProtobuf(bytes: Uint8Array): { apiVersion: string; kind: string; raw: Uint8Array } {
  if (protobufMagic.some((byte, index) => bytes[index] !== byte))
    throw new Error('provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]');
  const reader = new Reader(bytes, protobufMagic.length);
  let [apiVersion, kind] = ['', ''];
  let raw: Uint8Array = new Uint8Array();
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === 0x0a) [apiVersion, kind] = readTypeMeta(reader.message());
    else if (tag === 0x12) raw = reader.view();
    else reader.skip(tag & 7);
  }
  return { apiVersion, kind, raw };
}

/** The value of a bare message, as decodeObject would give it. Throws an Error when it is no such message. */
export function decodeMessage(schema: ObjectSchema, raw: Uint8Array): JsonDraft {
  const object: JsonDraft = {};
  readObject(schema, new Reader(raw), object, 0);
  return object;
}

/** One frame of a watch: length, then WatchEvent without magic around the object with magic. */
export function encodeWatchEvent(type: string, objectBytes: Uint8Array): Uint8Array {
  return written(() => {
    writeBytes(objectBytes);
    writeByte(0x0a);
    const raw = position();
    writeVarint(raw);
    writeByte(0x12);
    writeString(type);
    writeByte(0x0a);
    const length = position();
    for (let shift = 0; shift < 32; shift += 8) writeByte((length >>> shift) & 255);
  });
}

/** A whole list of bare item messages, in its envelope. */
export function encodeListProtobuf(
  kind: Omit<WireKind, 'schema'>,
  meta: WireListMeta,
  itemMessages: readonly Uint8Array[],
): Uint8Array {
  return Buffer.concat([...listProtobufChunks(kind, meta, itemMessages)]);
}

/** The same in pieces, for lists that are written as they go; no item is copied. */
export function* listProtobufChunks(
  kind: Omit<WireKind, 'schema'>,
  meta: WireListMeta,
  itemMessages: readonly Uint8Array[],
): Generator<Uint8Array> {
  const listMeta = written(() => writeListMeta(meta));
  let length = listMeta.length;
  for (const item of itemMessages) length += 1 + varintSize(item.length) + item.length;
  yield written(() => {
    writeRaw(listMeta);
    writeVarint(length);
    writeByte(0x12);
    writeEnvelopeHead(apiVersionOf(kind), `${kind.kind}List`);
  });
  for (const item of itemMessages) {
    yield written(() => {
      writeVarint(item.length);
      writeByte(0x12);
    });
    yield item;
  }
  yield Uint8Array.of(0x1a, 0, 0x22, 0);
}

function writeEnvelope(kind: Omit<WireKind, 'schema'>, writeMessage: () => void): void {
  writeTypedEmpty(4);
  writeTypedEmpty(3);
  const before = position();
  writeMessage();
  writeVarint(position() - before);
  writeByte(0x12);
  writeEnvelopeHead(apiVersionOf(kind), kind.kind);
}

function writeEnvelopeHead(apiVersion: string, kind: string): void {
  const before = position();
  writeString(kind);
  writeByte(0x12);
  writeString(apiVersion);
  writeByte(0x0a);
  writeVarint(position() - before);
  writeByte(0x0a);
  writeRaw(protobufMagic);
}

function writeTypedEmpty(tag: number): void {
  writeByte(0);
  writeByte((tag << 3) | 2);
}

function writeListMeta(meta: WireListMeta): void {
  if (meta.remainingItemCount !== undefined) {
    writeInteger(meta.remainingItemCount);
    writeByte(0x20);
  }
  writeString(meta.continue ?? '');
  writeByte(0x1a);
  writeString(meta.resourceVersion);
  writeByte(0x12);
  writeTypedEmpty(1);
  writeVarint(position());
  writeByte(0x0a);
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
  return size;
}

function readTypeMeta(reader: Reader): [apiVersion: string, kind: string] {
  let [apiVersion, kind] = ['', ''];
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === 0x0a) apiVersion = reader.string();
    else if (tag === 0x12) kind = reader.string();
    else reader.skip(tag & 7);
  }
  return [apiVersion, kind];
}

/* Encoding: every schema becomes a list of writers, highest tag first, because bytes are written from the end. */

type ObjectWriter = (object: JsonDraft) => void;
type ValueWriter = (value: Json) => void;

/** A field of a message: one of JSON, or an embedded message whose fields are inline in JSON. */
interface MessagePart {
  readonly tag: number;
  readonly name?: string;
  readonly field?: Field;
  readonly parts?: readonly MessagePart[];
}

const writers = new WeakMap<ObjectSchema, ObjectWriter>();

function writerOf(schema: ObjectSchema): ObjectWriter {
  const known = writers.get(schema);
  if (known) return known;
  const writer = compileWriter(partsOf(schema));
  writers.set(schema, writer);
  return writer;
}

/** The fields of a message, nested where Go has an embedded struct, highest tag first. */
function partsOf(schema: ObjectSchema): readonly MessagePart[] {
  const entries = Object.entries(schema.fields)
    .filter(([, field]) => field.tag > 0)
    .map(([name, field]) => ({ name, field, within: field.within ?? [] }));
  return grouped(entries, 0);
}

function grouped(
  entries: readonly { name: string; field: Field; within: readonly number[] }[],
  depth: number,
): readonly MessagePart[] {
  const own = entries.filter(({ within }) => within.length === depth);
  const parts: MessagePart[] = own.map(({ name, field }) => ({ tag: field.tag, name, field }));
  const outer = Map.groupBy(
    entries.filter(({ within }) => within.length > depth),
    ({ within }) => within[depth] as number,
  );
  for (const [tag, inner] of outer) parts.push({ tag, parts: grouped(inner, depth + 1) });
  return parts.sort((a, b) => b.tag - a.tag);
}

/**
 * Straight-line code for a message: this runs for every object that is stored, and a loop over closures with computed
 * field names takes twice as long. The source is made of numbers and quoted names of our own schemas.
 */
function compileWriter(parts: readonly MessagePart[]): ObjectWriter {
  const steps: unknown[] = [];
  const step = (run: unknown) => `s${steps.push(run) - 1}`;
  const lines = parts.map(part => {
    const { name, field } = part;
    const schema = field && resolve(field.schema);
    if (name === undefined || field === undefined || !schema) return `${step(partWriter(part))}(o);`;
    const take = `v = o[${JSON.stringify(name)}];`;
    const isGiven = 'v !== undefined && v !== null';
    if (schema.type === 'list' || schema.type === 'map')
      return `${take} if (${isGiven}) ${step(collectionWriter(field.tag, schema))}(v);`;
    const header = `writeVarint(${field.tag * 8 + wireTypeOf(schema)});`;
    const write = schema.type === 'string' ? 'writeString' : step(valueWriter(schema));
    const zero = zeroOnWire(field, schema);
    const otherwise = zero ? ` else { ${step(zero)}(); ${header} }` : '';
    return `${take} if (${isGiven}) { ${write}(v); ${header} }${otherwise}`;
  });
  const names = steps.map((_, index) => `s${index} = steps[${index}]`);
  const declared = names.length > 0 ? `const ${names.join(', ')};` : '';
  const source = `"use strict"; ${declared} return o => { let v; ${lines.join('\n')} };`;
  return new Function('steps', 'writeString', 'writeVarint', source)(steps, writeString, writeVarint) as ObjectWriter;
}

/** An embedded message: its fields are those of the object around it. */
function partWriter({ tag, parts }: MessagePart): ObjectWriter {
  const inner = compileWriter(parts ?? []);
  return object => {
    const before = position();
    inner(object);
    writeVarint(position() - before);
    writeVarint((tag << 3) | 2);
  };
}

function collectionWriter(tag: number, schema: ListSchema | MapSchema): ValueWriter {
  if (schema.type === 'map') return mapWriter(tag, schema.values);
  return schema.wrapped === true ? wrappedWriter(tag, schema.items) : listWriter(tag, schema.items);
}

/** Scalars that are no pointer are written even when they are zero, and so are messages that are always there. */
function zeroOnWire(field: Field, schema: Schema): (() => void) | undefined {
  if (field.pointer) return undefined;
  switch (schema.type) {
    case 'string':
    case 'int32':
    case 'int64':
    case 'boolean':
      return () => writeByte(0);
    case 'double':
      return () => writeDouble(0);
    case 'object': {
      if (!isAlwaysWritten(field)) return undefined;
      const write = valueWriter(schema);
      return () => write({});
    }
    case 'time':
    case 'microTime':
      return field.always ? () => writeByte(0) : undefined;
    case 'intOrString': {
      if (!field.always) return undefined;
      const write = valueWriter(schema);
      return () => write(0);
    }
    case 'quantity': {
      if (!field.always) return undefined;
      const write = valueWriter(schema);
      return () => write('0');
    }
    default:
      return undefined;
  }
}

function listWriter(tag: number, items: Schema): ValueWriter {
  const write = valueWriter(items);
  const header = tag * 8 + wireTypeOf(resolve(items));
  return value => {
    const list = value as readonly Json[];
    for (let index = list.length - 1; index >= 0; index--) {
      write(list[index] as Json);
      writeVarint(header);
    }
  };
}

function wrappedWriter(tag: number, items: Schema): ValueWriter {
  const write = wrapped(items);
  return value => {
    write(value);
    writeVarint((tag << 3) | 2);
  };
}

/** A list as a message with one field: what Go's named slices are. */
function wrapped(items: Schema): ValueWriter {
  const write = listWriter(1, items);
  return value => delimited(() => write(value));
}

function mapWriter(tag: number, values: Schema): ValueWriter {
  const write = valueWriter(values);
  const valueHeader = 16 + wireTypeOf(resolve(values));
  return value => {
    const map = value as Readonly<Record<string, Json>>;
    const keys = Object.keys(map);
    if (keys.length > 1) keys.sort();
    for (let index = keys.length - 1; index >= 0; index--) {
      const key = keys[index] as string;
      const before = position();
      write(map[key] as Json);
      writeByte(valueHeader);
      writeString(key);
      writeByte(0x0a);
      writeVarint(position() - before);
      writeVarint((tag << 3) | 2);
    }
  };
}

function wireTypeOf(schema: Schema): number {
  const { type } = schema;
  if (type === 'int32' || type === 'int64' || type === 'boolean') return 0;
  return type === 'double' ? 1 : 2;
}

/** Writes a value, with its length where it has one, without its header. */
function valueWriter(schema: Schema): ValueWriter {
  switch (schema.type) {
    case 'lazy': {
      let write: ValueWriter | undefined;
      return value => {
        write ??= valueWriter(resolve(schema));
        write(value);
      };
    }
    case 'object': {
      // Looked up late: a type may hold itself.
      let write: ObjectWriter | undefined;
      return value => {
        write ??= writerOf(schema);
        const before = position();
        write(value as JsonDraft);
        writeVarint(position() - before);
      };
    }
    case 'list':
      return wrapped(schema.items);
    case 'map':
      throw new Error('cannot encode a map in a list or map: protobuf has no such type');
    default:
      return scalarWriter(schema);
  }
}

function scalarWriter(schema: ScalarSchema): ValueWriter {
  switch (schema.type) {
    case 'string':
      return value => writeString(value as string);
    case 'int32':
    case 'int64':
      return value => writeInteger(value as number | bigint);
    case 'boolean':
      return value => writeByte(value ? 1 : 0);
    case 'double':
      return value => writeDouble(value as number);
    case 'bytes':
      return value => writeBytes(Buffer.from(value as string, 'base64'));
    case 'quantity':
      return value => delimited(() => writeTextField(1, value as string));
    case 'time':
    case 'microTime':
      return value => writeTime(value as string | null);
    case 'intOrString':
      return value => writeIntOrString(value as number | string);
    case 'json':
      return schema.either ? eitherWriter(schema.either, schema.of as () => Schema) : writeRawJson;
    case 'rawExtension':
    case 'fieldsV1':
      return writeRawJson;
  }
}

function writeRawJson(value: Json): void {
  delimited(() => writeTextField(1, encodeJson(value)));
}

function delimited(write: () => void): void {
  const before = position();
  write();
  writeVarint(position() - before);
}

function writeTextField(tag: number, text: string): void {
  writeString(text);
  writeByte((tag << 3) | 2);
}

/** Null is Go's zero time: an empty message. */
function writeTime(text: string | null): void {
  if (text === null) {
    writeByte(0);
    return;
  }
  const { seconds, nanos } = secondsOf(text);
  const before = position();
  writeInteger(nanos);
  writeByte(0x10);
  writeInteger(seconds);
  writeByte(0x08);
  writeVarint(position() - before);
}

function writeIntOrString(value: number | string): void {
  const isText = typeof value === 'string';
  const before = position();
  writeString(isText ? value : '');
  writeByte(0x1a);
  writeInteger(isText ? 0 : value);
  writeByte(0x10);
  writeByte(isText ? 1 : 0);
  writeByte(0x08);
  writeVarint(position() - before);
}

/** The types of CRD schemas that are one thing or another: JSONSchemaPropsOrBool, …OrArray, …OrStringArray. */
function eitherWriter(either: NonNullable<ScalarSchema['either']>, of: () => Schema): ValueWriter {
  const schema = lazyValueWriter(of);
  const schemaField = (tag: number, value: Json) => {
    schema(value);
    writeByte((tag << 3) | 2);
  };
  return value =>
    delimited(() => {
      if (either === 'boolean') {
        const isFlag = typeof value === 'boolean';
        if (!isFlag) schemaField(2, value);
        writeByte(value === false ? 0 : 1);
        writeByte(0x08);
      } else if (!Array.isArray(value)) {
        schemaField(1, value);
      } else {
        for (const item of (value as readonly Json[]).toReversed()) {
          if (either === 'list') schemaField(2, item);
          else writeTextField(2, item as string);
        }
      }
    });
}

function lazyValueWriter(of: () => Schema): ValueWriter {
  let write: ValueWriter | undefined;
  return value => {
    write ??= valueWriter(resolve(of()));
    write(value);
  };
}

/* Decoding */

type FieldReader = (reader: Reader, wireType: number, object: JsonDraft, depth: number) => void;

const readers = new WeakMap<ObjectSchema, readonly (FieldReader | undefined)[]>();

function readObject(schema: ObjectSchema, reader: Reader, object: JsonDraft, depth: number): void {
  if (depth > limits.documentDepthMax) throw new Error('exceeded max depth');
  readMessage(readersOf(schema), reader, object, depth);
}

function readMessage(
  fields: readonly (FieldReader | undefined)[],
  reader: Reader,
  object: JsonDraft,
  depth: number,
): void {
  while (!reader.done) {
    const tag = reader.varint();
    const read = fields[Math.floor(tag / 8)];
    if (read) read(reader, tag & 7, object, depth);
    else reader.skip(tag & 7);
  }
}

function readersOf(schema: ObjectSchema): readonly (FieldReader | undefined)[] {
  const known = readers.get(schema);
  if (known) return known;
  const compiled = compileReaders(partsOf(schema));
  readers.set(schema, compiled);
  return compiled;
}

function compileReaders(parts: readonly MessagePart[]): readonly (FieldReader | undefined)[] {
  const fields: (FieldReader | undefined)[] = [];
  for (const { tag, name, field, parts: inner } of parts) {
    fields[tag] = inner ? embeddedReader(compileReaders(inner)) : fieldReader(name as string, field as Field);
  }
  return Array.from(fields);
}

function embeddedReader(fields: readonly (FieldReader | undefined)[]): FieldReader {
  return (reader, wireType, object, depth) => {
    expectWireType(wireType, 2);
    readMessage(fields, reader.message(), object, depth);
  };
}

function fieldReader(name: string, field: Field): FieldReader {
  const schema = resolve(field.schema);
  if (schema.type === 'list')
    return schema.wrapped ? wrappedReader(name, schema.items) : listReader(name, schema.items);
  if (schema.type === 'map') return mapReader(name, schema.values);
  const read = valueReader(schema);
  const expected = wireTypeOf(schema);
  const keepsZero = field.pointer === true || field.always === true;
  return (reader, wireType, object, depth) => {
    expectWireType(wireType, expected);
    const value = read(reader, depth);
    if (value === undefined) return;
    if (!keepsZero && (value === '' || value === 0 || value === false)) return;
    object[name] = value;
  };
}

function listReader(name: string, items: Schema): FieldReader {
  const read = valueReader(items);
  const expected = wireTypeOf(resolve(items));
  return (reader, wireType, object, depth) => {
    let list = object[name] as Json[] | undefined;
    if (list === undefined) {
      list = [];
      object[name] = list;
    }
    if (wireType === 2 && expected !== 2) {
      const packed = reader.message();
      while (!packed.done) list.push(read(packed, depth) ?? null);
      return;
    }
    expectWireType(wireType, expected);
    list.push(read(reader, depth) ?? null);
  };
}

function wrappedReader(name: string, items: Schema): FieldReader {
  const readItems = [undefined, listReader(name, items)];
  return (reader, wireType, object, depth) => {
    expectWireType(wireType, 2);
    readMessage(readItems, reader.message(), object, depth);
  };
}

function mapReader(name: string, values: Schema): FieldReader {
  const read = valueReader(values);
  const zero = zeroInMap(resolve(values));
  return (reader, wireType, object, depth) => {
    expectWireType(wireType, 2);
    const entry = reader.message();
    let key = '';
    let value: Json | undefined;
    while (!entry.done) {
      const tag = entry.varint();
      if (tag === 0x0a) key = entry.string();
      else if (tag >> 3 === 2) value = read(entry, depth);
      else entry.skip(tag & 7);
    }
    const map = (object[name] ??= {}) as Record<string, Json>;
    setOwn(map, key, value ?? zero());
  };
}

function zeroInMap(schema: Schema): () => Json {
  if (schema.type === 'object') return () => ({});
  if (schema.type === 'list') return () => [];
  if (schema.type === 'quantity') return () => '0';
  return schema.type === 'time' || schema.type === 'microTime' ? () => null : () => '';
}

function expectWireType(wireType: number, expected: number): void {
  if (wireType !== expected) throw new Error(`proto: wrong wireType = ${wireType}`);
}

type ValueReader = (reader: Reader, depth: number) => Json | undefined;

function valueReader(schema: Schema): ValueReader {
  switch (schema.type) {
    case 'lazy': {
      let read: ValueReader | undefined;
      return (reader, depth) => {
        read ??= valueReader(resolve(schema));
        return read(reader, depth);
      };
    }
    case 'object':
      return (reader, depth) => {
        const object: JsonDraft = {};
        readObject(schema, reader.message(), object, depth + 1);
        return object;
      };
    case 'list': {
      const readItems = [undefined, listReader('items', schema.items)];
      return (reader, depth) => {
        const object: JsonDraft = {};
        readMessage(readItems, reader.message(), object, depth + 1);
        return object['items'] ?? [];
      };
    }
    case 'map':
      throw new Error('cannot decode a map in a list or map: protobuf has no such type');
    default:
      return scalarReader(schema);
  }
}

function scalarReader(schema: ScalarSchema): ValueReader {
  switch (schema.type) {
    case 'string':
      return reader => reader.string();
    case 'int32':
      return readInt32;
    case 'int64':
      return reader => reader.integer();
    case 'boolean':
      return reader => reader.varint() !== 0;
    case 'double':
      return reader => reader.double();
    case 'bytes':
      return reader => reader.view().toString('base64');
    case 'quantity':
      return reader => {
        const text = readText(reader);
        const canonical = canonicalQuantity(text);
        if (canonical === undefined) throw new Error(`cannot parse quantity ${JSON.stringify(text)}`);
        return canonical;
      };
    case 'time':
      return reader => readTime(reader, formatTime);
    case 'microTime':
      return reader => readTime(reader, formatMicroTime);
    case 'intOrString':
      return readIntOrString;
    case 'json':
      return schema.either ? eitherReader(schema.either, schema.of as () => Schema) : readRaw;
    case 'rawExtension':
    case 'fieldsV1':
      return readRaw;
  }
}

function readInt32(reader: Reader): number {
  const value = reader.integer();
  return typeof value === 'number' ? value | 0 : Number(BigInt.asIntN(32, value));
}

/** The text of a message whose field 1 is text. */
function readText(reader: Reader): string {
  const message = reader.message();
  let text = '';
  while (!message.done) {
    const tag = message.varint();
    if (tag === 0x0a) text = message.string();
    else message.skip(tag & 7);
  }
  return text;
}

function readRaw(reader: Reader): Json | undefined {
  const message = reader.message();
  let raw: Uint8Array | undefined;
  while (!message.done) {
    const tag = message.varint();
    if (tag === 0x0a) raw = message.view();
    else message.skip(tag & 7);
  }
  return raw === undefined || raw.length === 0 ? undefined : decodeJson(raw);
}

/** An empty message is Go's zero time, which is absent. */
function readTime(reader: Reader, format: (ms: number) => string): string | undefined {
  const message = reader.message();
  if (message.done) return undefined;
  let [seconds, nanos] = [0, 0];
  while (!message.done) {
    const tag = message.varint();
    if (tag === 0x08) seconds = Number(message.integer());
    else if (tag === 0x10) nanos = Number(message.integer());
    else message.skip(tag & 7);
  }
  if (seconds < -62_135_596_800 || seconds > 253_402_300_799) throw new Error('time is out of range');
  if (format === formatTime) return formatTime(seconds * 1000);
  const micros = String(Math.floor(nanos / 1000)).padStart(6, '0');
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${micros}Z`;
}

function readIntOrString(reader: Reader): number | string {
  const message = reader.message();
  let [type, number, text] = [0, 0, ''];
  while (!message.done) {
    const tag = message.varint();
    if (tag === 0x08) type = message.varint();
    else if (tag === 0x10) number = readInt32(message);
    else if (tag === 0x1a) text = message.string();
    else message.skip(tag & 7);
  }
  return type === 1 ? text : number;
}

function eitherReader(either: NonNullable<ScalarSchema['either']>, of: () => Schema): ValueReader {
  let schema: ObjectSchema | undefined;
  const readSchema = (reader: Reader, depth: number): Json => {
    schema ??= resolve(of()) as ObjectSchema;
    const object: JsonDraft = {};
    readObject(schema, reader.message(), object, depth + 1);
    return object;
  };
  const [flagTag, schemaTag, listTag] = either === 'boolean' ? [0x08, 0x12, -1] : [-1, 0x0a, 0x12];
  return (reader, depth) => {
    const message = reader.message();
    let value: Json | undefined;
    while (!message.done) {
      const tag = message.varint();
      if (tag === flagTag) value ??= message.varint() !== 0;
      else if (tag === schemaTag) value = readSchema(message, depth);
      else if (tag === listTag) {
        if (!Array.isArray(value)) value = [];
        (value as Json[]).push(either === 'list' ? readSchema(message, depth) : message.string());
      } else message.skip(tag & 7);
    }
    return value;
  };
}
