import { problemOf } from '#api/machinery/decode.ts';
import { ApiError, errors } from '#api/machinery/errors.ts';
import { decodeJson, duplicateKeys } from '#api/machinery/json.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind } from '#api/machinery/kind.ts';
import { applyJsonPatch } from '#api/machinery/patch/json-patch.ts';
import { applyMergePatch } from '#api/machinery/patch/merge-patch.ts';
import { applyStrategicMergePatch } from '#api/machinery/patch/strategic-merge-patch.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import type { Json, JsonObject } from '#api/machinery/schema.ts';
import type { ApiResponse, RequestBody } from '#client/transport.ts';
import { objectMedia, writtenResponse } from '../answer.ts';
import { checkCustomKind, checkIsKind, objectOf } from '../body.ts';
import { type Call, writeOptionsOf, type WriteOptions } from '../call.ts';
import { changeObject, type ChangeRules } from '../change-object.ts';
import { copyOf } from '../copy.ts';
import { essence } from '../media-type.ts';
import type { Resource } from '../registry.ts';
import { apply } from './apply.ts';

/** A patch that was read and can be applied to any version of the object, again and again. */
export interface Patcher {
  readonly options: WriteOptions;
  produce(current: unknown): Promise<Draft<ApiObject>> | Draft<ApiObject>;
}

export async function patch(call: Call, resource: Resource, rules?: ChangeRules): Promise<ApiResponse> {
  const { namespace, name, subresource } = call.info;
  const media = objectMedia(call, resource);
  if (patchType(call) === 'apply') return apply(call, resource, rules);
  const patcher = await readPatch(call, resource.kind);
  const written = await changeObject(call, {
    resource,
    namespace,
    name,
    subresource,
    options: patcher.options,
    ...(rules && { rules }),
    produce: current => patcher.produce(current),
  });
  return writtenResponse(call, 200, resource, written, media);
}

type PatchType = 'json' | 'merge' | 'strategic' | 'apply';

const patchTypes: Readonly<Record<string, PatchType>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};

export function patchType(call: Call): PatchType | undefined {
  const type = essence(call.header('content-type'));
  return Object.hasOwn(patchTypes, type) ? patchTypes[type] : undefined;
}

/** Reads a JSON, merge or strategic merge patch. Throws ApiError for what is no such patch. */
export async function readPatch(call: Call, kind: Kind): Promise<Patcher> {
  const type = patchType(call);
  if (!type || type === 'apply' || (type === 'strategic' && kind.custom === true)) throw unsupported(kind);
  const force = call.request.query.get('force');
  if (force !== null && force !== '')
    throw errors.invalid('meta.k8s.io', 'PatchOptions', '', [
      { type: 'FieldValueForbidden', field: 'force', message: 'Forbidden: may not be specified for non-apply patch' },
    ]);
  const options = writeOptionsOf(call, 'PatchOptions');
  const body = await call.request.body();
  // Of a strategic patch upstream does not say where it fails, and null is one that changes nothing.
  const failing = type === 'strategic' ? '' : 'error decoding patch: ';
  const value = patchValue(body, failing);
  const wanted = value === null && type === 'strategic' ? {} : value;
  call.record?.sent(wanted);
  const validates = options.fieldValidation !== 'Ignore';
  if (type === 'json' && validates) checkOperations(wanted);
  const found = validates ? duplicatesOf(body) : [];
  const duplicates =
    type === 'json' && validates ? [...found, ...unknownIn(wanted)].map(each => `json patch ${each}`) : found;
  if (type === 'merge' && wanted === null) throw errors.badRequest('Invalid JSON Patch');
  if (type !== 'json' && (typeof wanted !== 'object' || Array.isArray(wanted)))
    throw errors.badRequest(
      `${failing}json: cannot unmarshal ${goTypeOf(wanted)} into Go value of type map[string]interface {}`,
    );
  return {
    options,
    produce(current) {
      const before = current as JsonObject;
      const patched =
        type === 'json'
          ? applyJsonPatch(before, wanted)
          : type === 'merge'
            ? applyMergePatch(before, wanted)
            : ofKind(kind, applyStrategicMergePatch(kind.schema, before, wanted as JsonObject));
      return decodePatched(call, kind, patched, options, duplicates);
    },
  };
}

/** A strategic patch is applied to a type: what it says of the kind says nothing. */
function ofKind(kind: Kind, { kind: _kind, apiVersion: _apiVersion, ...patched }: JsonObject): JsonObject {
  return { kind: kind.kind, apiVersion: apiVersionOf(kind), ...patched };
}

function decodePatched(
  call: Call,
  kind: Kind,
  patched: Json,
  options: WriteOptions,
  duplicates: readonly string[],
): Draft<ApiObject> {
  // What the patch left alone is shared with the cache, and decoding changes in place.
  const value = copyOf(patched);
  try {
    if (kind.custom) checkCustomKind(kind, value);
    else checkIsKind(call, kind, value);
    const object = objectOf(call, kind, value, options.fieldValidation, [...duplicates]);
    defaultObject(kind, object as never);
    return object;
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== 'BadRequest') throw error;
    throw errors.invalid('', '', '', [
      {
        type: 'FieldValueInvalid',
        field: 'patch',
        message: `Invalid value: ${JSON.stringify(JSON.stringify(value))}: ${problemOf(error)}`,
      },
    ]);
  }
}

function patchValue(body: RequestBody, failing: string): Json {
  if (body.kind === 'object') return body.object as Json;
  try {
    return decodeJson(body.bytes);
  } catch (error) {
    throw errors.badRequest(`${failing}${(error as Error).message}`);
  }
}

/** What Go's decoder says of a list of operations that is none. */
function checkOperations(wanted: Json): void {
  const misfit = (value: Json, type: string) =>
    errors.badRequest(`error decoding patch: json: cannot unmarshal ${goTypeOf(value)} into Go ${type}`);
  if (wanted === null) return;
  if (!Array.isArray(wanted)) throw misfit(wanted, 'value of type []handlers.jsonPatchOp');
  for (const operation of wanted as readonly Json[]) {
    if (operation === null) continue;
    if (typeof operation !== 'object' || Array.isArray(operation))
      throw misfit(operation, 'value of type handlers.jsonPatchOp');
    for (const name of ['op', 'path', 'from']) {
      const value = (operation as JsonObject)[name];
      if (value !== undefined && value !== null && typeof value !== 'string')
        throw misfit(value, `struct field jsonPatchOp.${name} of type string`);
    }
  }
}

function goTypeOf(value: Json): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value === 'bigint' ? 'number' : typeof value;
}

const operationFields = new Set(['op', 'path', 'from', 'value']);

function unknownIn(wanted: Json): readonly string[] {
  return ((wanted ?? []) as readonly (JsonObject | null)[]).flatMap((operation, index) =>
    Object.keys(operation ?? {})
      .filter(name => !operationFields.has(name))
      .map(name => `unknown field ${JSON.stringify(`[${index}].${name}`)}`),
  );
}

function duplicatesOf(body: RequestBody): readonly string[] {
  if (body.kind === 'object') return [];
  return duplicateKeys(body.bytes).map(path => `duplicate field ${JSON.stringify(path)}`);
}

function unsupported(kind: Kind): ApiError {
  const accepted = Object.keys(patchTypes).filter(type => kind.custom !== true || patchTypes[type] !== 'strategic');
  return errors.unsupportedMediaType(
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  );
}
