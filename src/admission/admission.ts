import type { ApiObject, Draft, Kind } from '#api/machinery/kind.ts';
import type { User } from '#auth/user.ts';

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';

/** One write on its way into the store, as admission plugins see it. */
export interface AdmissionRequest {
  readonly operation: Operation;
  readonly kind: Kind;
  readonly subresource: string;
  readonly namespace: string;
  /** May be empty on CREATE with generateName. */
  readonly name: string;
  /** The new object: mutating plugins change it in place. Absent on DELETE. For CONNECT the options (PodExecOptions, …). */
  readonly object: Draft<ApiObject> | undefined;
  /** The object as stored: absent on CREATE. Never to be changed. */
  readonly old: ApiObject | undefined;
  readonly options: Readonly<Record<string, unknown>>;
  readonly user: User;
  readonly dryRun: boolean;
  /** What is served; absent where nobody says it. */
  readonly served?: ServedKinds;
  /** A Warning header for the client. */
  warn(message: string): void;
  /** An annotation of the audit event; with a level only where the audit log holds at least as much. */
  annotate(key: string, value: string, level?: 'Request'): void;
  /** Whether everybody looks for a second time, and a way to ask for that; absent where nobody would. */
  readonly reinvocation?: Reinvocation;
  readonly signal: AbortSignal;
}

/** The kinds of the moment, for plugins whose configuration names them. */
export interface ServedKinds {
  find(apiVersion: string, kind: string): Kind | undefined;
  /** By plural, in one version of a group. */
  findResource(group: string, version: string, plural: string): Kind | undefined;
  /** The other versions in which the objects of a kind are served: what `matchPolicy: Equivalent` is about. */
  equivalents(kind: Kind): readonly Equivalent[];
}

export interface Equivalent {
  readonly kind: Kind;
  /** An object of the kind that was asked about, as one of this one. */
  convert(object: ApiObject): ApiObject | Promise<ApiObject>;
  /** And back. */
  revert(object: ApiObject): ApiObject | Promise<ApiObject>;
}

/**
 * Somebody from outside has changed the object: then all who mutate it look once more, the built-in ones always, others when
 * they want to.
 */
export interface Reinvocation {
  /** This is the second look. */
  readonly isSecond: boolean;
  /** Asks for one. */
  ask(): void;
}

/**
 * One plugin of the chain. First every plugin's `admit` runs in order, then every plugin's `validate`. Both refuse by
 * throwing an ApiError.
 */
export interface AdmissionPlugin {
  readonly name: string;
  /** Whether the plugin wants to see such requests at all; asked before anything else, so it must be cheap. */
  handles(request: AdmissionRequest): boolean;
  admit?(request: AdmissionRequest): Promise<void> | void;
  validate?(request: AdmissionRequest): Promise<void> | void;
}
