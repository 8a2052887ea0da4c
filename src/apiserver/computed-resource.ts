import { errors } from '#api/machinery/errors.ts';
import { apiVersionOf, type ApiObject, type Kind, listKindOf } from '#api/machinery/kind.ts';
import type { ApiResponse } from '#client/transport.ts';
import { objectResponse } from './answer.ts';
import { internalType } from './body.ts';
import { selectionOf } from './cache/selection.ts';
import type { Call } from './call.ts';
import { includeObjectOf, tableOf } from './encoding/table.ts';
import type { Media } from './media-type.ts';
import { keyOf, type Resource } from './registry.ts';

/** A resource that nobody stores: its objects are worked out when somebody asks. Only get and list are served. */
export interface ComputedResource {
  readonly kind: Kind;
  /** The objects of a namespace, or of all when it is empty; in no order. */
  list(namespace: string): readonly ApiObject[] | Promise<readonly ApiObject[]>;
  get(namespace: string, name: string): ApiObject | undefined | Promise<ApiObject | undefined>;
}

export function serveComputed(computed: ComputedResource) {
  return (call: Call, resource: Resource): Promise<ApiResponse> =>
    call.info.name !== '' && call.info.verb === 'get' ? one(computed, call, resource) : all(computed, call, resource);
}

async function one(computed: ComputedResource, call: Call, resource: Resource): Promise<ApiResponse> {
  const { namespace, name } = call.info;
  const media = mediaOf(call);
  const found = await computed.get(namespace, name);
  if (!found) throw errors.notFound(resource.kind, name);
  return objectResponse(call, 200, resource, found, media);
}

async function all(computed: ComputedResource, call: Call, resource: Resource): Promise<ApiResponse> {
  const { kind } = resource;
  const { namespace, labelSelector = '', fieldSelector = '' } = call.info;
  const media = mediaOf(call);
  const { matches } = selectionOf(kind, labelSelector, fieldSelector);
  const objects = (await computed.list(namespace)).filter(each => !matches || matches(each));
  const sorted = objects.map(each => ({
    key: keyOf(kind, each.metadata.namespace ?? '', each.metadata.name ?? ''),
    each,
  }));
  sorted.sort((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0));
  return listResponse(
    call,
    kind,
    sorted.map(({ each }) => each),
    media,
  );
}

function listResponse(call: Call, kind: Kind, items: readonly ApiObject[], media: Media): ApiResponse {
  if (media.as === 'Table') {
    const form = {
      version: media.asVersion,
      include: includeObjectOf(call.request.query),
      nowMs: call.foundation.clock.now(),
    };
    return call.valueResponse(200, tableOf(kind, items, {}, form), media);
  }
  if (media.as) throw errors.notAcceptable(`the requested object is a list (*${internalType(kind)}List)`);
  const list = { kind: listKindOf(kind), apiVersion: apiVersionOf(kind), metadata: {}, items };
  return call.valueResponse(200, list, media);
}

/** As JSON or YAML: nobody has agreed on the numbers of fields that are not stored. */
function mediaOf(call: Call): Media {
  return call.media({ protobuf: false, transforms: true, stream: false });
}
