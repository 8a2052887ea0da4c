import { errors } from '#api/machinery/errors.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import { encodeProtobuf } from '#api/machinery/protobuf.ts';
import type { ApiResponse } from '#client/transport.ts';
import { internalType } from './body.ts';
import type { CachedObject } from './cache/entry.ts';
import type { Call } from './call.ts';
import type { Written } from './create-object.ts';
import { partialKinds } from './encoding/meta-kinds.ts';
import { entryBytes } from './encoding/object.ts';
import { partialOf } from './encoding/partial.ts';
import { includeObjectOf, tableOf } from './encoding/table.ts';
import { contentTypes, type Media } from './media-type.ts';
import { type Resource, viewOf } from './registry.ts';

/** What a resource can be answered as. */
export function objectMedia(call: Call, resource: Resource): Media {
  return call.media({ protobuf: resource.kind.custom !== true, transforms: true, stream: false });
}

export function writtenResponse(
  call: Call,
  code: number,
  resource: Resource,
  written: Written,
  media: Media,
): ApiResponse {
  return written.entry
    ? entryResponse(call, code, resource, written.entry, media)
    : objectResponse(call, code, resource, written.object, media);
}

export function entryResponse(
  call: Call,
  code: number,
  resource: Resource,
  entry: CachedObject,
  media: Media,
): ApiResponse {
  if (media.as) return objectResponse(call, code, resource, viewOf(resource, entry), media);
  return {
    kind: 'object',
    code,
    headers: { 'content-type': contentTypes[media.format] },
    get object() {
      return viewOf(resource, entry);
    },
    bytes: () => [entryBytes(resource, entry, media)],
  };
}

/** An object that is not (or no longer) in the store. */
export function objectResponse(
  call: Call,
  code: number,
  resource: Resource,
  object: ApiObject,
  media: Media,
): ApiResponse {
  const { kind } = resource;
  if (media.as === 'Table') {
    const form = {
      version: media.asVersion,
      include: includeObjectOf(call.request.query),
      nowMs: call.foundation.clock.now(),
    };
    const { resourceVersion = '' } = object.metadata;
    return call.valueResponse(code, tableOf(kind, [object], { resourceVersion }, form), media);
  }
  if (media.as === 'PartialObjectMetadataList') {
    const why = `the requested object is not a list (*${internalType(kind)})`;
    throw errors.notAcceptable(`you requested PartialObjectMetadataList, but ${why}`);
  }
  if (media.as) {
    const partial = partialOf(object, media.asVersion);
    if (media.format !== 'protobuf') return call.valueResponse(code, partial, media);
    return call.valueResponse(code, partial, media, () => encodeProtobuf(partialKinds[media.asVersion], partial));
  }
  if (media.format !== 'protobuf') return call.valueResponse(code, object, media);
  return call.valueResponse(code, object, media, () => encodeProtobuf(kind, object));
}
