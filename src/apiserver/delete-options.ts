import { errors } from '#api/machinery/errors.ts';
import { decodeObject } from '#api/machinery/decode.ts';
import { decodeJson } from '#api/machinery/json.ts';
import { apiVersionOf, type Kind } from '#api/machinery/kind.ts';
import { decodeMessage, decodeProtobuf } from '#api/machinery/protobuf.ts';
import type { Json } from '#api/machinery/schema.ts';
import type { FieldError } from '#api/machinery/validation.ts';
import { decodeYaml } from '#api/machinery/yaml.ts';
import { DeleteOptions as DeleteOptionsSchema } from '#api/meta/v1/delete-options.ts';
import type { RequestBody } from '#client/transport.ts';
import type { Call } from './call.ts';
import type { DeleteOptions } from './delete-object.ts';
import { bodyFormat } from './media-type.ts';
import { integerIn } from './query.ts';

interface Wire {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: string;
  readonly orphanDependents?: boolean;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: readonly string[];
}

/** From the body, or, when there is none, from the query. Throws ApiError for what upstream refuses. */
export async function readDeleteOptions(call: Call, kind: Kind): Promise<DeleteOptions> {
  const body = await call.request.body();
  const empty = body.kind === 'bytes' && body.bytes.length === 0;
  const wire = empty ? fromQuery(call.request.query) : fromBody(call, body, kind);
  check(wire);
  if (!empty) call.record?.sent({ kind: 'DeleteOptions', apiVersion: apiVersionOf(kind), ...wire });
  const { gracePeriodSeconds, propagationPolicy, orphanDependents, preconditions, dryRun = [] } = wire;
  return {
    ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
    ...(propagationPolicy !== undefined && {
      propagationPolicy: propagationPolicy as NonNullable<DeleteOptions['propagationPolicy']>,
    }),
    ...(orphanDependents !== undefined && { orphanDependents }),
    ...(preconditions && { preconditions }),
    dryRun: dryRun.includes('All') || call.request.query.getAll('dryRun').includes('All'),
  };
}

function fromBody(call: Call, body: RequestBody, kind: Kind): Wire {
  const value = bodyValue(body, kind) ?? {};
  const { kind: name, apiVersion } = value as { readonly kind?: unknown; readonly apiVersion?: unknown };
  if (typeof name === 'string' && name !== '' && name !== 'DeleteOptions')
    throw errors.badRequest(`decoded object cannot be converted to DeleteOptions`);
  if (typeof apiVersion === 'string' && apiVersion !== '' && !hasDeleteOptions(call, apiVersion))
    throw errors.badRequest(
      `DeleteOptions in version ${JSON.stringify(apiVersion.split('/').at(-1))} cannot be handled as a DeleteOptions: no kind "DeleteOptions" is registered for version ${JSON.stringify(apiVersion)} in scheme "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"`,
    );
  return decodeObject(DeleteOptionsSchema, value, { unknown: 'drop' }).object as unknown as Wire;
}

/** Clients send them as of the group of the resource, or of meta.k8s.io. */
function hasDeleteOptions(call: Call, apiVersion: string): boolean {
  if (apiVersion === 'v1' || apiVersion === 'meta.k8s.io/v1') return true;
  return call.foundation.registry.kinds.some(kind => apiVersionOf(kind) === apiVersion);
}

function bodyValue(body: RequestBody, kind: Kind): Json {
  if (body.kind === 'object') return body.object as Json;
  try {
    switch (bodyFormat(body.contentType, kind.custom !== true)) {
      case 'json':
        return decodeJson(body.bytes);
      case 'yaml':
        return decodeYaml(body.bytes);
      case 'protobuf':
        return decodeMessage(DeleteOptionsSchema, decodeProtobuf(body.bytes).raw) as Json;
    }
  } catch (error) {
    if (!(error instanceof Error) || error.name === 'ApiError') throw error;
    throw errors.badRequest(
      `the object provided is unrecognized (must be of type DeleteOptions): couldn't get version/kind; json parse error: ${error.message}`,
    );
  }
}

function fromQuery(query: URLSearchParams): Wire {
  const gracePeriodSeconds = integerIn(query, 'gracePeriodSeconds');
  const orphan = query.get('orphanDependents');
  const policy = query.get('propagationPolicy') ?? '';
  return {
    ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
    ...(policy !== '' && { propagationPolicy: policy }),
    ...(orphan !== null && orphan !== '' && { orphanDependents: orphan === 'true' || orphan === '1' }),
    dryRun: query.getAll('dryRun'),
  };
}

const policies = ['Foreground', 'Background', 'Orphan'];

function check({ propagationPolicy, orphanDependents, dryRun = [] }: Wire): void {
  const found: FieldError[] = [];
  if (propagationPolicy !== undefined && orphanDependents !== undefined)
    found.push({
      type: 'FieldValueInvalid',
      field: 'propagationPolicy',
      message: `Invalid value: ${JSON.stringify(propagationPolicy)}: orphanDependents and deletionPropagation cannot be both set`,
    });
  else if (propagationPolicy !== undefined && !policies.includes(propagationPolicy))
    found.push({
      type: 'FieldValueNotSupported',
      field: 'propagationPolicy',
      message: `Unsupported value: ${JSON.stringify(propagationPolicy)}: supported values: "Foreground", "Background", "Orphan", "nil"`,
    });
  const wrong = dryRun.find(each => each !== 'All');
  if (wrong !== undefined)
    found.push({
      type: 'FieldValueNotSupported',
      field: 'dryRun',
      message: `Unsupported value: ${JSON.stringify(dryRun)}: supported values: "All"`,
    });
  if (found.length > 0) throw errors.invalid('meta.k8s.io', 'DeleteOptions', '', found);
}
