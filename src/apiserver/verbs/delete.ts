import type { StatusDetails } from '#api/machinery/errors.ts';
import type { Kind } from '#api/machinery/kind.ts';
import type { ApiResponse } from '#client/transport.ts';
import { entryResponse, objectMedia, objectResponse } from '../answer.ts';
import type { Call } from '../call.ts';
import { deleteObject } from '../delete-object.ts';
import { readDeleteOptions } from '../delete-options.ts';
import type { Resource } from '../registry.ts';
import { statusKind } from '../encoding/meta-kinds.ts';
import { encodeProtobuf } from '#api/machinery/protobuf.ts';

export async function remove(call: Call, resource: Resource): Promise<ApiResponse> {
  const { kind } = resource;
  const { namespace, name } = call.info;
  const media = objectMedia(call, resource);
  const options = await readDeleteOptions(call, kind);
  const deleted = await deleteObject(call, resource, namespace, name, options);
  const { gone, entry } = deleted;
  const code = !gone && options.orphanDependents === false ? 202 : 200;
  if (gone && kind.returnsDeleted !== true) return success(call, kind, deleted.object.metadata.uid ?? '', name);
  if (entry) return entryResponse(call, code, resource, entry, media);
  return objectResponse(call, code, resource, deleted.object, media);
}

/** The Status of a deletion that left nothing. */
function success(call: Call, kind: Kind, uid: string, name: string): ApiResponse {
  const details: StatusDetails = { name, ...(kind.group !== '' && { group: kind.group }), kind: kind.plural, uid };
  const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
  const media = call.media({ protobuf: kind.custom !== true, transforms: true, stream: false });
  if (media.format !== 'protobuf') return call.valueResponse(200, status, media);
  return call.valueResponse(200, status, media, () => encodeProtobuf(statusKind, status));
}
