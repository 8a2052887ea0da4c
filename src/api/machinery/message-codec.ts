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
} from './wire.ts';

/** gRPC messages as data: each field with its number and its type (`string`, `Other[]`, `map<string,Other>`, …). */
export type MessageTable = Readonly<Record<string, Readonly<Record<string, readonly [tag: number, type: string]>>>>;
/** Our word for each number of an enumeration. */
export type EnumTable = Readonly<Record<string, readonly string[]>>;

/** What is sent: a field that is absent has its zero value. */
export type SentMessage<Table extends MessageTable, Enums extends EnumTable, Name extends keyof Table> = {
  readonly [Field in keyof Table[Name]]?: SentField<Table, Enums, Table[Name][Field][1]> | undefined;
};

/** What comes: every field is there, nested messages only when they were sent. */
export type ReceivedMessage<Table extends MessageTable, Enums extends EnumTable, Name extends keyof Table> = {
  readonly [Field in keyof Table[Name]]: ReceivedField<Table, Enums, Table[Name][Field][1]>;
};

type SentField<Table extends MessageTable, Enums extends EnumTable, Type> = Type extends `${infer Item}[]`
  ? readonly SentItem<Table, Enums, Item>[]
  : Type extends `map<string,${infer Value}>`
    ? Readonly<Record<string, SentItem<Table, Enums, Value>>>
    : SentItem<Table, Enums, Type>;
type SentItem<Table extends MessageTable, Enums extends EnumTable, Type> = Type extends keyof Table
  ? SentMessage<Table, Enums, Type>
  : Scalar<Enums, Type>;
type ReceivedField<Table extends MessageTable, Enums extends EnumTable, Type> = Type extends `${infer Item}[]`
  ? readonly ReceivedItem<Table, Enums, Item>[]
  : Type extends `map<string,${infer Value}>`
    ? Readonly<Record<string, ReceivedItem<Table, Enums, Value>>>
    : Type extends keyof Table
      ? ReceivedMessage<Table, Enums, Type> | undefined
      : Scalar<Enums, Type>;
type ReceivedItem<Table extends MessageTable, Enums extends EnumTable, Type> = Type extends keyof Table
  ? ReceivedMessage<Table, Enums, Type>
  : Scalar<Enums, Type>;
type Scalar<Enums extends EnumTable, Type> = Type extends keyof Enums
  ? Enums[Type][number]
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

/** bigint only beyond what a number holds exactly. */
export type Integer = number | bigint;

export interface MessageCodec<Table extends MessageTable, Enums extends EnumTable> {
  encode<Name extends keyof Table>(name: Name, message: SentMessage<Table, Enums, Name>): Buffer;
  /** Throws an Error on what is no protobuf. Unknown fields are read over; unknown enum numbers count as absent. */
  decode<Name extends keyof Table>(name: Name, bytes: Uint8Array): ReceivedMessage<Table, Enums, Name>;
}

