import { ApiError, errors, type Status } from '#api/machinery/errors.ts';
import { apiVersionOf } from '#api/machinery/kind.ts';
import type { AdmissionRequest } from '../admission.ts';

/** admission.k8s.io/v1 AdmissionReview, as it goes to a webhook. */
export function reviewOf(request: AdmissionRequest, uid: string): object {
  const { kind, subresource, user } = request;
  const gvk = { group: kind.group, version: kind.version, kind: spokenKind(request) };
  const resource = { group: kind.group, version: kind.version, resource: kind.plural };
  return {
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid,
      kind: gvk,
      resource,
      ...(subresource !== '' && { subResource: subresource }),
      requestKind: gvk,
      requestResource: resource,
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
      object: request.object ?? null,
      oldObject: request.old ?? null,
      dryRun: request.dryRun,
      options: Object.keys(request.options).length > 0 ? request.options : null,
    },
  };
}

export interface Verdict {
  readonly allowed: boolean;
  readonly status: Partial<Status> | undefined;
  /** A JSON patch. */
  readonly patch: unknown;
  readonly warnings: readonly string[];
  readonly auditAnnotations: Readonly<Record<string, string>>;
}

/** Reads a webhook's answer. Throws an Error that says what is wrong with it. */
export function verdictOf(answer: string, uid: string): Verdict {
  const review = parsed(answer) as {
    readonly apiVersion?: unknown;
    readonly kind?: unknown;
    readonly response?: Readonly<Record<string, unknown>>;
  } | null;
  const wanted = 'admission.k8s.io/v1, Kind=AdmissionReview';
  const said = `${String(review?.apiVersion ?? '')}, Kind=${String(review?.kind ?? '')}`;
  if (said !== wanted) throw new Error(`expected webhook response of ${wanted}, got ${said}`);
  const response = review?.response;
  if (!response) throw new Error('webhook response was absent');
  if (response['uid'] !== uid)
    throw new Error(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response['uid'] ?? '')}`);
  const patch = patchOf(response);
  return {
    allowed: response['allowed'] === true,
    status: response['status'] as Partial<Status> | undefined,
    patch,
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
function spokenKind({ kind, object }: AdmissionRequest): string {
  return object?.kind && object.apiVersion === apiVersionOf(kind) ? object.kind : kind.kind;
}

function patchOf(response: Readonly<Record<string, unknown>>): unknown {
  const { patch, patchType } = response;
  if (patch === undefined || patch === null || patch === '') {
    if (patchType !== undefined && patchType !== null)
      throw new Error('webhook returned response.patchType but not response.patch');
    return undefined;
  }
  if (typeof patch !== 'string') throw new Error('webhook returned a response.patch that is not base64');
  if (patchType !== 'JSONPatch')
    throw new Error(
      patchType === undefined || patchType === null
        ? 'webhook returned response.patch but not response.patchType'
        : `webhook returned invalid response.patchType of ${JSON.stringify(patchType)}`,
    );
  return parsed(Buffer.from(patch, 'base64').toString());
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
