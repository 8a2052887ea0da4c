import {
  position,
  Reader,
  writeBytes,
  writeByte,
  writeDouble,
  writeInteger,
  writeString,
  writeVarint,
  written,
} from '#api/machinery/wire.ts';
import { enums } from './enums.ts';
import { messages } from './messages.ts';

export type MessageName = keyof typeof messages;
type EnumName = keyof typeof enums;

/** What is sent: a field that is absent has its zero value. */
export type Message<Name extends MessageName> = {
  readonly [Field in keyof (typeof messages)[Name]]?: SentField<TypeOf<(typeof messages)[Name][Field]>> | undefined;
};

/** What comes: every field is there, nested messages only when they were sent. */
export type Received<Name extends MessageName> = {
  readonly [Field in keyof (typeof messages)[Name]]: ReceivedField<TypeOf<(typeof messages)[Name][Field]>>;
};

type TypeOf<Field> = Field extends readonly [number, infer Type] ? Type : never;
type SentField<Type> = Type extends `${infer Item}[]`
  ? readonly SentItem<Item>[]
  : Type extends MapType
    ? Readonly<Record<string, string>>
    : SentItem<Type>;
type SentItem<Type> = Type extends MessageName ? Message<Type> : Scalar<Type>;
type ReceivedField<Type> = Type extends `${infer Item}[]`
  ? readonly ReceivedItem<Item>[]
  : Type extends MapType
    ? Readonly<Record<string, string>>
    : Type extends MessageName
      ? Received<Type> | undefined
      : Scalar<Type>;
type ReceivedItem<Type> = Type extends MessageName ? Received<Type> : Scalar<Type>;
type Scalar<Type> = Type extends EnumName
  ? (typeof enums)[Type][number]
  : Type extends 'string'
    ? string
    : Type extends 'bool'
      ? boolean
      : Type extends 'bytes'
        ? Buffer
        : Type extends 'double' | 'int32' | 'uint32'
          ? number
          : Type extends 'int64' | 'uint64'
            ? Integer
            : never;
type MapType = 'map<string,string>';

/** bigint only beyond what a number holds exactly. */
export type Integer = number | bigint;

export function encode<Name extends MessageName>(name: Name, message: Message<Name>): Buffer {
  const bytes = written(() => writeFields(plans[name], message as Fields));
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Throws an Error on what is no protobuf. Unknown fields are read over; unknown enum numbers count as absent. */
export function decode<Name extends MessageName>(name: Name, bytes: Uint8Array): Received<Name> {
  return readMessage(plans[name], new Reader(bytes)) as Received<Name>;
}

type Fields = Readonly<Record<string, unknown>>;

/** A field of the table, looked up once. */
interface FieldPlan {
  readonly name: string;
  readonly tag: number;
  readonly type: string;
  readonly shape: 'one' | 'list' | 'map';
  /** How one value of the type lies on the wire: 0 varint, 1 eight bytes, 2 with its length. */
  readonly wireType: number;
}

interface MessagePlan {
  /** Highest number last; written from the end. */
  readonly fields: readonly FieldPlan[];
  readonly byTag: ReadonlyMap<number, FieldPlan>;
}

const plans = Object.fromEntries(
  Object.entries(messages).map(([name, fields]) => [name, planOf(fields)]),
) as unknown as Readonly<Record<MessageName, MessagePlan>>;

function planOf(fields: Readonly<Record<string, readonly [tag: number, type: string]>>): MessagePlan {
  const plan = Object.entries(fields).map(([name, [tag, type]]): FieldPlan => {
    if (type.startsWith('map<')) return { name, tag, type: 'string', shape: 'map', wireType: 2 };
    const item = type.replace('[]', '');
    return { name, tag, type: item, shape: item === type ? 'one' : 'list', wireType: wireTypeOf(item) };
  });
  const sorted = plan.toSorted((one, other) => one.tag - other.tag);
  return { fields: sorted, byTag: new Map(sorted.map(field => [field.tag, field])) };
}

function wireTypeOf(type: string): number {
  if (type === 'double') return 1;
  return isMessage(type) || type === 'string' || type === 'bytes' ? 2 : 0;
}

function isMessage(type: string): type is MessageName {
  return Object.hasOwn(messages, type);
}

function writeFields({ fields }: MessagePlan, message: Fields): void {
  for (let index = fields.length - 1; index >= 0; index--) {
    const field = fields[index] as FieldPlan;
    const value = message[field.name];
    if (value === undefined) continue;
    if (field.shape === 'map') writeMap(field, value as Readonly<Record<string, string>>);
    else if (field.shape === 'list') writeList(field, value as readonly unknown[]);
    else if (isMessage(field.type) || !isZero(field, value)) {
      writeValue(field, value);
      writeVarint(field.tag * 8 + field.wireType);
    }
  }
}

function isZero(field: FieldPlan, value: unknown): boolean {
  if (field.type === 'bytes') return (value as Buffer).length === 0;
  if (Object.hasOwn(enums, field.type)) return numberOf(field.type, value as string) === 0;
  return value === '' || value === 0 || value === 0n || value === false;
}

function writeMap(field: FieldPlan, map: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(map).toReversed()) {
    const before = position();
    writeString(value);
    writeByte(0x12);
    writeString(key);
    writeByte(0x0a);
    writeVarint(position() - before);
    writeVarint(field.tag * 8 + 2);
  }
}

