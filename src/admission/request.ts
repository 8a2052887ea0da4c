import { errors, type ApiError, type StatusCause } from '#api/machinery/errors.ts';
import type { ApiObject, Draft, Kind } from '#api/machinery/kind.ts';
import type { AdmissionRequest, Operation } from './admission.ts';

/** Whether a request is about a kind itself (no subresource), by one of the operations. */
export function concerns(request: AdmissionRequest, kind: Kind, ...operations: readonly Operation[]): boolean {
  return isOf(request, kind) && request.subresource === '' && operations.includes(request.operation);
}

export function isOf(request: AdmissionRequest, kind: Kind): boolean {
  return request.kind.group === kind.group && request.kind.plural === kind.plural;
}

/** The new object, which is of the kind that `handles` has made sure of. */
export function draftOf<Type extends ApiObject>(_kind: Kind<Type>, request: AdmissionRequest): Draft<Type> {
  if (!request.object)
    throw new Error(`cannot admit ${request.operation} of ${request.kind.plural}: there is no object`);
  return request.object as unknown as Draft<Type>;
}

/** The new object, for reading. */
export function objectOf<Type extends ApiObject>(_kind: Kind<Type>, request: AdmissionRequest): Type {
  if (!request.object)
    throw new Error(`cannot judge ${request.operation} of ${request.kind.plural}: there is no object`);
  return request.object as unknown as Type;
}

/** The stored object, of the kind that `handles` has made sure of. */
export function oldOf<Type extends ApiObject>(_kind: Kind<Type>, request: AdmissionRequest): Type | undefined {
  return request.old as unknown as Type | undefined;
}

/** A 403 about the request's object. */
export function forbidden(request: AdmissionRequest, why: string, causes?: readonly StatusCause[]): ApiError {
  return errors.forbidden(request.kind, nameOf(request), why, causes);
}

function nameOf({ name, object }: AdmissionRequest): string {
  if (name !== '') return name;
  return object?.metadata?.name || object?.metadata?.generateName || 'Unknown';
}
