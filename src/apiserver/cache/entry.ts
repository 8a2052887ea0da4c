import { pooledText } from '#api/machinery/apply/field-set-pool.ts';
import type { ManagedFieldsEntry, ObjectMeta } from '#api/meta/v1/object-meta.ts';
import { apiVersionOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import { decodeJson, encodeJson } from '#api/machinery/json.ts';

/**
 * What the store keeps of an object: JSON that starts with `{"metadata":{`, without resourceVersion (the store's revision is
 * it) and, for built-in kinds, without kind and apiVersion (the key says it). So the bytes of every answer are a head, the
 * resourceVersion, and the stored bytes from a fixed offset on.
 */
export function encodeStored(kind: Kind, object: ApiObject): Buffer {
  const { metadata, apiVersion, kind: kindName, ...fields } = object as ApiObject & Record<string, unknown>;
  const rest = encodeJson(kind.custom ? { apiVersion, kind: kindName, ...fields } : fields);
  return Buffer.from(`{"metadata":${encodeMetadata(metadata)}${rest === '{}' ? '}' : `,${rest.slice(1)}`}`);
}

/** managedFields are mostly fields whose JSON is known; and without them the rest takes V8's fast path. */
function encodeMetadata(metadata: ObjectMeta): string {
  const { managedFields } = metadata;
  const rest = encodeJson({ ...metadata, managedFields: undefined, resourceVersion: undefined });
  if (managedFields === undefined) return rest;
  const entries = Array.isArray(managedFields)
    ? `[${managedFields.map(encodeEntry).join(',')}]`
    : encodeJson(managedFields);
  return `${rest === '{}' ? '{' : `${rest.slice(0, -1)},`}"managedFields":${entries}}`;
}

function encodeEntry(entry: ManagedFieldsEntry): string {
  const text = pooledText(entry?.fieldsV1);
  if (text === undefined) return encodeJson(entry);
  const rest = encodeJson({ ...entry, fieldsV1: undefined });
  return `${rest === '{}' ? '{' : `${rest.slice(0, -1)},`}"fieldsV1":${text}}`;
}

/** An object as the store has it at a revision: decoded, and encoded as an item of a list. Never changed. */
export class CachedObject {
  /** `namespace/name`, or `name`: unique and ordered within the resource. */
  readonly key: string;
  readonly revision: number;
  readonly createRevision: number;
  /** JSON with resourceVersion, without kind and apiVersion for built-in kinds. */
  readonly item: Buffer;
  readonly #kind: Kind;
  /** The store has it encrypted in another way than it would be today. */
  readonly isOutdated: (() => boolean) | undefined;
  /** What the store has, where an older schema has left it in another form than `item`. */
  readonly #older: Uint8Array | undefined;
  #object: ApiObject | undefined;
  #derived: Map<string, unknown> | undefined;

  /** `stored` are the bytes of `encodeStored`. The object, when there is one, is taken over and gets its resourceVersion. */
  constructor(
    kind: Kind,
    key: string,
    stored: Uint8Array,
    revision: number,
    createRevision: number,
    object?: ApiObject,
    older?: Uint8Array,
    isOutdated?: () => boolean,
  ) {
    this.isOutdated = isOutdated;
    this.#kind = kind;
    this.#older = older;
    this.key = key;
    this.revision = revision;
    this.createRevision = createRevision;
    this.item = spliceRevision(stored, revision);
    if (object) (object.metadata as { resourceVersion: string }).resourceVersion = String(revision);
    this.#object = object;
  }

  get object(): ApiObject {
    this.#object ??= decodeItem(this.#kind, this.item);
    return this.#object;
  }

  /** The stored bytes behind `{"metadata":{`. */
  get storedTail(): Buffer {
    return this.item.subarray(itemTailOffset(this.revision));
  }

  /** The store has the object in an older form: the next write puts it there in this one, even if nothing else changed. */
  get isStale(): boolean {
    return this.#older !== undefined || this.isOutdated?.() === true;
  }

  /** The bytes that the store has. */
  get stored(): Uint8Array {
    return this.#older ?? Buffer.concat([metadataHead, this.storedTail]);
  }

  /** Forgets what can be made again from the bytes; for objects that only the history still holds. */
  shed(): void {
    this.#object = undefined;
    this.#derived = undefined;
  }

  /** Something computed from the object once and kept with it: another version's view, its protobuf. */
  derive<Value>(name: string, make: () => Value): Value {
    this.#derived ??= new Map();
    let value = this.#derived.get(name) as Value | undefined;
    if (value === undefined) {
      value = make();
      this.#derived.set(name, value);
    }
    return value;
  }

  /** The same object as it was deleted: with the deletion's revision. */
  deletedAt(revision: number): CachedObject {
    const { metadata } = this.object;
    const object = { ...this.object, metadata: { ...metadata } };
    const stored = Buffer.concat([metadataHead, this.storedTail]);
    return new CachedObject(this.#kind, this.key, stored, revision, this.createRevision, object);
  }
}

/**
 * The entry as a custom kind's schema of today has it: pruned, defaulted, in the version that is stored now. It is made of
 * what is in the store, not of what yesterday's schema had made of that.
 */
export function revived(kind: Kind, entry: CachedObject): CachedObject {
  const { key, revision, createRevision, stored, isOutdated } = entry;
  const object = kind.revive?.(decodeJson(stored) as never);
  const bytes = object && encodeStored(kind, object);
  if (!bytes || bytes.equals(stored))
    return new CachedObject(kind, key, stored, revision, createRevision, undefined, undefined, isOutdated);
  return new CachedObject(kind, key, bytes, revision, createRevision, undefined, stored, isOutdated);
}

const metadataHead = Buffer.from('{"metadata":{');
const revisionHead = '{"metadata":{"resourceVersion":"';

function itemTailOffset(revision: number): number {
  return revisionHead.length + String(revision).length + 2;
}

function spliceRevision(stored: Uint8Array, revision: number): Buffer {
  const head = `${revisionHead}${revision}",`;
  const item = Buffer.allocUnsafeSlow(head.length + stored.length - metadataHead.length);
  item.write(head, 0, 'latin1');
  item.set(stored.subarray(metadataHead.length), head.length);
  return item;
}

function decodeItem(kind: Kind, item: Buffer): ApiObject {
  const decoded = JSON.parse(item.toString()) as ApiObject;
  return kind.custom ? decoded : { apiVersion: apiVersionOf(kind), kind: kind.kind, ...decoded };
}
