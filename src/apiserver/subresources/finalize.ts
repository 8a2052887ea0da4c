import type { ApiObject, Draft } from '#api/machinery/kind.ts';
import type { Namespace } from '#api/core/v1/namespace.ts';
import type { ApiResponse } from '#client/transport.ts';
import { objectMedia, writtenResponse } from '../answer.ts';
import { readObject } from '../body.ts';
import { type Call, writeOptionsOf } from '../call.ts';
import { changeObject } from '../change-object.ts';
import { matchName } from '../metadata.ts';
import type { Resource } from '../registry.ts';

/** The namespace controller takes its finalizer away; with the last one the namespace goes. */
export async function finalize(call: Call, resource: Resource): Promise<ApiResponse> {
  const media = objectMedia(call, resource);
  const options = writeOptionsOf(call, 'UpdateOptions');
  const { kind } = resource;
  const wanted = (await readObject(call, kind, options.fieldValidation)) as unknown as Draft<Namespace>;
  matchName(wanted.metadata, call.info.name);
  const written = await changeObject(call, {
    resource,
    namespace: '',
    name: call.info.name,
    subresource: 'finalize',
    options,
    produce: current => {
      const finalizers = wanted.spec?.finalizers;
      const { finalizers: _, ...spec } = (current as Namespace).spec ?? {};
      return {
        ...current,
        metadata: {
          ...current.metadata,
          // What the client read decides whether it may write.
          uid: wanted.metadata.uid ?? current.metadata.uid,
          resourceVersion: wanted.metadata.resourceVersion ?? '',
        },
        // Without a member that is undefined: a patch takes the object as it is, and knows no such value.
        spec: { ...spec, ...(finalizers && { finalizers: [...finalizers] }) },
      } as Draft<ApiObject>;
    },
    rules: { prepare() {}, validate: (object, _, report) => kind.validate?.(object, report) },
  });
  return writtenResponse(call, 200, resource, written, media);
}
