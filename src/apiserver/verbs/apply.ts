import { applyObject, checkConfigurationFits } from '#api/machinery/apply/apply.ts';
import { errors } from '#api/machinery/errors.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind } from '#api/machinery/kind.ts';
import type { FieldError } from '#api/machinery/validation.ts';
import { decodeYaml, duplicateYamlKeys } from '#api/machinery/yaml.ts';
import type { Json, JsonObject } from '#api/machinery/schema.ts';
import { denied } from '#auth/authorization/denial.ts';
import type { ApiResponse, RequestBody } from '#client/transport.ts';
import { objectMedia, writtenResponse } from '../answer.ts';
import { objectOf } from '../body.ts';
import { type Call, writeOptionsOf, type WriteOptions } from '../call.ts';
import { changeObject, type ChangeRules } from '../change-object.ts';
import { copyOf } from '../copy.ts';
import { createObject } from '../create-object.ts';
import { matchName } from '../metadata.ts';
import { isTrue } from '../query.ts';
import { keyOf, otherVersionsOf, type Resource } from '../registry.ts';

/** Server-side apply: the body is everything that its manager wants; what it wanted before and no longer does goes. */
export async function apply(call: Call, resource: Resource, rules?: ChangeRules): Promise<ApiResponse> {
  const { kind } = resource;
  const { namespace, name, subresource } = call.info;
  const media = objectMedia(call, resource);
  const { applied, options, force } = await readApply(call, kind);
  const versions = otherVersionsOf(call.foundation.registry, resource);
  const produce = (live: ApiObject | undefined): Draft<ApiObject> => {
    const { object, managedFields } = applyObject({
      kind,
      versions,
      live,
      applied: copyOf(applied),
      manager: options.fieldManager,
      force,
      subresource,
      nowMs: call.foundation.clock.now(),
    });
    const draft = objectOf(call, kind, copyOf(object) as unknown as Json, 'Ignore');
    if (managedFields.length === 0) delete draft.metadata.managedFields;
    else draft.metadata.managedFields = managedFields as never;
    defaultObject(kind, draft as never);
    return draft;
  };
  if (!resource.cache.get(keyOf(kind, namespace, name))) {
    if (subresource !== '') throw errors.notFound(kind, name);
    const draft = produce(undefined);
    if ((draft.metadata.uid ?? '') !== '')
      throw errors.conflict(
        kind,
        name,
        `uid mismatch: the provided object specified uid ${draft.metadata.uid}, and no existing object was found`,
      );
    matchName(draft.metadata, name);
    await mayCreate(call, kind);
    delete draft.metadata.resourceVersion;
    const created = await createObject(call, resource, draft, { ...options, ownersKnown: true });
    return writtenResponse(call, 201, resource, created, media);
  }
  const written = await changeObject(call, {
    resource,
    namespace,
    name,
    subresource,
    options,
    ownersKnown: true,
    ...(rules && { rules }),
    produce,
  });
  return writtenResponse(call, 200, resource, written, media);
}

/** A configuration and how it is to be applied. Throws ApiError for what is none. */
export async function readApply(call: Call, kind: Kind) {
  const options = applyOptionsOf(call);
  const force = isTrue(call.request.query.get('force'));
  return { applied: appliedObject(call, kind, await call.request.body(), options), options, force };
}

function applyOptionsOf(call: Call): WriteOptions {
  const { query } = call.request;
  const found: FieldError[] = [];
  if ((query.get('fieldManager') ?? '') === '')
    found.push({
      type: 'FieldValueRequired',
      field: 'fieldManager',
      message: 'Required value: is required for apply patch',
    });
  if (found.length > 0) throw errors.invalid('meta.k8s.io', 'PatchOptions', '', found);
  return writeOptionsOf(call, 'PatchOptions');
}

/** The body, YAML or JSON, as it stands: defaults would become fields that the manager owns. */
function appliedObject(call: Call, kind: Kind, body: RequestBody, options: WriteOptions): ApiObject {
  const duplicates: string[] = [];
  const value = appliedValue(body, options.fieldValidation === 'Ignore' ? undefined : duplicates);
  if (duplicates.length > 0 && options.fieldValidation === 'Strict')
    throw errors.badRequest(`error strict decoding YAML: error converting YAML to JSON: ${duplicates.join(', ')}`);
  for (const duplicate of duplicates) call.warn(duplicate.replace(/^yaml: unmarshal errors:\n {2}/, ''));
  call.record?.sent(value);
  const { apiVersion, kind: name, metadata } = value;
  if (name !== kind.kind || apiVersion !== apiVersionOf(kind))
    throw errors.badRequest(`invalid object type: ${goGroupVersion(apiVersion)}, Kind=${textOf(name)}`);
  if (isObject(metadata) && (metadata['managedFields'] ?? null) !== null)
    throw errors.badRequest('metadata.managedFields must be nil');
  checkConfigurationFits(kind, value);
  return objectOf(call, kind, value, 'Ignore') as ApiObject;
}

/** As Go prints a group and a version: `/v1` for the core group. */
function goGroupVersion(apiVersion: Json | undefined): string {
  const parts = textOf(apiVersion).split('/');
  return parts.length === 1 ? `/${parts[0]}` : parts.length === 2 ? parts.join('/') : '/';
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function appliedValue(body: RequestBody, duplicates: string[] | undefined): JsonObject {
  const value = body.kind === 'object' ? (copyOf(body.object) as Json) : decodedYaml(body.bytes, duplicates);
  if (value === null) return {};
  if (isObject(value)) return value;
  const sort = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
  throw errors.badRequest(
    `error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal ${sort} into Go value of type map[string]interface {}`,
  );
}

function decodedYaml(bytes: Uint8Array, duplicates: string[] | undefined): Json {
  try {
    const value = decodeYaml(bytes);
    duplicates?.push(...duplicateYamlKeys(bytes));
    return value;
  } catch (error) {
    throw errors.badRequest(`error decoding YAML: ${(error as Error).message}`);
  }
}

/** An apply that would create needs the permission to create as well. */
async function mayCreate(call: Call, { group, version }: Kind): Promise<void> {
  const { info, user } = call;
  const attributes = {
    user,
    verb: 'create',
    resourceRequest: true,
    path: info.path,
    group,
    version,
    resource: info.resource,
    subresource: info.subresource,
    namespace: info.namespace,
    name: info.name,
  };
  const { decision, reason } = await call.authorize(attributes);
  if (decision !== 'allow') throw denied(attributes, reason);
}
