import { ApiError, errors } from '#api/machinery/errors.ts';
import { decodeObject, problemOf } from '#api/machinery/decode.ts';
import { decodeJson } from '#api/machinery/json.ts';
import { apiVersionOf, type Kind } from '#api/machinery/kind.ts';
import { decodeMessage, decodeProtobuf } from '#api/machinery/protobuf.ts';
import type { Json } from '#api/machinery/schema.ts';
import type { FieldError } from '#api/machinery/validation.ts';
import { decodeYaml } from '#api/machinery/yaml.ts';
import { DeleteOptions as DeleteOptionsSchema } from '#api/meta/v1/delete-options.ts';
import type { RequestBody } from '#client/transport.ts';
import { typeProblem } from './body.ts';
import type { Call } from './call.ts';
import type { DeleteOptions } from './delete-object.ts';
import { bodyFormat } from './media-type.ts';
import { integerIn, isGiven } from './query.ts';

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
  const wire = empty ? fromQuery(call.request.query) : fromBody(body, kind);
  checkDeleteOptions(wire);
  if (!empty) call.record?.sent({ kind: 'DeleteOptions', apiVersion: apiVersionOf(kind), ...wire });
  const { gracePeriodSeconds, propagationPolicy, orphanDependents, preconditions, dryRun = [] } = wire;
  if (kind.orphanWarning !== undefined && propagationPolicy === undefined && orphanDependents === undefined)
    call.warn(kind.orphanWarning);
  return {
    ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
    ...(propagationPolicy !== undefined && {
      propagationPolicy: propagationPolicy as NonNullable<DeleteOptions['propagationPolicy']>,
    }),
    ...(orphanDependents !== undefined && { orphanDependents }),
    ...(preconditions && { preconditions }),
    dryRun: dryRun.includes('All'),
  };
}

function fromBody(body: RequestBody, kind: Kind): Wire {
  const value = bodyValue(body, kind) ?? {};
  const problem = typeProblem(value);
  if (problem !== undefined) throw errors.badRequest(problem);
  const { kind: name, apiVersion } = value as { readonly kind?: string; readonly apiVersion?: string };
  if (name !== undefined && name !== '' && name !== 'DeleteOptions')
    throw errors.badRequest(
      `no kind ${JSON.stringify(name)} is registered for version ${JSON.stringify(apiVersion || 'meta.k8s.io/v1')} in scheme "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"`,
    );
  try {
    return decodeObject(DeleteOptionsSchema, value, { unknown: 'drop' }).object as unknown as Wire;
  } catch (error) {
    throw error instanceof ApiError ? errors.badRequest(problemOf(error)) : error;
  }
}

function bodyValue(body: RequestBody, kind: Kind): Json {
  if (body.kind === 'object') return body.object as Json;
  const format = bodyFormat(body.contentType, kind.custom !== true);
  try {
    switch (format) {
      case 'json':
        return decodeJson(body.bytes);
      case 'yaml':
        return decodeYaml(body.bytes);
      case 'protobuf':
        return decodeMessage(DeleteOptionsSchema, decodeProtobuf(body.bytes).raw) as Json;
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw errors.badRequest(
      format === 'json'
        ? `couldn't get version/kind; json parse error: ${error.message}`
        : error.message.replace(/^error converting YAML to JSON: /, ''),
    );
  }
}

function fromQuery(query: URLSearchParams): Wire {
  const gracePeriodSeconds = integerIn(query, 'gracePeriodSeconds');
  const orphanDependents = isGiven(query, 'orphanDependents');
  const propagationPolicy = query.get('propagationPolicy');
  return {
    ...(gracePeriodSeconds !== undefined && { gracePeriodSeconds }),
    ...(propagationPolicy !== null && { propagationPolicy }),
    ...(orphanDependents !== undefined && { orphanDependents }),
    dryRun: query.getAll('dryRun'),
  };
}

const policies = ['Foreground', 'Background', 'Orphan'];

/** Throws ApiError Invalid for options that say nothing, or two things. */
export function checkDeleteOptions({
  propagationPolicy,
  orphanDependents,
  dryRun = [],
}: Pick<Wire, 'propagationPolicy' | 'orphanDependents' | 'dryRun'>): void {
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