/** Numbers are packed, as proto3 has it. */
function writeList(field: FieldPlan, values: readonly unknown[]): void {
  if (values.length === 0) return;
  const before = position();
  for (let index = values.length - 1; index >= 0; index--) {
    writeValue(field, values[index]);
    if (field.wireType === 2) writeVarint(field.tag * 8 + 2);
  }
  if (field.wireType === 2) return;
  writeVarint(position() - before);
  writeVarint(field.tag * 8 + 2);
}

function writeValue({ type }: FieldPlan, value: unknown): void {
  if (isMessage(type)) {
    const before = position();
    writeFields(plans[type], value as Fields);
    return writeVarint(position() - before);
  }
  switch (type) {
    case 'string':
      return writeString(value as string);
    case 'bytes':
      return writeBytes(value as Buffer);
    case 'bool':
      return writeByte(value ? 1 : 0);
    case 'double':
      return writeDouble(value as number);
    case 'int32':
    case 'uint32':
    case 'int64':
    case 'uint64':
      return writeInteger(value as Integer);
    default:
      return writeVarint(numberOf(type, value as string));
  }
}

function numberOf(type: string, word: string): number {
  const number = (enums[type as EnumName] as readonly string[]).indexOf(word);
  if (number < 0) throw new Error(`cannot encode ${type} ${JSON.stringify(word)}: it is none of CRI's`);
  return number;
}

function readMessage(plan: MessagePlan, reader: Reader): Fields {
  const message = emptyMessage(plan);
  const maps = new Map<FieldPlan, [key: string, value: string][]>();
  while (!reader.done) {
    const header = reader.varint();
    const wireType = header & 7;
    const field = plan.byTag.get(Math.floor(header / 8));
    if (!field || !fits(field, wireType)) reader.skip(wireType);
    else if (field.shape === 'map') {
      const entries = maps.get(field) ?? [];
      maps.set(field, entries);
      entries.push(readEntry(reader.message()));
    } else if (field.shape === 'list') readItems(field, wireType, reader, message[field.name] as unknown[]);
    else {
      const value = readValue(field.type, reader);
      if (value !== undefined) message[field.name] = value;
    }
  }
  // Not by assignment: a label may be called `__proto__`.
  for (const [field, entries] of maps) message[field.name] = Object.fromEntries(entries);
  return message;
}

/** Lists of numbers come packed or one by one. */
function fits(field: FieldPlan, wireType: number): boolean {
  return wireType === field.wireType || (field.shape === 'list' && wireType === 2);
}

function emptyMessage({ fields }: MessagePlan): Record<string, unknown> {
  const message: Record<string, unknown> = {};
  for (const field of fields) message[field.name] = zeroOf(field);
  return message;
}

function zeroOf({ shape, type }: FieldPlan): unknown {
  if (shape === 'list') return [];
  if (shape === 'map') return {};
  if (isMessage(type)) return undefined;
  if (type === 'string') return '';
  if (type === 'bool') return false;
  if (type === 'bytes') return Buffer.alloc(0);
  return Object.hasOwn(enums, type) ? enums[type as EnumName][0] : 0;
}

function readEntry(reader: Reader): [key: string, value: string] {
  let [key, value] = ['', ''];
  while (!reader.done) {
    const header = reader.varint();
    if (header === 0x0a) key = reader.string();
    else if (header === 0x12) value = reader.string();
    else reader.skip(header & 7);
  }
  return [key, value];
}

function readItems(field: FieldPlan, wireType: number, reader: Reader, items: unknown[]): void {
  const packed = wireType === 2 && field.wireType !== 2 ? reader.message() : undefined;
  const add = (from: Reader) => {
    const value = readValue(field.type, from);
    if (value !== undefined) items.push(value);
  };
  if (!packed) return add(reader);
  while (!packed.done) add(packed);
}

function readValue(type: string, reader: Reader): unknown {
  if (isMessage(type)) return readMessage(plans[type], reader.message());
  switch (type) {
    case 'string':
      return reader.string();
    case 'bytes':
      return Buffer.from(reader.view());
    case 'bool':
      return reader.varint() !== 0;
    case 'double':
      return reader.double();
    case 'int32':
    case 'uint32':
      return Number(reader.integer());
    case 'int64':
      return reader.integer();
    case 'uint64': {
      const value = reader.integer();
      return value < 0 ? BigInt.asUintN(64, BigInt(value)) : value;
    }
    default:
      return (enums[type as EnumName] as readonly string[])[reader.varint()];
  }
}
