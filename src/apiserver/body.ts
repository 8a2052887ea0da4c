import { ApiError, errors } from '#api/machinery/errors.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import { decodeJson, duplicateKeys, keysOf, withSortedKeys } from '#api/machinery/json.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind } from '#api/machinery/kind.ts';
import { decodeMessage, decodeProtobuf } from '#api/machinery/protobuf.ts';
import type { Json } from '#api/machinery/schema.ts';
import { decodeYaml, duplicateYamlKeys } from '#api/machinery/yaml.ts';
import type { RequestBody } from '#client/transport.ts';
import type { Call, WriteOptions } from './call.ts';
import { bodyFormat } from './media-type.ts';

type FieldValidation = WriteOptions['fieldValidation'];

/**
 * Reads the body as an object of a kind: decoded, checked as strictly as the client asks, defaulted. `equalVersions` are
 * versions of old that mean the same.
 */
export async function readObject<Type extends ApiObject>(
  call: Call,
  kind: Kind<Type>,
  fieldValidation: FieldValidation,
  equalVersions: readonly string[] = [],
): Promise<Draft<Type>> {
  const body = await call.request.body();
  return decodeBody(call, kind as unknown as Kind, body, fieldValidation, equalVersions) as Draft<Type>;
}

export function decodeBody(
  call: Call,
  kind: Kind,
  body: RequestBody,
  fieldValidation: FieldValidation,
  equalVersions: readonly string[] = [],
): Draft<ApiObject> {
  const problems: string[] = [];
  const value = valueOf(kind, body, fieldValidation === 'Ignore' ? undefined : problems) ?? {};
  checkType(call, kind, value, body, equalVersions);
  const object = objectOf(call, kind, value, fieldValidation, problems, body);
  defaultObject(kind, object as never);
  call.record?.sent(object);
  return object;
}

/** Decodes a value that is an object already (a body, or the result of a patch), without defaults. */
export function objectOf(
  call: Call,
  kind: Kind,
  value: Json,
  fieldValidation: FieldValidation,
  problems: string[] = [],
  body?: RequestBody,
): Draft<ApiObject> {
  const { object, unknown } = decodeObject(kind.schema, value, {
    unknown: fieldValidation === 'Ignore' ? 'drop' : 'report',
  });
  const all = unknown.length === 0 ? problems : asRead([...withoutUnknown(problems, unknown), ...unknown], body);
  if (all.length > 0 && fieldValidation === 'Strict')
    throw errors.badRequest(handled(kind, kind.kind, `strict decoding error: ${all.join(', ')}`));
  for (const problem of all) call.warn(problem.replace(/^yaml: unmarshal errors:\n {2}/, ''));
  object['apiVersion'] = apiVersionOf(kind);
  object['kind'] = kind.kind;
  object['metadata'] ??= {};
  return object as unknown as Draft<ApiObject>;
}

/** What is wrong with JSON in the order in which a reader comes upon it; YAML is looked through for duplicates first. */
function asRead(problems: readonly string[], body: RequestBody | undefined): readonly string[] {
  const isMixed = problems[0]?.startsWith('duplicate field ') && problems.length > 1;
  if (!isMixed || body?.kind !== 'bytes' || bodyFormat(body.contentType, true) !== 'json') return problems;
  const places = new Map<string, number>();
  for (const { path, isRepeated } of keysOf(body.bytes)) {
    const problem = `${isRepeated ? 'duplicate' : 'unknown'} field ${JSON.stringify(path)}`;
    if (!places.has(problem)) places.set(problem, places.size);
  }
  return problems.toSorted((left, right) => (places.get(left) ?? 0) - (places.get(right) ?? 0));
}

