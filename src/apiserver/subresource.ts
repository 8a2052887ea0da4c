import { errors } from '#api/machinery/errors.ts';
import type { ApiObject, Draft, Kind } from '#api/machinery/kind.ts';
import type { Attributes, Decision } from '#auth/authorization/authorizer.ts';
import type { User } from '#auth/user.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import type { RequestInfo } from './request-info.ts';

/** What every handler behind the chain knows of a request: who asks, what for, and where warnings go. */
export interface RequestContext {
  readonly user: User;
  readonly info: RequestInfo;
  /** A Warning header for the client. */
  warn(message: string): void;
  /** An annotation of the audit event. */
  annotate(key: string, value: string): void;
  /** Asks the authorizer about anything, for reviews and for handlers that need a second permission. */
  authorize(attributes: Attributes): Promise<Decision>;
  /** An object (a Status, a review, …) in the form the client accepts. */
  respond(code: number, object: unknown): ApiResponse;
}

/** A handler of a path that is no resource: discovery, OpenAPI, version, health. Errors are thrown as ApiError. */
export type RawPathHandler = (request: ApiRequest, context: RequestContext) => ApiResponse | Promise<ApiResponse>;

/** Serves GET alone, as upstream's discovery does; other methods are 405. */
export function readOnly(handle: RawPathHandler): RawPathHandler {
  return (request, context) => {
    if (request.method !== 'GET') throw errors.methodNotAllowed();
    return handle(request, context);
  };
}

/** Where raw paths are mounted. An exact path wins over a prefix, a longer prefix over a shorter one. */
export interface RawPath {
  /** `/version`; with `prefix` also everything below: `/openapi/v3` and `/openapi/v3/…`. */
  readonly path: string;
  readonly prefix?: boolean;
  readonly handle: RawPathHandler;
}

/** Beside the request's own context: the resource it is about. */
export interface SubresourceContext extends RequestContext {
  /** The parent's kind: Pod for pods/log. */
  readonly kind: Kind;
  /** The parent as it is now. Throws ApiError NotFound. */
  object<Type extends ApiObject>(): Type;
  /** Reads the body as an object of a kind: decoded, checked against fieldValidation, defaulted. */
  body<Type extends ApiObject>(kind: Kind<Type>): Promise<Draft<Type>>;
  /** Runs the admission chain over a connection's options, or over the body of a create. */
  admit(operation: 'CONNECT' | 'CREATE', object: ApiObject): Promise<void>;
}

/**
 * Serves a subresource (`pods/log`, `serviceaccounts/token`) or a resource that is not stored
 * (`tokenreviews.authentication.k8s.io`). Method and verbs are already checked against the kind's table; authorization is done.
 */
export type SubresourceHandler = (
  request: ApiRequest,
  context: SubresourceContext,
) => ApiResponse | Promise<ApiResponse>;

/** `pods/log`, `deployments.apps/scale`, `subjectaccessreviews.authorization.k8s.io` → who serves it. */
export type SubresourceHandlers = Readonly<Record<string, SubresourceHandler>>;
