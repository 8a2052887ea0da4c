import { ComponentStatus } from '#api/core/v1/component-status.ts';
import { errors } from '#api/machinery/errors.ts';
import type { ApiResponse } from '#client/transport.ts';
import { objectMedia, objectResponse } from '../answer.ts';
import { selectionOf } from '../cache/selection.ts';
import type { Call } from '../call.ts';
import type { Resource } from '../registry.ts';
import { tableOf, includeObjectOf } from '../encoding/table.ts';
import type { ApiObject } from '#api/machinery/kind.ts';

/** Deprecated upstream since 1.19: says of the parts in this process that they are well, since otherwise nobody would. */
export function componentStatuses(call: Call, resource: Resource): ApiResponse {
  const names = ['controller-manager', 'scheduler', 'etcd-0'];
  const media = objectMedia(call, resource);
  call.warn('v1 ComponentStatus is deprecated in v1.19+');
  const { info } = call;
  const { matches } = selectionOf(resource.kind, info.labelSelector ?? '', info.fieldSelector ?? '');
  const items = names.map(statusOf).filter(each => info.verb === 'get' || (matches?.(each) ?? true));
  if (info.verb === 'get') {
    const found = items.find(each => each.metadata.name === info.name);
    if (!found) throw errors.notFound(ComponentStatus as never, info.name);
    return objectResponse(call, 200, resource, found, media);
  }
  if (media.as === 'Table') {
    const form = {
      version: media.asVersion,
      include: includeObjectOf(call.request.query),
      nowMs: call.foundation.clock.now(),
    };
    return call.valueResponse(200, tableOf(resource.kind, items, { resourceVersion: '' }, form), media);
  }
  return call.respond(200, { kind: 'ComponentStatusList', apiVersion: 'v1', metadata: {}, items });
}

function statusOf(name: string): ApiObject {
  return {
    kind: 'ComponentStatus',
    apiVersion: 'v1',
    metadata: { name },
    conditions: [{ type: 'Healthy', status: 'True', message: 'ok' }],
  } as ApiObject;
}
