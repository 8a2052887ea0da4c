import { kinds } from '#api/kinds.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import { decodeJson } from '#api/machinery/json.ts';
import { apiVersionOf, type ApiObject, type Kind, resourceNameOf } from '#api/machinery/kind.ts';
import { decodeMessage, decodeProtobuf, encodeProtobuf, protobufMagic } from '#api/machinery/protobuf.ts';
import type { Json } from '#api/machinery/schema.ts';
import { Reader } from '#api/machinery/wire.ts';
import {
  type Entry,
  ExpectationError,
  type Expected,
  type RangeOptions,
  type RangeResult,
  type SharedStorage,
  type Storage,
  type StorageEvent,
  type StoredValue,
  type Watcher,
  type WriteOptions,
} from '#storage/storage.ts';
import { encodeStored } from './cache/entry.ts';
import { prefix as ownPrefix } from './cache/watch-cache.ts';

export interface UpstreamFormOptions {
  /** Upstream's --etcd-prefix. */
  readonly keyPrefix?: string;
  /** Upstream's --storage-media-type: how built-in kinds are written. Either is read. */
  readonly mediaType?: 'application/json' | 'application/vnd.kubernetes.protobuf';
}

/**
 * A store whose keys and values are upstream's: `/registry/deployments/default/web` with kind and apiVersion, so that etcdctl
 * and whatever else knows upstream's store can read and write it. Keys of one resource keep their order.
 */
export function inUpstreamForm(storage: Storage, options: UpstreamFormOptions = {}): Storage {
  return new UpstreamForm(storage, options);
}

/** Upstream's SpecialDefaultResourcePrefixes, and what its other API servers name by group. */
const unusualPaths: Readonly<Record<string, string>> = {
  replicationcontrollers: 'controllers',
  endpoints: 'services/endpoints',
  nodes: 'minions',
  services: 'services/specs',
  'ingresses.networking.k8s.io': 'ingress',
  'customresourcedefinitions.apiextensions.k8s.io': 'apiextensions.k8s.io/customresourcedefinitions',
  'apiservices.apiregistration.k8s.io': 'apiregistration.k8s.io/apiservices',
};

interface BuiltIn {
  readonly kind: Kind;
  readonly path: string;
  /** What stands before the members of the object in JSON. */
  readonly head: Buffer;
}

const builtIns = new Map<string, BuiltIn>();
const builtInPaths = new Map<string, string>();
for (const kind of kinds) {
  const name = resourceNameOf(kind);
  if (kind.storedAs || kind.plural === '' || builtIns.has(name)) continue;
  const path = unusualPaths[name] ?? kind.plural;
  const head = Buffer.from(`{"kind":${JSON.stringify(kind.kind)},"apiVersion":${JSON.stringify(apiVersionOf(kind))},`);
  builtIns.set(name, { kind, path, head });
  builtInPaths.set(path, name);
}
const kindsByType = new Map(kinds.map(kind => [`${apiVersionOf(kind)} ${kind.kind}`, kind]));

const openBrace = 0x7b;
const newline = 0x0a;
const storedHead = Buffer.from('{"metadata":{');

/** What this process has put there, riding along so that nothing is decoded again. */
class Rider {
  readonly value: StoredValue;

  constructor(value: StoredValue) {
    this.value = value;
  }
}

class UpstreamForm implements Storage {
  readonly #storage: Storage;
  readonly #prefix: string;
  readonly #writesProtobuf: boolean;

  constructor(storage: Storage, { keyPrefix, mediaType = 'application/json' }: UpstreamFormOptions) {
    this.#storage = storage;
    this.#prefix = prefixOf(keyPrefix);
    this.#writesProtobuf = mediaType !== 'application/json';
  }

  get shared(): SharedStorage | undefined {
    return this.#storage.shared;
  }

  currentRevision(): Promise<number> {
    return this.#storage.currentRevision();
  }

  async get(key: string, options?: { readonly revision?: number }): Promise<Entry | undefined> {
    const entry = await this.#storage.get(this.#toPath(key), options);
    return entry && this.#entryOf(entry);
  }

