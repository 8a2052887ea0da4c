import { errors } from '#api/machinery/errors.ts';
import type { ApiResponse } from '#client/transport.ts';
import { entryResponse, objectMedia } from '../answer.ts';
import type { Call } from '../call.ts';
import { existing, type Resource, viewsReady } from '../registry.ts';
import { awaitRevision } from '../resource-version.ts';

export async function get(call: Call, resource: Resource): Promise<ApiResponse> {
  const { info, request } = call;
  const media = objectMedia(call, resource);
  if (request.query.get('export') === 'true' || request.query.get('export') === '1')
    throw errors.badRequest('the export parameter, deprecated since v1.14, is no longer supported');
  const waiting = awaitRevision(call, request.query.get('resourceVersion') ?? '');
  if (waiting) await waiting;
  const entry = existing(resource, info.namespace, info.name);
  const ready = viewsReady(resource, [entry]);
  if (ready) await ready;
  return entryResponse(call, 200, resource, entry, media);
}
