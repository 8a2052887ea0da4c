import type { ObjectReference } from '#api/core/v1/object-reference.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import type { DeleteOptions, Patch } from '#client/client.ts';
import type { EventType } from '#client/events.ts';

/**
 * What a controller decided to do, as data; `apply` does it. Actions run one after the other. A failed write skips the
 * writes behind it up to the next `afterwards`, and the key is worked on again later.
 */
export type Action =
  | ({ readonly do: 'create'; readonly kind: Kind; readonly object: Partly<ApiObject> } & Told)
  | ({
      readonly do: 'update';
      readonly kind: Kind;
      readonly object: ApiObject;
      readonly subresource?: string;
    } & Told)
  | ({
      readonly do: 'patch';
      readonly kind: Kind;
      readonly object: ApiObject;
      readonly patch: Patch;
      readonly subresource?: string;
    } & Told)
  | ({
      readonly do: 'delete';
      readonly kind: Kind;
      readonly object: ApiObject;
      readonly options: DeleteOptions;
    } & Told)
  | ({
      readonly do: 'post';
      readonly kind: Kind;
      readonly object: ApiObject;
      readonly subresource: string;
      readonly body: unknown;
    } & Told)
  | EventAction
  /** Work on the key again at this time. */
  | { readonly do: 'wake'; readonly atMs: number }
  /** In parallel, in batches of 1, 2, 4, …; the first batch with a failure is the last (upstream's slow start). */
  | { readonly do: 'batch'; readonly actions: readonly Action[] }
  /** Decides on, knowing how everything before went. */
  | { readonly do: 'afterwards'; readonly decide: (outcome: Outcome) => readonly Action[] }
  /** Try again later, after a wait that grows. */
  | { readonly do: 'retry'; readonly why: string };

export interface EventAction {
  readonly do: 'event';
  readonly about: ApiObject | ObjectReference;
  readonly type: EventType;
  readonly reason: string;
  readonly message: string;
}

interface Told {
  /** Events for a success and for a failure. */
  readonly succeeded?: (object: ApiObject) => EventAction | undefined;
  readonly failed?: (error: Error) => EventAction | undefined;
}

export interface Outcome {
  readonly failures: readonly { readonly action: Action; readonly error: Error }[];
  /** What the writes answered with, in the order of the writes. */
  readonly objects: readonly ApiObject[];
}

type Tell<Type> = {
  readonly succeeded?: (object: Type) => EventAction | undefined;
  readonly failed?: (error: Error) => EventAction | undefined;
};

export function create<Type extends ApiObject>(kind: Kind<Type>, object: Partly<Type>, tell: Tell<Type> = {}): Action {
  return { do: 'create', kind, object: object as Partly<ApiObject>, ...(tell as Told) };
}

export function update<Type extends ApiObject>(kind: Kind<Type>, object: Type, tell: Tell<Type> = {}): Action {
  return { do: 'update', kind, object, ...(tell as Told) };
}

export function updateStatus<Type extends ApiObject>(kind: Kind<Type>, object: Type, tell: Tell<Type> = {}): Action {
  return { do: 'update', kind, object, subresource: 'status', ...(tell as Told) };
}

/** A strategic merge patch. */
export function patch<Type extends ApiObject>(
  kind: Kind<Type>,
  object: Type,
  change: unknown,
  tell: Tell<Type> & { readonly subresource?: string } = {},
): Action {
  return { do: 'patch', kind, object, patch: { type: 'strategic', patch: change }, ...(tell as Told) };
}

/** A delete of just this object: not of another one that has its name by then. */
export function remove<Type extends ApiObject>(
  kind: Kind<Type>,
  object: Type,
  options: DeleteOptions & Tell<Type> = {},
): Action {
  const { succeeded, failed, preconditions, ...rest } = options;
  const { uid } = object.metadata;
  const only = { ...(uid !== undefined && { uid }), ...preconditions };
  return {
    do: 'delete',
    kind,
    object,
    options: { ...rest, preconditions: only },
    ...({ ...(succeeded && { succeeded }), ...(failed && { failed }) } as Told),
  };
}

export function post<Type extends ApiObject>(
  kind: Kind<Type>,
  object: Type,
  subresource: string,
  body: unknown,
): Action {
  return { do: 'post', kind, object, subresource, body };
}

export function event(
  about: ApiObject | ObjectReference,
  type: EventType,
  reason: string,
  message: string,
): EventAction {
  return { do: 'event', about, type, reason, message };
}

export function wake(atMs: number): Action {
  return { do: 'wake', atMs };
}

export function slowStart(actions: readonly Action[]): Action {
  return { do: 'batch', actions };
}

export function afterwards(decide: (outcome: Outcome) => readonly Action[]): Action {
  return { do: 'afterwards', decide };
}

export function retry(why: string): Action {
  return { do: 'retry', why };
}
