import { ApiError, errors, type Status } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import type { AdmissionRequest } from '../admission.ts';
import type { Invocation } from './invocation.ts';

/** An AdmissionReview as it goes to a webhook: both versions have the same form. */
export function reviewOf(
  request: AdmissionRequest,
  { kind, object, old }: Invocation,
  uid: string,
  apiVersion: string,
): object {
  const { subresource, user } = request;
  const spoken = object ?? old;
  return {
    kind: 'AdmissionReview',
    apiVersion,
    request: {
      uid,
      kind: spokenKind(kind, spoken),
      resource: resourceOf(kind),
      ...(subresource !== '' && { subResource: subresource }),
      requestKind: spokenKind(request.kind, (request.object ?? request.old) as ApiObject | undefined),
      requestResource: resourceOf(request.kind),
      ...(subresource !== '' && { requestSubResource: subresource }),
      ...(request.name !== '' && { name: request.name }),
      ...(request.namespace !== '' && { namespace: request.namespace }),
      operation: request.operation,
      userInfo: {
        username: user.name,
        ...(user.uid !== undefined && { uid: user.uid }),
        groups: user.groups,
        ...(user.extra && { extra: user.extra }),
      },
      object: object ?? null,
      oldObject: old ?? null,
      dryRun: request.dryRun,
      options: Object.keys(request.options).length > 0 ? request.options : null,
    },
  };
}

function resourceOf({ group, version, plural }: Kind) {
  return { group, version, resource: plural };
}

export interface Verdict {
  readonly allowed: boolean;
  readonly status: Partial<Status> | undefined;
  readonly patch: { readonly type: string; readonly base64: string } | undefined;
  readonly warnings: readonly string[];
  readonly auditAnnotations: Readonly<Record<string, string>>;
}

/** Reads a webhook's answer. Throws an Error that says what is wrong with it. */
export function verdictOf(
  answer: string,
  uid: string,
  { version, mutating }: { readonly version: 'v1' | 'v1beta1'; readonly mutating: boolean },
): Verdict {
  const review = parsed(answer) as {
    readonly apiVersion?: unknown;
    readonly kind?: unknown;
    readonly response?: Readonly<Record<string, unknown>>;
  } | null;
  const response = review?.response;
  if (!response) throw new Error('webhook response was absent');
  // The older version was never strict.
  if (version === 'v1') {
    if (response['uid'] !== uid)
      throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response['uid'] ?? '')}`);
    const wanted = 'admission.k8s.io/v1, Kind=AdmissionReview';
    const said = `${String(review?.apiVersion ?? '')}, Kind=${String(review?.kind ?? '')}`;
    if (said !== wanted) throw new Error(`expected webhook response of ${wanted}, got ${said}`);
  }
  return {
    allowed: response['allowed'] === true,
    status: response['status'] as Partial<Status> | undefined,
    patch: patchOf(response, version, mutating),
    warnings: stringsOf(response['warnings']),
    auditAnnotations: textsOf(response['auditAnnotations']),
  };
}

/** The refusal as the client sees it: never a success, always with the webhook's name. */
export function deniedBy(name: string, status: Partial<Status> = {}): ApiError {
  const denied = `admission webhook ${JSON.stringify(name)} denied the request`;
  const why = status.message || status.reason;
  return new ApiError({
    ...status,
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: why ? `${denied}: ${why}` : `${denied} without explanation`,
    code: Math.max(400, status.code ?? 0),
  });
}

export function failedCalling(name: string, cause: Error): ApiError {
  return Object.assign(errors.internal(`failed calling webhook ${JSON.stringify(name)}: ${cause.message}`), { cause });
}

/** The kind that the object says it is: a subresource may speak another one. */
function spokenKind({ group, version, kind }: Kind, object: ApiObject | undefined) {
  if (!object?.kind || !object.apiVersion) return { group, version, kind };
  const slash = object.apiVersion.indexOf('/');
  return {
    group: slash < 0 ? '' : object.apiVersion.slice(0, slash),
    version: object.apiVersion.slice(slash + 1),
    kind: object.kind,
  };
}

function patchOf(
  { patch, patchType }: Readonly<Record<string, unknown>>,
  version: 'v1' | 'v1beta1',
  mutating: boolean,
): Verdict['patch'] {
  const hasPatch = patch !== undefined && patch !== null && patch !== '';
  const hasType = patchType !== undefined && patchType !== null;
  if (version === 'v1' && !mutating) {
    if (hasPatch) throw new Error('validating webhook may not return response.patch');
    if (hasType) throw new Error('validating webhook may not return response.patchType');
  }
  if (!mutating) return undefined;
  if (version === 'v1') {
    if (hasPatch && !hasType) throw new Error('webhook returned response.patch but not response.patchType');
    if (!hasPatch && hasType) throw new Error('webhook returned response.patchType but not response.patch');
    if (patchType === '') throw new Error('webhook returned invalid response.patchType of ""');
  }
  if (!hasPatch) return undefined;
  return { type: version === 'v1' ? String(patchType) : 'JSONPatch', base64: String(patch) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error('could not decode the response of the webhook: it is no JSON', { cause });
  }
}

function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(each => typeof each === 'string') : [];
}

function textsOf(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
