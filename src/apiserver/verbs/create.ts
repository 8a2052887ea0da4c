import type { ApiResponse } from '#client/transport.ts';
import { objectMedia, writtenResponse } from '../answer.ts';
import { readObject } from '../body.ts';
import { type Call, writeOptionsOf } from '../call.ts';
import { createObject } from '../create-object.ts';
import type { Resource } from '../registry.ts';

export async function create(call: Call, resource: Resource): Promise<ApiResponse> {
  const { kind } = resource;
  const media = objectMedia(call, resource);
  const options = writeOptionsOf(call, 'CreateOptions');
  const draft = await readObject(call, kind, options.fieldValidation);
  const written = await createObject(call, resource, draft, options);
  return writtenResponse(call, 201, resource, written, media);
}
