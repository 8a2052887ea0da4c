import { encodeJson } from '#api/machinery/json.ts';
import { apiVersionOf, type Kind } from '#api/machinery/kind.ts';
import { encodeYaml } from '#api/machinery/yaml.ts';
import type { CachedObject } from '../cache/entry.ts';
import type { Media } from '../media-type.ts';
import { isOwnForm, type Resource, viewOf } from '../registry.ts';
import { encodeMessage, wrapMessage } from '#api/machinery/protobuf.ts';

/** The bytes of a stored object in an answer. JSON and protobuf come from what the cache keeps. */
export function entryBytes(resource: Resource, entry: CachedObject, media: Media): Uint8Array {
  if (media.format === 'protobuf') return entryProtobuf(resource, entry);
  if (media.format === 'json' && !media.pretty) return entryJson(resource, entry, nothing, newline);
  return valueBytes(viewOf(resource, entry), media);
}

/** A whole JSON object between what a frame needs before and behind it; copied once. */
export function entryJson(resource: Resource, entry: CachedObject, before: Buffer, behind: Buffer): Buffer {
  const { kind } = resource;
  if (!isOwnForm(resource, entry)) {
    const view = entry.derive(`json:${apiVersionOf(kind)}`, () => jsonOf(viewOf(resource, entry)));
    return Buffer.concat([before, view, behind]);
  }
  if (kind.custom) return Buffer.concat([before, entry.item, behind]);
  // The head of the object takes the place of the item's opening brace.
  const head = objectHead(kind);
  const { item } = entry;
  const bytes = Buffer.allocUnsafe(before.length + head.length + item.length - 1 + behind.length);
  before.copy(bytes, 0);
  head.copy(bytes, before.length);
  item.copy(bytes, before.length + head.length, 1);
  behind.copy(bytes, bytes.length - behind.length);
  return bytes;
}

const nothing = Buffer.alloc(0);

/** An item of a list: upstream leaves kind and apiVersion of built-in kinds out. */
export function itemJson(resource: Resource, entry: CachedObject): Buffer {
  if (isOwnForm(resource, entry)) return entry.item;
  return entry.derive(`item:${apiVersionOf(resource.kind)}`, () => {
    const view = viewOf(resource, entry);
    if (resource.kind.custom) return jsonOf(view);
    const { apiVersion: _apiVersion, kind: _kind, ...rest } = view;
    return jsonOf(rest);
  });
}

export function entryProtobuf(resource: Resource, entry: CachedObject): Uint8Array {
  return wrapMessage(resource.kind, entryMessage(resource, entry));
}

/** The bare message of an object, as lists hold it. */
export function entryMessage(resource: Resource, entry: CachedObject): Uint8Array {
  return entry.derive(`protobuf:${apiVersionOf(resource.kind)}`, () =>
    encodeMessage(resource.kind.schema, viewOf(resource, entry)),
  );
}

/** Any other object: a Status, a review, a Table. */
export function valueBytes(value: unknown, { format, pretty }: Media): Uint8Array {
  if (format === 'yaml') return Buffer.from(encodeYaml(value));
  if (!pretty) return Buffer.from(`${encodeJson(value)}\n`);
  return Buffer.from(JSON.stringify(JSON.parse(encodeJson(value)), undefined, 2));
}

export const newline = Buffer.from('\n');

/** `{"kind":"Pod","apiVersion":"v1",`: what stands before the fields of a built-in object. */
export function objectHead(kind: Kind): Buffer {
  let head = heads.get(kind);
  if (!head) {
    head = Buffer.from(`{"kind":"${kind.kind}","apiVersion":"${apiVersionOf(kind)}",`);
    heads.set(kind, head);
  }
  return head;
}

const heads = new WeakMap<Kind, Buffer>();

function jsonOf(value: unknown): Buffer {
  return Buffer.from(encodeJson(value));
}
