import { encodeJson } from '#api/machinery/json.ts';
import { apiVersionOf, type ApiObject } from '#api/machinery/kind.ts';
import { encodeProtobuf, encodeWatchEvent } from '#api/machinery/protobuf.ts';
import type { Status } from '#api/machinery/errors.ts';
import type { CachedObject } from '../cache/entry.ts';
import type { Media } from '../media-type.ts';
import { type Resource, viewOf } from '../registry.ts';
import { partialKinds, statusKind } from './meta-kinds.ts';
import { entryJson, entryProtobuf } from './object.ts';
import { partialOf } from './partial.ts';
import { type IncludeObject, tableOf } from './table.ts';

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** How the events of one watch look. Watches with the same name share what is encoded. */
export interface WatchForm<Item> {
  readonly name: string;
  event(type: EventType, entry: CachedObject): Item;
  /** Only the first event of a Table watch has column definitions. Undefined: no difference. */
  first?(type: EventType, entry: CachedObject): Item;
  bookmark(revision: number, initialEventsEnd: boolean): Item;
  error(status: Status): Item;
}

/** For clients in this process: the shared objects themselves. */
export function objectForm(resource: Resource): WatchForm<unknown> {
  return {
    name: `object:${apiVersionOf(resource.kind)}`,
    event: (type, entry) => ({ type, object: viewOf(resource, entry) }),
    bookmark: (revision, end) => ({ type: 'BOOKMARK', object: bookmarkObject(resource, revision, end) }),
    error: status => ({ type: 'ERROR', object: status }),
  };
}

export function byteForm(
  resource: Resource,
  media: Media,
  include: IncludeObject,
  now: () => number,
): WatchForm<Uint8Array> {
  if (media.as === 'Table') return tableForm(resource, media, include, now);
  if (media.as) return partialForm(resource, media);
  return media.format === 'protobuf' ? protobufForm(resource) : jsonForm(resource);
}

function jsonForm(resource: Resource): WatchForm<Uint8Array> {
  return {
    name: `json:${apiVersionOf(resource.kind)}`,
    event: (type, entry) => entryJson(resource, entry, eventHeads[type], eventEnd),
    bookmark: (revision, end) => frame('BOOKMARK', bookmarkObject(resource, revision, end)),
    error: status => frame('ERROR', status),
  };
}

function protobufForm(resource: Resource): WatchForm<Uint8Array> {
  const { kind } = resource;
  return {
    name: `protobuf:${apiVersionOf(kind)}`,
    event: (type, entry) => encodeWatchEvent(type, entryProtobuf(resource, entry)),
    bookmark: (revision, end) =>
      encodeWatchEvent('BOOKMARK', encodeProtobuf(kind, bookmarkObject(resource, revision, end))),
    error: status => encodeWatchEvent('ERROR', encodeProtobuf(statusKind, status)),
  };
}

function partialForm(resource: Resource, { format, asVersion }: Media): WatchForm<Uint8Array> {
  const encode = (type: string, object: ApiObject) => {
    const partial = partialOf(object, asVersion);
    if (format !== 'protobuf') return frame(type, partial);
    return encodeWatchEvent(type, encodeProtobuf(partialKinds[asVersion], partial));
  };
  return {
    name: `partial:${format}:${asVersion}`,
    event: (type, entry) => encode(type, entry.object),
    bookmark: (revision, end) => encode('BOOKMARK', bookmarkObject(resource, revision, end)),
    error: status =>
      format === 'protobuf' ? encodeWatchEvent('ERROR', encodeProtobuf(statusKind, status)) : frame('ERROR', status),
  };
}

function tableForm(
  resource: Resource,
  { asVersion: version }: Media,
  include: IncludeObject,
  now: () => number,
): WatchForm<Uint8Array> {
  const encode = (type: EventType, entry: CachedObject, headers: boolean) => {
    const resourceVersion = String(entry.revision);
    const form = { version, include, nowMs: now() };
    return frame(type, tableOf(resource.kind, [viewOf(resource, entry)], { resourceVersion }, form, headers));
  };
  return {
    name: `table:${apiVersionOf(resource.kind)}:${version}:${include}`,
    event: (type, entry) => encode(type, entry, false),
    first: (type, entry) => encode(type, entry, true),
    bookmark: (revision, end) => {
      const { metadata } = bookmarkObject(resource, revision, end);
      return frame('BOOKMARK', tableOf(resource.kind, [], { ...metadata }, { version, include, nowMs: now() }, false));
    },
    error: status => frame('ERROR', status),
  };
}

const eventHeads: Readonly<Record<EventType, Buffer>> = {
  ADDED: Buffer.from('{"type":"ADDED","object":'),
  MODIFIED: Buffer.from('{"type":"MODIFIED","object":'),
  DELETED: Buffer.from('{"type":"DELETED","object":'),
};
const eventEnd = Buffer.from('}\n');

function frame(type: string, object: unknown): Buffer {
  return Buffer.from(`{"type":"${type}","object":${encodeJson(object)}}\n`);
}

/** Only says how far the watch has come. */
function bookmarkObject({ kind }: Resource, revision: number, initialEventsEnd: boolean): ApiObject {
  return {
    kind: kind.kind,
    apiVersion: apiVersionOf(kind),
    metadata: {
      resourceVersion: String(revision),
      ...(initialEventsEnd && { annotations: { 'k8s.io/initial-events-end': 'true' } }),
    },
  };
}
