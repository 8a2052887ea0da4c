import { apiVersionOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import { encodeJson } from '#api/machinery/json.ts';

/**
 * What the store keeps of an object: JSON that starts with `{"metadata":{`, without resourceVersion (the store's revision is
 * it) and, for built-in kinds, without kind and apiVersion (the key says it). So the bytes of every answer are a head, the
 * resourceVersion, and the stored bytes from a fixed offset on.
 */
export function encodeStored(kind: Kind, object: ApiObject): Buffer {
  const { metadata, apiVersion, kind: kindName, ...rest } = object as ApiObject & Record<string, unknown>;
  const versionless = { ...metadata, resourceVersion: undefined };
  return Buffer.from(
    encodeJson(
      kind.custom ? { metadata: versionless, apiVersion, kind: kindName, ...rest } : { metadata: versionless, ...rest },
    ),
  );
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
  ) {
    this.#kind = kind;
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