  async range(prefix: string, { start, ...options }: RangeOptions = {}): Promise<RangeResult> {
    const { entries, ...rest } = await this.#storage.range(this.#toPath(prefix), {
      ...options,
      ...(start !== undefined && { start: this.#toPath(start) }),
    });
    return { ...rest, entries: entries.map(entry => this.#entryOf(entry)) };
  }

  put(key: string, value: StoredValue, expected: Expected, options?: WriteOptions): Promise<number> {
    const bytes = this.#encode(key, value);
    return this.#expecting(
      key,
      this.#storage.put(this.#toPath(key), { bytes, object: new Rider(value) }, expected, options),
    );
  }

  delete(key: string, expected: Expected): Promise<number> {
    return this.#expecting(key, this.#storage.delete(this.#toPath(key), expected));
  }

  watch(prefix: string, afterRevision: number, watcher: Watcher, signal: AbortSignal): Promise<void> {
    return this.#storage.watch(
      this.#toPath(prefix),
      afterRevision,
      {
        onEvents: events => watcher.onEvents(events.map(event => this.#eventOf(event))),
        onProgress: revision => watcher.onProgress?.(revision),
        onEnd: error => watcher.onEnd(error),
      },
      signal,
    );
  }

  compact(revision: number): Promise<void> {
    return this.#storage.compact(revision);
  }

  snapshot(file: string): Promise<void> {
    return this.#storage.snapshot(file);
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#storage[Symbol.asyncDispose]();
  }

  async #expecting(key: string, write: Promise<number>): Promise<number> {
    try {
      return await write;
    } catch (error) {
      if (!(error instanceof ExpectationError)) throw error;
      throw new ExpectationError(key, error.current && this.#entryOf(error.current));
    }
  }

  /** `/registry/deployments.apps/…` → `/registry/deployments/…`. Also of the prefix of all keys. */
  #toPath(key: string): string {
    if (!key.startsWith(ownPrefix)) return key;
    const [resource, rest] = splitAt(key.slice(ownPrefix.length), 1);
    const dot = resource.indexOf('.');
    const path =
      builtIns.get(resource)?.path ?? (dot < 0 ? resource : `${resource.slice(dot + 1)}/${resource.slice(0, dot)}`);
    return `${this.#prefix}${path}${rest}`;
  }

  #entryOf({ key: path, value, ...revisions }: Entry): Entry {
    const key = toKey(this.#prefix, path);
    return { ...revisions, key, value: { ...outdatedOf(value), bytes: decode(key, value.bytes) } };
  }

  #eventOf(event: StorageEvent): StorageEvent {
    const key = toKey(this.#prefix, event.key);
    const { bytes, object } = event.value;
    const value = object instanceof Rider ? object.value : { bytes: decode(key, bytes) };
    return { ...event, key, value: { ...value, ...outdatedOf(event.value) } };
  }

  #encode(key: string, { bytes, object }: StoredValue): Uint8Array {
    if (!isStored(bytes)) return bytes;
    const builtIn = builtInOf(key);
    if (!builtIn) return bytes;
    if (this.#writesProtobuf) {
      const { kind } = builtIn;
      const decoded = (object ?? decodeJson(Buffer.from(bytes))) as ApiObject;
      const { resourceVersion: _resourceVersion, ...metadata } = decoded.metadata;
      return encodeProtobuf(kind, { ...decoded, metadata });
    }
    return withNewline(builtIn.head, bytes);
  }
}

/** Which resource stands under a path of upstream's: `/registry/services/specs/default/web` → `services`. */
export function resourceOfPath(path: string, { keyPrefix }: UpstreamFormOptions = {}): string {
  const [resource] = splitAt(toKey(prefixOf(keyPrefix), path).slice(ownPrefix.length), 1);
  return resource;
}

function prefixOf(keyPrefix = '/registry'): string {
  return `/${keyPrefix.replace(/^\/+|\/+$/g, '')}/`;
}

/** Back to the keys of this server. */
function toKey(prefix: string, path: string): string {
  if (!path.startsWith(prefix)) return path;
  const within = path.slice(prefix.length);
  for (const segments of [1, 2]) {
    const [first, rest] = splitAt(within, segments);
    const name = builtInPaths.get(first);
    if (name !== undefined) return `${ownPrefix}${name}${rest}`;
  }
  const [group, rest] = splitAt(within, 1);
  // Custom resources stand below their group, which has a dot; whatever else there is keeps its name.
  if (!group.includes('.')) return ownPrefix + (rest === '' ? `${group}/` : within);
  const [both, name] = splitAt(within, 2);
  return `${ownPrefix}${both.slice(group.length + 1)}.${group}${name}`;
}

