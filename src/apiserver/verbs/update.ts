import { copyOf } from '../copy.ts';
import type { ApiResponse } from '#client/transport.ts';
import { objectMedia, writtenResponse } from '../answer.ts';
import { readObject } from '../body.ts';
import { type Call, writeOptionsOf } from '../call.ts';
import { changeObject, type ChangeRules } from '../change-object.ts';
import { createObject } from '../create-object.ts';
import { matchName, matchNamespace } from '../metadata.ts';
import { keyOf, type Resource } from '../registry.ts';

/** PUT of an object, or of a subresource that is a part of it. */
export async function update(call: Call, resource: Resource, rules?: ChangeRules): Promise<ApiResponse> {
  const { kind } = resource;
  const { namespace, name, subresource } = call.info;
  const media = objectMedia(call, resource);
  const options = writeOptionsOf(call, 'UpdateOptions');
  const draft = await readObject(call, kind, options.fieldValidation);
  matchNamespace(draft.metadata, kind.namespaced ? namespace : '');
  matchName(draft.metadata, name);
  if (kind.createOnUpdate === true && subresource === '' && !resource.cache.get(keyOf(kind, namespace, name))) {
    const created = await createObject(call, resource, draft, options);
    return writtenResponse(call, 201, resource, created, media);
  }
  // Every attempt changes what it gets. With a resourceVersion there is only one.
  const conditional = (draft.metadata.resourceVersion ?? '') !== '';
  const written = await changeObject(call, {
    resource,
    namespace,
    name,
    subresource,
    options,
    ...(rules && { rules }),
    produce: () => (conditional ? draft : copyOf(draft)),
  });
  return writtenResponse(call, 200, resource, written, media);
}
