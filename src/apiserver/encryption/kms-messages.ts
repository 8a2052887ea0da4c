/*
 * The messages of KMS v2 (k8s.io/kms/apis/v2) and upstream's EncryptedObject. Encoders write from the end to the start, so
 * the fields of a message stand in falling order.
 */
import { position, Reader, writeBytes, writeInteger, writeString, writeVarint, written } from '#api/machinery/wire.ts';

export interface KmsStatus {
  readonly version: string;
  readonly healthz: string;
  readonly keyId: string;
}

export type Annotations = ReadonlyMap<string, Uint8Array>;

export interface KmsEncrypted {
  readonly ciphertext: Uint8Array;
  readonly keyId: string;
  readonly annotations: Annotations;
}

/** How the key of a value comes from what the plugin has encrypted: it is the key, or the seed that keys are derived from. */
export type KeySource = 'key' | 'seed';

export interface EncryptedObject {
  readonly data: Uint8Array;
  readonly keyId: string;
  readonly encryptedKey: Uint8Array;
  readonly annotations: Annotations;
  readonly source: KeySource;
}

const text = 2;

function bytes(field: number, value: Uint8Array): void {
  writeBytes(value);
  writeVarint((field << 3) | text);
}

function string(field: number, value: string): void {
  writeString(value);
  writeVarint((field << 3) | text);
}

function map(field: number, entries: Annotations): void {
  for (const [key, value] of [...entries].reverse()) {
    const end = position();
    bytes(2, value);
    string(1, key);
    writeVarint(position() - end);
    writeVarint((field << 3) | text);
  }
}

function encoded(write: () => void): Buffer {
  const message = written(write);
  return Buffer.from(message.buffer, message.byteOffset, message.byteLength);
}

export function encodeStatusRequest(): Buffer {
  return Buffer.alloc(0);
}

export function encodeEncryptRequest(plaintext: Uint8Array, uid: string): Buffer {
  return encoded(() => {
    string(2, uid);
    bytes(1, plaintext);
  });
}

export function encodeDecryptRequest({ ciphertext, keyId, annotations }: KmsEncrypted, uid: string): Buffer {
  return encoded(() => {
    map(4, annotations);
    string(3, keyId);
    string(2, uid);
    bytes(1, ciphertext);
  });
}

export function encodeEncryptedObject({ data, keyId, encryptedKey, annotations, source }: EncryptedObject): Buffer {
  return encoded(() => {
    if (source === 'seed') {
      writeInteger(1);
      writeVarint(5 << 3);
    }
    map(4, annotations);
    bytes(3, encryptedKey);
    string(2, keyId);
    bytes(1, data);
  });
}

/** Field number → what stands there; of a map's field every entry. */
function fieldsOf(message: Uint8Array): {
  texts: Map<number, Buffer>;
  integers: Map<number, number>;
  entries: Buffer[];
} {
  const reader = new Reader(message);
  const texts = new Map<number, Buffer>();
  const integers = new Map<number, number>();
  const entries: Buffer[] = [];
  while (!reader.done) {
    const tag = reader.varint();
    const field = tag >>> 3;
    if ((tag & 7) === text) {
      const value = reader.view();
      texts.set(field, value);
      if (field === annotationsOf.encrypted || field === annotationsOf.response) entries.push(value);
    } else if ((tag & 7) === 0) integers.set(field, reader.varint());
    else reader.skip(tag & 7);
  }
  return { texts, integers, entries };
}

/** The fields in which annotations stand. */
const annotationsOf = { encrypted: 4, response: 3 } as const;

function mapOf(entries: readonly Buffer[]): Annotations {
  const map = new Map<string, Uint8Array>();
  for (const entry of entries) {
    const { texts } = fieldsOf(entry);
    map.set(textOf(texts.get(1)), texts.get(2) ?? new Uint8Array());
  }
  return map;
}

function textOf(value: Buffer | undefined): string {
  return value?.toString('utf8') ?? '';
}

export function decodeStatusResponse(message: Uint8Array): KmsStatus {
  const { texts } = fieldsOf(message);
  return { version: textOf(texts.get(1)), healthz: textOf(texts.get(2)), keyId: textOf(texts.get(3)) };
}

export function decodeEncryptResponse(message: Uint8Array): KmsEncrypted {
  const { texts, entries } = fieldsOf(message);
  return { ciphertext: Buffer.from(texts.get(1) ?? []), keyId: textOf(texts.get(2)), annotations: mapOf(entries) };
}

export function decodeDecryptResponse(message: Uint8Array): Uint8Array {
  return Buffer.from(fieldsOf(message).texts.get(1) ?? []);
}

/** Throws when it is none, or misses something. */
export function decodeEncryptedObject(message: Uint8Array): EncryptedObject {
  const reader = new Reader(message);
  let data: Uint8Array = new Uint8Array();
  let encryptedKey: Uint8Array = data;
  let keyId = '';
  let source = 0;
  const entries: Buffer[] = [];
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === ((1 << 3) | text)) data = reader.view();
    else if (tag === ((2 << 3) | text)) keyId = reader.string();
    else if (tag === ((3 << 3) | text)) encryptedKey = reader.view();
    else if (tag === ((4 << 3) | text)) entries.push(reader.view());
    else if (tag === 5 << 3) source = reader.varint();
    else reader.skip(tag & 7);
  }
  if (source > 1) throw new Error(`unknown encryptedDEKSourceType: ${source}`);
  if (data.length === 0) throw new Error('encrypted data is empty');
  const object: EncryptedObject = {
    data,
    keyId,
    encryptedKey,
    annotations: mapOf(entries),
    source: source === 1 ? 'seed' : 'key',
  };
  checkEncrypted({ ciphertext: encryptedKey, keyId, annotations: object.annotations });
  return object;
}

const kilobyte = 1024;

/** Throws upstream's sentence for what it refuses of a plugin. */
export function checkEncrypted({ ciphertext, keyId, annotations }: KmsEncrypted): void {
  if (ciphertext.length === 0)
    throw new Error('failed to validate encrypted DEK source: encrypted DEK source is empty');
  if (ciphertext.length > kilobyte)
    throw new Error(
      `failed to validate encrypted DEK source: encrypted DEK source is ${ciphertext.length} bytes, which exceeds the max size of ${kilobyte}`,
    );
  const problem = keyIdProblem(keyId);
  if (problem !== undefined) throw new Error(`failed to validate key id: ${problem}`);
  let total = 0;
  for (const [key, value] of annotations) {
    if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$/.test(key))
      throw new Error(
        `failed to validate annotations: annotations: Invalid value: ${JSON.stringify(key)}: should be a domain with at least two segments separated by dots`,
      );
    total += Buffer.byteLength(key) + value.length;
  }
  if (total > 32 * kilobyte)
    throw new Error(
      `failed to validate annotations: total size of annotations is ${total}, which exceeds the max size of ${32 * kilobyte}`,
    );
}

export function keyIdProblem(keyId: string): string | undefined {
  const length = Buffer.byteLength(keyId);
  if (length === 0) return 'keyID is empty';
  return length > kilobyte ? `keyID is ${length} bytes, which exceeds the max size of ${kilobyte}` : undefined;
}
