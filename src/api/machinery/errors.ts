import type { FieldError } from './validation.ts';

/** The reasons of metav1.Status with their HTTP codes. Clients match on both. */
export const reasonCodes = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  ServerTimeout: 500,
  InternalError: 500,
  ServiceUnavailable: 503,
  Timeout: 504,
  Unknown: 500,
} as const;

export type StatusReason = keyof typeof reasonCodes;

export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: { readonly resourceVersion?: string; readonly continue?: string };
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code: number;
}

/** An error that a client sees as a Status. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: Status;

  constructor(status: Status, options?: ErrorOptions) {
    const { stackTraceLimit } = Error;
    // An answer like another (there is none of that name) has no place in the code that anybody looks for.
    if (status.code < 500) Error.stackTraceLimit = 0;
    super(status.message ?? '', options);
    Error.stackTraceLimit = stackTraceLimit;
    this.status = status;
  }

  get code(): number {
    return this.status.code;
  }

  get reason(): string {
    return this.status.reason ?? '';
  }
}

/** Which resource an error is about: `deployments` of `apps`. */
export interface ResourceRef {
  readonly group: string;
  readonly plural: string;
}

function failure(
  reason: StatusReason | '',
  message: string,
  details?: StatusDetails,
  code: number = reason === '' ? 500 : reasonCodes[reason],
): ApiError {
  return new ApiError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    ...(reason !== '' && { reason }),
    ...(details && { details }),
    code,
  });
}

function about(resource: ResourceRef, name: string, more: Partial<StatusDetails> = {}): StatusDetails {
  return {
    ...(name !== '' && { name }),
    ...(resource.group !== '' && { group: resource.group }),
    ...(resource.plural !== '' && { kind: resource.plural }),
    ...more,
  };
}

function qualified({ group, plural }: ResourceRef): string {
  return group === '' ? plural : `${plural}.${group}`;
}

/** Every API error, once, in upstream's words. */
export const errors = {
  badRequest: (message: string) => failure('BadRequest', message),
  unauthorized: (message = 'Unauthorized') => failure('Unauthorized', message),
  /** `why` comes behind `<resource> "name" is forbidden: `. */
  forbidden(resource: ResourceRef, name: string, why: string, causes?: readonly StatusCause[]) {
    const subject =
      qualified(resource) === ''
        ? 'forbidden'
        : name === ''
          ? `${qualified(resource)} is forbidden`
          : `${qualified(resource)} ${JSON.stringify(name)} is forbidden`;
    return failure('Forbidden', `${subject}: ${why}`, about(resource, name, causes && { causes }));
  },
  forbiddenPath: (why: string) => failure('Forbidden', `forbidden: ${why}`, {}),
  notFound: (resource: ResourceRef, name: string) =>
    failure('NotFound', `${qualified(resource)} ${JSON.stringify(name)} not found`, about(resource, name)),
  /** The path belongs to no resource. */
  noSuchResource: () => failure('NotFound', 'the server could not find the requested resource', {}),
  methodNotSupported: (resource: ResourceRef, verb: string) =>
    failure(
      'MethodNotAllowed',
      `${verb} is not supported on resources of kind ${JSON.stringify(qualified(resource))}`,
      about(resource, ''),
    ),
  /** The path is one of a resource, but is not served for this method. */
  methodNotAllowed: () =>
    failure('MethodNotAllowed', 'the server does not allow this method on the requested resource', {}),
  notAcceptable: (message: string) => failure('NotAcceptable', message),
  alreadyExists: (resource: ResourceRef, name: string) =>
    failure('AlreadyExists', `${qualified(resource)} ${JSON.stringify(name)} already exists`, about(resource, name)),
  generateNameExhausted: (resource: ResourceRef, name: string) =>
    failure(
      'AlreadyExists',
      `${qualified(resource)} ${JSON.stringify(name)} already exists, the server was not able to generate a unique name for the object`,
      about(resource, name, { retryAfterSeconds: 1 }),
    ),
  conflict: (resource: ResourceRef, name: string, why: string, causes?: readonly StatusCause[]) =>
    failure(
      'Conflict',
      `Operation cannot be fulfilled on ${qualified(resource)} ${JSON.stringify(name)}: ${why}`,
      about(resource, name, causes && { causes }),
    ),
  modified: (resource: ResourceRef, name: string) =>
    errors.conflict(
      resource,
      name,
      'the object has been modified; please apply your changes to the latest version and try again',
    ),
  applyConflict: (message: string, causes: readonly StatusCause[]) => failure('Conflict', message, { causes }),
  gone: (message: string) => failure('Gone', message),
  expired: (message: string) => failure('Expired', message),
  tooLarge: (message: string) => failure('RequestEntityTooLarge', message),
  unsupportedMediaType: (message: string) => failure('UnsupportedMediaType', message),
  /** `kind` as in `Pod` or `Deployment.apps`; the name may be empty. */
  invalid(group: string, kind: string, name: string, found: readonly FieldError[]) {
    const subject = `${group === '' ? kind : `${kind}.${group}`} ${JSON.stringify(name)} is invalid`;
    // Upstream's layers say some things again: causes have them all, the sentence each once.
    const said = [...new Set(found.map(each => `${each.field}: ${each.message}`))];
    const text =
      said.length === 0 ? subject : said.length === 1 ? `${subject}: ${said[0]}` : `${subject}: [${said.join(', ')}]`;
    return failure('Invalid', text, {
      ...(name !== '' && { name }),
      ...(group !== '' && { group }),
      ...(kind !== '' && { kind }),
      ...(found.length > 0 && {
        causes: found.map(each => ({ reason: each.type, message: each.message, field: each.field })),
      }),
    });
  },
  tooManyRequests: (message: string, retryAfterSeconds: number, causes?: readonly StatusCause[]) =>
    failure('TooManyRequests', message, {
      ...(causes && { causes }),
      ...(retryAfterSeconds > 0 && { retryAfterSeconds }),
    }),
  internal: (cause: string) =>
    failure('InternalError', `Internal error occurred: ${cause}`, { causes: [{ message: cause }] }),
  serviceUnavailable: (message: string) => failure('ServiceUnavailable', message),
  timeout: (message: string, retryAfterSeconds = 0) =>
    failure('Timeout', `Timeout: ${message}`, { ...(retryAfterSeconds > 0 && { retryAfterSeconds }) }),
  /** client-go falls back on exactly this cause. */
  tooLargeResourceVersion: (wanted: string, current: string) =>
    failure('Timeout', `Timeout: Too large resource version: ${wanted}, current: ${current}`, {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      retryAfterSeconds: 1,
    }),
  /** For the few answers upstream gives with a code of their own. */
  other: failure,
} as const;

/** An ApiError with this reason? */
export function isReason(error: unknown, ...reasons: readonly StatusReason[]): error is ApiError {
  return error instanceof ApiError && (reasons as readonly string[]).includes(error.reason);
}
