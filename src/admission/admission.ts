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
  /** A Warning header for the client. */
  warn(message: string): void;
  /** An annotation of the audit event. */
  annotate(key: string, value: string): void;
  readonly signal: AbortSignal;
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
