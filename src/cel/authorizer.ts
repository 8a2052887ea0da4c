import { type CelType, structOf } from './types.ts';
import { Opaque } from './values.ts';

export const authorizerType: CelType = structOf('kubernetes.authorization.Authorizer');
export const pathCheckType: CelType = structOf('kubernetes.authorization.PathCheck');
export const groupCheckType: CelType = structOf('kubernetes.authorization.GroupCheck');
export const resourceCheckType: CelType = structOf('kubernetes.authorization.ResourceCheck');
export const decisionType: CelType = structOf('kubernetes.authorization.Decision');

/** What `check(verb)` asks. `serviceAccount` replaces the user of the request. */
export type Check = {
  readonly verb: string;
  readonly serviceAccount?: { readonly namespace: string; readonly name: string };
} & (
  | { readonly path: string }
  | {
      readonly group: string;
      readonly resource: string;
      readonly subresource: string;
      readonly namespace: string;
      readonly name: string;
      /** As written; one that does not parse narrows nothing. */
      readonly fieldSelector?: string;
      readonly labelSelector?: string;
    }
);

export interface Decision {
  readonly allowed: boolean;
  readonly reason?: string;
  /** What went wrong while deciding. */
  readonly error?: string;
}

/** Promises are for `evaluateAsync` only. */
export type Authorize = (check: Check) => Decision | Promise<Decision>;

/** The value to bind to `authorizer`, a variable declared as `declValue(authorizerType)`. */
export class Authorizer extends Opaque {
  readonly type: CelType = authorizerType;
  readonly authorize: Authorize;
  readonly serviceAccount: Check['serviceAccount'];

  constructor(authorize: Authorize, serviceAccount?: Check['serviceAccount']) {
    super();
    this.authorize = authorize;
    this.serviceAccount = serviceAccount;
  }

  equals(other: Opaque): boolean {
    return this === other;
  }
}