/** What stands in or below an unknown field is not looked at: it cannot be there twice. */
function withoutUnknown(duplicates: readonly string[], unknown: readonly string[]): readonly string[] {
  const paths = unknown.map(problem => problem.slice('unknown field "'.length, -1));
  return duplicates.filter(problem => {
    const path = problem.slice('duplicate field "'.length, -1);
    return !paths.some(each => path === each || path.startsWith(`${each}.`) || path.startsWith(`${each}[`));
  });
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
        // Upstream makes JSON of it first, with its keys in order.
        const value = bytes.length === 0 ? {} : withSortedKeys(decodeYaml(bytes));
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
    throw unrecognized(kind, problem.replace(/^error converting YAML to JSON: /, ''), bytes);
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
function checkType(call: Call, kind: Kind, value: Json, body: RequestBody, equalVersions: readonly string[]): void {
  const problem = typeProblem(value);
  if (problem !== undefined) throw unrecognized(kind, problem, body.kind === 'bytes' ? body.bytes : new Uint8Array());
  const { apiVersion } = value as { readonly apiVersion?: string };
  if (kind.custom) checkIsCustomKind(kind, value, body);
  else if (apiVersion === undefined || !equalVersions.includes(apiVersion)) checkIsKind(call, kind, value);
}

/** Custom objects have to say what they are. */
function checkIsCustomKind(kind: Kind, value: Json, body: RequestBody): void {
  const { apiVersion, kind: name } = value as { readonly apiVersion?: string | null; readonly kind?: string | null };
  const bytes = body.kind === 'bytes' ? body.bytes : Buffer.from(JSON.stringify(value));
  if (!name) throw unrecognized(kind, `Object 'Kind' is missing in '${Buffer.from(bytes).toString()}'`, bytes);
  if (apiVersion !== apiVersionOf(kind))
    throw errors.badRequest(
      `the API version in the data (${apiVersion ?? ''}) does not match the expected API version (${apiVersionOf(kind)})`,
    );
  checkCustomKind(kind, value);
}

/** Throws ApiError Invalid for a custom object of another kind. */
export function checkCustomKind(kind: Kind, value: Json): void {
  const { kind: name, metadata } = value as { readonly kind?: string; readonly metadata?: { readonly name?: unknown } };
  if (name === kind.kind) return;
  const named = typeof metadata?.name === 'string' ? metadata.name : '';
  throw errors.invalid(kind.group, name ?? '', named, [
    {
      type: 'FieldValueInvalid',
      field: 'kind',
      message: `Invalid value: ${JSON.stringify(name)}: must be ${kind.kind}`,
    },
  ]);
}

/** Throws ApiError BadRequest when an object says that it is of another kind or version. */
export function checkIsKind(call: Call, kind: Kind, value: Json): void {
  const { apiVersion, kind: name } = value as { readonly apiVersion?: string | null; readonly kind?: string | null };
  const version = apiVersion || apiVersionOf(kind);
  const asked = name || kind.kind;
  if (version === apiVersionOf(kind) && asked === kind.kind) return;
  const { registry } = call.foundation;
  const known = registry.kinds.filter(each => apiVersionOf(each) === version);
  const found = known.find(each => each.kind === asked);
  if (found && registry.storedKindOf(found).kind === kind.kind && isSameType(found, kind)) {
    throw errors.badRequest(
      `the API version in the data (${version}) does not match the expected API version (${apiVersionOf(kind)})`,
    );
  }
  const isKnown = found !== undefined || known.some(each => `${each.kind}List` === asked);
  const why = isKnown
    ? `converting (${version.split('/').at(-1)}.${asked}) to (${internalType(kind)}): unknown conversion`
    : `no kind ${JSON.stringify(asked)} is registered for version ${JSON.stringify(version)} in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"`;
  throw errors.badRequest(
    `${asked} in version ${JSON.stringify(version.split('/').at(-1))} cannot be handled as a ${kind.kind}: ${why}`,
  );
}

/** Two versions of one thing: of one group, or one of them stored as the other. */
function isSameType(a: Kind, b: Kind): boolean {
  return a.group === b.group || a.storedAs?.group === b.group || b.storedAs?.group === a.group;
}

/** What keeps upstream from finding out which kind a body claims to be. */
export function typeProblem(value: Json): string | undefined {
  const unreadable = "couldn't get version/kind; json parse error: json: cannot unmarshal";
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const fields = String.raw`struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }`;
    return `${unreadable} ${shown(value)} into Go value of type ${fields}`;
  }
  for (const name of ['apiVersion', 'kind']) {
    const text = (value as Readonly<Record<string, Json | undefined>>)[name] ?? '';
    if (typeof text !== 'string') return `${unreadable} ${shown(text)} into Go struct field .${name} of type string`;
    if (name === 'apiVersion' && text.split('/').length > 2) return `unexpected GroupVersion string: ${text}`;
  }
  return undefined;
}

/** The name of the type all versions of a kind are converted through: `core.ConfigMap`. */
export function internalType({ group, kind }: Kind): string {
  const [first = ''] = group.split('.');
  return `${first === '' || first === 'events' ? 'core' : first}.${kind}`;
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
  return `${start.toString()}${bytes.length > 30 ? ' ...' : ''}`;
}

function shown(value: Json): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  return typeof value === 'bigint' ? 'number' : typeof value;
}