/** The protobuf of a table of messages. */
export function messageCodec<const Table extends MessageTable, const Enums extends EnumTable>(
  messages: Table,
  enums: Enums,
): MessageCodec<Table, Enums> {
  const plans = new Plans(messages, enums);
  return {
    encode(name, message) {
      const bytes = written(() => writeFields(plans.of(String(name)), message as Fields));
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    decode: (name, bytes) =>
      readMessage(plans.of(String(name)), new Reader(bytes)) as ReceivedMessage<Table, Enums, typeof name>,
  };
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
  /** What the values are where they are messages; asked for when it is needed, because messages may hold themselves. */
  readonly message: (() => MessagePlan) | undefined;
  readonly words: readonly string[] | undefined;
}

interface MessagePlan {
  /** Highest number last; written from the end. */
  readonly fields: readonly FieldPlan[];
  readonly byTag: ReadonlyMap<number, FieldPlan>;
}

class Plans {
  readonly #known = new Map<string, MessagePlan>();
  readonly #messages: MessageTable;
  readonly #enums: EnumTable;

  constructor(messages: MessageTable, enums: EnumTable) {
    this.#messages = messages;
    this.#enums = enums;
  }

  of(name: string): MessagePlan {
    const known = this.#known.get(name);
    if (known) return known;
    const sorted = Object.entries(this.#messages[name] ?? {})
      .map(([field, [tag, type]]) => this.#field(field, tag, type))
      .toSorted((one, other) => one.tag - other.tag);
    const plan = { fields: sorted, byTag: new Map(sorted.map(field => [field.tag, field])) };
    this.#known.set(name, plan);
    return plan;
  }

  #field(name: string, tag: number, text: string): FieldPlan {
    const [, value] = /^map<string,(.+)>$/.exec(text) ?? [];
    const type = value ?? text.replace('[]', '');
    const shape = value !== undefined ? 'map' : type === text ? 'one' : 'list';
    const isMessage = Object.hasOwn(this.#messages, type);
    const words = Object.hasOwn(this.#enums, type) ? this.#enums[type] : undefined;
    const wireType = type === 'double' ? 1 : isMessage || type === 'string' || type === 'bytes' ? 2 : 0;
    return { name, tag, type, shape, wireType, message: isMessage ? () => this.of(type) : undefined, words };
  }
}

function writeFields({ fields }: MessagePlan, message: Fields): void {
  for (let index = fields.length - 1; index >= 0; index--) {
    const field = fields[index] as FieldPlan;
    const value = message[field.name];
    if (value === undefined) continue;
    if (field.shape === 'map') writeMap(field, value as Fields);
    else if (field.shape === 'list') writeList(field, value as readonly unknown[]);
    else if (field.message || !isZero(field, value)) {
      writeValue(field, value);
      writeVarint(field.tag * 8 + field.wireType);
    }
  }
}

function isZero(field: FieldPlan, value: unknown): boolean {
  if (field.type === 'bytes') return (value as Buffer).length === 0;
  if (field.words) return numberOf(field, value as string) === 0;
  return value === '' || value === 0 || value === 0n || value === false;
}

function writeMap(field: FieldPlan, map: Fields): void {
  for (const [key, value] of Object.entries(map).toReversed()) {
    const before = position();
    writeValue(field, value);
    writeVarint(2 * 8 + field.wireType);
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

function writeValue(field: FieldPlan, value: unknown): void {
  if (field.message) {
    const before = position();
    writeFields(field.message(), value as Fields);
    return writeVarint(position() - before);
  }
  switch (field.type) {
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
      return writeVarint(numberOf(field, value as string));
  }
}

function numberOf({ type, words = [] }: FieldPlan, word: string): number {
  const number = words.indexOf(word);
  if (number < 0) throw new Error(`cannot encode ${type} ${JSON.stringify(word)}: it is not in the table`);
  return number;
}

function readMessage(plan: MessagePlan, reader: Reader): Fields {
  const message = emptyMessage(plan);
  const maps = new Map<FieldPlan, [key: string, value: unknown][]>();
  while (!reader.done) {
    const header = reader.varint();
    const wireType = header & 7;
    const field = plan.byTag.get(Math.floor(header / 8));
    if (!field || !fits(field, wireType)) reader.skip(wireType);
    else if (field.shape === 'map') {
      const entries = maps.get(field) ?? [];
      maps.set(field, entries);
      entries.push(readEntry(field, reader.message()));
    } else if (field.shape === 'list') readItems(field, wireType, reader, message[field.name] as unknown[]);
    else {
      const value = readValue(field, reader);
      if (value !== undefined) message[field.name] = value;
    }
  }
  // Not by assignment: a label may be called `__proto__`.
  for (const [field, entries] of maps) message[field.name] = Object.fromEntries(entries);
  return message;
}

/** Lists of numbers come packed or one by one; maps are always entries with their length. */
function fits(field: FieldPlan, wireType: number): boolean {
  if (field.shape === 'map') return wireType === 2;
  return wireType === field.wireType || (field.shape === 'list' && wireType === 2);
}

function emptyMessage({ fields }: MessagePlan): Record<string, unknown> {
  const message: Record<string, unknown> = {};
  for (const field of fields) message[field.name] = zeroOf(field);
  return message;
}

function zeroOf(field: FieldPlan): unknown {
  if (field.shape === 'list') return [];
  if (field.shape === 'map') return {};
  return field.message ? undefined : zeroValue(field);
}

function zeroValue({ type, words }: FieldPlan): unknown {
  if (type === 'string') return '';
  if (type === 'bool') return false;
  if (type === 'bytes') return Buffer.alloc(0);
  return words ? words[0] : 0;
}

function readEntry(field: FieldPlan, reader: Reader): [key: string, value: unknown] {
  let key = '';
  let value: unknown = field.message ? emptyMessage(field.message()) : zeroValue(field);
  while (!reader.done) {
    const header = reader.varint();
    if (header === 0x0a) key = reader.string();
    else if (header === 2 * 8 + field.wireType) value = readValue(field, reader) ?? value;
    else reader.skip(header & 7);
  }
  return [key, value];
}

function readItems(field: FieldPlan, wireType: number, reader: Reader, items: unknown[]): void {
  const packed = wireType === 2 && field.wireType !== 2 ? reader.message() : undefined;
  const add = (from: Reader) => {
    const value = readValue(field, from);
    if (value !== undefined) items.push(value);
  };
  if (!packed) return add(reader);
  while (!packed.done) add(packed);
}

function readValue(field: FieldPlan, reader: Reader): unknown {
  if (field.message) return readMessage(field.message(), reader.message());
  switch (field.type) {
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
      return field.words?.[reader.varint()];
  }
}
