import { ApiError, errors } from '#api/machinery/errors.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import { decodeJson, duplicateKeys } from '#api/machinery/json.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind } from '#api/machinery/kind.ts';
import { decodeMessage, decodeProtobuf } from '#api/machinery/protobuf.ts';
import type { Json } from '#api/machinery/schema.ts';
import { decodeYaml, duplicateYamlKeys } from '#api/machinery/yaml.ts';
import type { RequestBody } from '#client/transport.ts';
import type { Call, WriteOptions } from './call.ts';
import { bodyFormat } from './media-type.ts';

type FieldValidation = WriteOptions['fieldValidation'];

/** Reads the body as an object of a kind: decoded, checked as strictly as the client asks, defaulted. */
export async function readObject<Type extends ApiObject>(
  call: Call,
  kind: Kind<Type>,
  fieldValidation: FieldValidation,
): Promise<Draft<Type>> {
  const body = await call.request.body();
  return decodeBody(call, kind as unknown as Kind, body, fieldValidation) as Draft<Type>;
}

export function decodeBody(
  call: Call,
  kind: Kind,
  body: RequestBody,
  fieldValidation: FieldValidation,
): Draft<ApiObject> {
  const problems: string[] = [];
  const value = valueOf(kind, body, fieldValidation === 'Ignore' ? undefined : problems);
  checkType(kind, value);
  const object = objectOf(call, kind, value, fieldValidation, problems);
  defaultObject(kind, object as never);
  return object;
}

/** Decodes a value that is an object already (a body, or the result of a patch), without defaults. */
export function objectOf(
  call: Call,
  kind: Kind,
  value: Json,
  fieldValidation: FieldValidation,
  problems: string[] = [],
): Draft<ApiObject> {
  const { object, unknown } = decodeObject(kind.schema, value, {
    unknown: fieldValidation === 'Ignore' ? 'drop' : 'report',
  });
  const all = [...problems, ...unknown];
  if (all.length > 0 && fieldValidation === 'Strict')
    throw errors.badRequest(handled(kind, kind.kind, `strict decoding error: ${all.join(', ')}`));
  for (const problem of all) call.warn(problem);
  object['apiVersion'] = apiVersionOf(kind);
  object['kind'] = kind.kind;
  object['metadata'] ??= {};
  return object as unknown as Draft<ApiObject>;
}

/** The body as plain JSON; duplicate keys go into the list when there is one. */
export function valueOf(kind: Kind, body: RequestBody, duplicates: string[] | undefined): Json {
  if (body.kind === 'object') return body.object as Json;
  const format = bodyFormat(body.contentType, kind.custom !== true);
  const { bytes } = body;
  try {
    switch (format) {
      case 'json': {
        const value = decodeJson(bytes);
        duplicates?.push(...duplicateKeys(bytes).map(path => `duplicate field ${JSON.stringify(path)}`));
        return value;
      }
      case 'yaml': {
        const value = decodeYaml(bytes);
        duplicates?.push(...duplicateYamlKeys(bytes));
        return value;
      }
      case 'protobuf':
        return protobufValue(kind, bytes);
    }
  } catch (error) {
    if (error instanceof ApiError) throw error;
    const message = (error as Error).message;
    const problem = format === 'json' ? `couldn't get version/kind; json parse error: ${message}` : message;
    throw unrecognized(kind, problem, bytes);
  }
}

function protobufValue(kind: Kind, bytes: Uint8Array): Json {
  const { apiVersion, kind: name, raw } = decodeProtobuf(bytes);
  // Another kind's message cannot be read by this schema; the caller says what is wrong.
  if ((name !== '' && name !== kind.kind) || (apiVersion !== '' && apiVersion !== apiVersionOf(kind)))
    return { apiVersion, kind: name };
  return decodeMessage(kind.schema, raw) as Json;
}

/** The body says what it is, or leaves it to the path. */
function checkType(kind: Kind, value: Json): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw errors.badRequest(
      handled(kind, kind.kind, `json: cannot unmarshal ${shown(value)} into Go value of type struct`),
    );
  }
  const { apiVersion = '', kind: name = '' } = value as { apiVersion?: unknown; kind?: unknown };
  if (name !== '' && name !== null && name !== kind.kind) {
    const version = typeof apiVersion === 'string' && apiVersion !== '' ? apiVersion : apiVersionOf(kind);
    throw errors.badRequest(
      `${String(name)} in version ${JSON.stringify(version.split('/').at(-1))} cannot be handled as a ${kind.kind}: no kind ${JSON.stringify(name)} is registered for version ${JSON.stringify(version)} in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"`,
    );
  }
  if (apiVersion !== '' && apiVersion !== null && apiVersion !== apiVersionOf(kind))
    throw errors.badRequest(
      `the API version in the data (${String(apiVersion)}) does not match the expected API version (${apiVersionOf(kind)})`,
    );
}

function handled(kind: Kind, name: string, problem: string): string {
  return `${name} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${problem}`;
}

function unrecognized(kind: Kind, problem: string, bytes: Uint8Array): ApiError {
  return errors.badRequest(
    `the object provided is unrecognized (must be of type ${kind.kind}): ${problem} (${summary(bytes)})`,
  );
}

/** The start of the body, as upstream shows it: text for JSON, hexadecimal for anything else. */
function summary(bytes: Uint8Array): string {
  if (bytes.length === 0) return '<empty>';
  const start = Buffer.from(bytes.subarray(0, 30));
  if (bytes[0] !== 0x7b) return `${start.toString('hex')}${bytes.length > 30 ? ' ...' : ''}`;
  return `${JSON.stringify(start.toString())}${bytes.length > 30 ? ' ...' : ''}`;
}

function shown(value: Json): string {
  if (Array.isArray(value)) return 'array';
  return value === null ? 'null' : typeof value;
}
