import { apiVersionOf, type ApiObject, listKindOf } from '#api/machinery/kind.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { ApiResponse } from '#client/transport.ts';
import { objectMedia } from '../answer.ts';
import type { Call } from '../call.ts';
import { deleteObject } from '../delete-object.ts';
import { readDeleteOptions } from '../delete-options.ts';
import { encodeListProtobuf, encodeMessage } from '#api/machinery/protobuf.ts';
import { type Resource, viewOf } from '../registry.ts';
import { readPage } from './list.ts';

/** Deletions at once: enough to share commits of the store, few enough to leave room for others. */
const concurrency = 64;

/** Deletes what a list with the same query gives; what is gone meanwhile does not matter. */
export async function deleteCollection(call: Call, resource: Resource): Promise<ApiResponse> {
  const { kind } = resource;
  const media = objectMedia(call, resource);
  const options = await readDeleteOptions(call, kind);
  const { entries, metadata } = await readPage(call, resource);
  const items: ApiObject[] = [];
  for (let at = 0; at < entries.length; at += concurrency) {
    const deleted = await Promise.all(
      entries.slice(at, at + concurrency).map(async entry => {
        const { namespace = '', name = '' } = entry.object.metadata;
        try {
          return (await deleteObject(call, resource, namespace, name, options)).object;
        } catch (error) {
          if (isReason(error, 'NotFound')) return viewOf(resource, entry);
          throw error;
        }
      }),
    );
    items.push(...deleted);
  }
  const list = {
    kind: listKindOf(kind),
    apiVersion: apiVersionOf(kind),
    metadata,
    items: kind.custom ? items : items.map(({ kind: _kind, apiVersion: _apiVersion, ...rest }) => rest),
  };
  if (media.format !== 'protobuf') return call.valueResponse(200, list, { ...media });
  return call.valueResponse(200, list, media, () =>
    encodeListProtobuf(
      kind,
      metadata,
      items.map(item => encodeMessage(kind.schema, item)),
    ),
  );
}
