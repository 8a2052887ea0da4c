import type { Random } from '#base/random.ts';
import type { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { errors, type ApiError } from '#api/machinery/errors.ts';
import { decodeJson, encodeJson } from '#api/machinery/json.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import { validateAnnotations, validateLabels } from '#api/machinery/object-meta-validation.ts';
import type { Json, JsonObject } from '#api/machinery/schema.ts';
import { Report } from '#api/machinery/validation.ts';

type WebhookConversion = NonNullable<CustomResourceDefinition['spec']['conversion']['webhook']>;
type ClientConfig = NonNullable<WebhookConversion['clientConfig']>;

/** Sends a review to the webhook of a definition and resolves with the text of its answer. */
export type ConversionCaller = (
  config: ClientConfig,
  body: string,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
) => Promise<string>;

/** Objects of whatever versions as those of the wanted one, in the same order. Throws ApiError in upstream's words. */
export type Conversion = (wanted: string, objects: readonly ApiObject[]) => Promise<readonly ApiObject[]>;

/** What a webhook call was good for: upstream's labels. */
export type ConversionFailure =
  | 'conversion_webhook_call_failure'
  | 'conversion_webhook_malformed_response_failure'
  | 'conversion_webhook_partial_response_failure'
  | 'conversion_webhook_invalid_converted_object_failure';

export interface ConversionOptions {
  readonly call: ConversionCaller;
  readonly random: Random;
  readonly signal: AbortSignal;
  monotonic(): number;
  observe(seconds: number, failure: ConversionFailure | undefined): void;
}

const timeoutMs = 30_000;
/** Objects in one review: a large list is asked for in parts, so that no answer is larger than what is taken. */
const batchObjectsMax = 250;

/** Conversion by the webhook that a definition names. */
export function webhookConversion(webhook: WebhookConversion, options: ConversionOptions): Conversion {
  return async (wanted, objects) => {
    const converted: ApiObject[] = [];
    for (let at = 0; at < objects.length; at += batchObjectsMax)
      converted.push(...(await convert(webhook, wanted, objects.slice(at, at + batchObjectsMax), options)));
    return converted;
  };
}

async function convert(
  { clientConfig, conversionReviewVersions }: WebhookConversion,
  wanted: string,
  objects: readonly ApiObject[],
  options: ConversionOptions,
): Promise<readonly ApiObject[]> {
  const startedMs = options.monotonic();
  const [first] = objects;
  const about = `conversion webhook for ${goKind(first?.apiVersion, first?.kind)}`;
  const fail = (failure: ConversionFailure, message: string): ApiError => {
    options.observe((options.monotonic() - startedMs) / 1000, failure);
    return errors.other('', `${about} ${message}`, undefined, 500);
  };
  const version = conversionReviewVersions.find(each => each === 'v1' || each === 'v1beta1');
  if (version === undefined) throw errors.other('', 'no supported conversion review versions', undefined, 500);
  const apiVersion = `apiextensions.k8s.io/${version}`;
  const uid = options.random.uuid();
  const review = { kind: 'ConversionReview', apiVersion, request: { uid, desiredAPIVersion: wanted, objects } };
  let answer: string;
  try {
    const body = encodeJson(review as unknown as Json);
    answer = await options.call(clientConfig ?? {}, body, { timeoutMs, signal: options.signal });
  } catch (error) {
    const { message } = error as Error;
    throw fail('conversion_webhook_call_failure', `failed: ${message.replace(/^failed to call webhook: /, '')}`);
  }
  let found: readonly Json[];
  try {
    found = convertedIn(answer, version, uid);
  } catch (error) {
    throw fail('conversion_webhook_malformed_response_failure', `failed: ${(error as Error).message}`);
  }
  if (found.length !== objects.length)
    throw fail(
      'conversion_webhook_partial_response_failure',
      `returned ${found.length} objects, expected ${objects.length}`,
    );
  const converted = objects.map((original, index) => {
    try {
      return accepted(original, found[index] as Json, wanted, objects.length === 1);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const at = objects.length === 1 ? '' : ` in object at index ${index}`;
      const place = objects.length === 1 && !error.ofVersion ? '' : ` at index ${index}`;
      const what =
        error.about === 'metadata'
          ? `returned invalid metadata${at}: ${error.message}`
          : `returned invalid ${objects.length === 1 ? 'object' : 'converted object'}${place}: ${error.message}`;
      throw fail('conversion_webhook_invalid_converted_object_failure', what);
    }
  });
  options.observe((options.monotonic() - startedMs) / 1000, undefined);
  return converted;
}

/** As Go prints a group, version and kind: `example.com/v1, Kind=Thing`. */
function goKind(apiVersion = '', kind = ''): string {
  return `${apiVersion}, Kind=${kind}`;
}

interface Answer {
  readonly apiVersion?: Json;
  readonly kind?: Json;
  readonly response?: {
    readonly uid?: Json;
    readonly result?: { readonly status?: Json; readonly message?: Json };
    readonly convertedObjects?: Json;
  } | null;
}

/** Throws an Error that says what is wrong with an answer. */
function convertedIn(text: string, version: string, uid: string): readonly Json[] {
  const answer = decodeJson(Buffer.from(text)) as Answer | null;
  const wanted = goKind('apiextensions.k8s.io/v1', 'ConversionReview');
  if (version === 'v1') {
    const said = goKind(textOf(answer?.apiVersion), textOf(answer?.kind));
    if (said !== wanted) throw new Error(`expected webhook response of ${wanted}, got ${said}`);
  }
  const response = answer?.response;
  if (!response) throw new Error('no response provided');
  if (version === 'v1' && response.uid !== uid)
    throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(textOf(response.uid))}`);
  const { status, message } = response.result ?? {};
  if (status !== 'Success') {
    if (textOf(message) !== '') throw new Error(textOf(message));
    throw new Error(`response.result.status was '${textOf(status)}', not 'Success'`);
  }
  const { convertedObjects = [] } = response;
  return Array.isArray(convertedObjects) ? (convertedObjects as readonly Json[]) : [];
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

class Refusal extends Error {
  readonly about: 'object' | 'metadata';
  readonly ofVersion: boolean;

  constructor(message: string, about: 'object' | 'metadata' = 'object', ofVersion = false) {
    super(message);
    this.about = about;
    this.ofVersion = ofVersion;
  }
}

/** Only labels and annotations of the metadata are the webhook's; the rest stays what it was. */
function accepted(original: ApiObject, found: Json, wanted: string, alone: boolean): ApiObject {
  if (!isObject(found)) throw new Refusal(`unexpected type ${typeOf(found)}`);
  const version = textOf(found['apiVersion']);
  if (version !== wanted)
    throw new Refusal(`invalid groupVersion (expected ${wanted}, received ${version})`, 'object', alone);
  const kind = textOf(found['kind']);
  if (kind !== original.kind)
    throw new Refusal(`invalid kind (expected ${original.kind ?? ''}, received ${kind})`, 'object', alone);
  const metadata = found['metadata'];
  const given = isObject(metadata) ? metadata : {};
  for (const [field, name] of identity) {
    const before = original.metadata[field] ?? '';
    const after = textOf(given[field]);
    if (before !== after) throw new Refusal(`must have the same ${name}: ${before} != ${after}`);
  }
  return { ...found, metadata: restoredMetadata(original, metadata) } as unknown as ApiObject;
}

const identity = [
  ['name', 'name'],
  ['namespace', 'namespace'],
  ['uid', 'UID'],
] as const;

function restoredMetadata(original: ApiObject, metadata: Json | undefined): ApiObject['metadata'] {
  if (metadata === undefined) throw new Refusal('missing metadata in converted object', 'metadata');
  if (!isObject(metadata))
    throw new Refusal(`invalid metadata of type ${typeOf(metadata)} in converted object`, 'metadata');
  const restored: Record<string, unknown> = { ...original.metadata };
  for (const field of ['labels', 'annotations'] as const) {
    const given = metadata[field];
    if (given === undefined || given === null) {
      delete restored[field];
      continue;
    }
    if (!isObject(given))
      throw new Refusal(`invalid metadata.${field} of type ${typeOf(given)} in converted object`, 'metadata');
    checkTexts(field, given, original.metadata[field] ?? {});
    restored[field] = given;
  }
  return restored as unknown as ApiObject['metadata'];
}

function checkTexts(
  field: 'labels' | 'annotations',
  given: JsonObject,
  before: Readonly<Record<string, string>>,
): void {
  let changed = Object.keys(given).length !== Object.keys(before).length;
  for (const [key, value] of Object.entries(given)) {
    if (typeof value !== 'string')
      throw new Refusal(
        `metadata.${field}[${key}] must be a string, but is ${typeOf(value as Json)} in converted object`,
        'metadata',
      );
    if (!Object.hasOwn(before, key) || before[key] !== value) changed = true;
  }
  if (!changed) return;
  const report = new Report();
  const texts = given as Readonly<Record<string, string>>;
  if (field === 'labels') validateLabels(texts, report.at('metadata', 'labels'));
  else validateAnnotations(texts, report.at('metadata', 'annotation'));
  const problems = [...new Set(report.errors.map(each => `${each.field}: ${each.message}`))];
  if (problems.length > 0)
    throw new Refusal(problems.length === 1 ? (problems[0] as string) : `[${problems.join(', ')}]`, 'metadata');
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What Go would have decoded it as. */
function typeOf(value: Json): string {
  if (value === null) return '<nil>';
  if (Array.isArray(value)) return '[]interface {}';
  if (typeof value === 'object') return 'map[string]interface {}';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'string') return 'string';
  return Number.isInteger(value) ? 'int64' : 'float64';
}