/** What an encrypting store below says of the form it has. */
function outdatedOf({ isOutdated }: StoredValue): Pick<StoredValue, 'isOutdated'> {
  return isOutdated ? { isOutdated } : {};
}

/** Head, the members without their opening brace, and the newline that Go's encoder writes. */
function withNewline(head: Buffer, bytes: Uint8Array): Buffer {
  const encoded = Buffer.allocUnsafe(head.length + bytes.length);
  encoded.set(head);
  encoded.set(bytes.subarray(1), head.length);
  encoded[encoded.length - 1] = newline;
  return encoded;
}

function builtInOf(key: string): BuiltIn | undefined {
  return builtIns.get(splitAt(key.slice(ownPrefix.length), 1)[0]);
}

/** Back to what `encodeStored` made. What is neither JSON nor protobuf (encrypted, for example) stays as it is. */
function decode(key: string, bytes: Uint8Array): Uint8Array {
  const builtIn = builtInOf(key);
  if (!builtIn && isStored(bytes)) return bytes;
  if (builtIn && startsWith(bytes, builtIn.head) && startsWith(bytes, metadataMember, builtIn.head.length)) {
    // The comma before the members becomes their brace.
    const end = bytes.at(-1) === newline ? bytes.length - 1 : bytes.length;
    const members = Buffer.from(bytes.subarray(builtIn.head.length - 1, end));
    members[0] = openBrace;
    return members;
  }
  if (startsWith(bytes, protobufMagic)) return decodeForeign(builtIn, objectOf(bytes)) ?? bytes;
  if (bytes[0] !== openBrace) return bytes;
  return decodeForeign(builtIn, decodeJson(Buffer.from(bytes)) as unknown as ApiObject) ?? bytes;
}

const metadataMember = Buffer.from('"metadata":{');

/** An object that another program has written, as this one would have. */
function decodeForeign(builtIn: BuiltIn | undefined, object: ApiObject | undefined): Uint8Array | undefined {
  if (!object || typeof object.metadata !== 'object') return undefined;
  if (!builtIn) {
    // Of custom resources the cache takes care; it wants metadata in front.
    return encodeStored({ custom: true } as Kind, object);
  }
  const written = kindsByType.get(`${object.apiVersion} ${object.kind}`) ?? builtIn.kind;
  const decoded = decodeObject(written.schema, object as unknown as Json, { unknown: 'drop' }).object;
  defaultObject(written, decoded);
  const own = written === builtIn.kind ? decoded : (written.toStored?.(decoded as never) ?? decoded);
  return encodeStored(builtIn.kind, own as unknown as ApiObject);
}

function objectOf(bytes: Uint8Array): ApiObject | undefined {
  const { apiVersion, kind, raw } = decodeProtobuf(bytes);
  if (kind === 'RangeAllocation') return rangeAllocationOf(raw) as unknown as ApiObject;
  const written = kindsByType.get(`${apiVersion} ${kind}`);
  return written && ({ apiVersion, kind, ...decodeMessage(written.schema, raw) } as unknown as ApiObject);
}

/** Of a kind that nobody serves: what NodePorts keeps. */
function rangeAllocationOf(raw: Uint8Array): object {
  const reader = new Reader(raw);
  let [range, data] = ['', ''];
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === 0x12) range = reader.string();
    else if (tag === 0x1a) data = reader.view().toString('base64');
    else reader.skip(tag & 7);
  }
  return { apiVersion: 'v1', kind: 'RangeAllocation', metadata: {}, range, data };
}

function isStored(bytes: Uint8Array): boolean {
  return startsWith(bytes, storedHead);
}

function startsWith(bytes: Uint8Array, head: Uint8Array, at = 0): boolean {
  if (bytes.length < at + head.length) return false;
  for (let index = 0; index < head.length; index++) if (bytes[at + index] !== head[index]) return false;
  return true;
}

/** The first segments, and the rest from its slash on. */
function splitAt(path: string, segments: number): readonly [string, string] {
  let at = -1;
  for (let count = 0; count < segments; count++) {
    at = path.indexOf('/', at + 1);
    if (at < 0) return [path, ''];
  }
  return [path.slice(0, at), path.slice(at)];
}
