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
  readonly serviceAccount?: { readonly namespace: string; readonly name: string } | undefined;
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

/** Thrown where a decision is not there yet; settled, the evaluation can be repeated. */
export class PendingDecision {
  readonly settled: Promise<unknown>;

  constructor(settled: Promise<unknown>) {
    this.settled = settled;
  }
}

/**
 * The value to bind to `authorizer`, a variable declared as `declValue(authorizerType)`. One a request: it remembers what
 * was decided.
 */
export class Authorizer extends Opaque {
  readonly type: CelType = authorizerType;
  readonly serviceAccount: Check['serviceAccount'];
  readonly #authorize: Authorize;
  readonly #decisions: Map<string, Decision>;

  constructor(authorize: Authorize, serviceAccount?: Check['serviceAccount'], decisions = new Map<string, Decision>()) {
    super();
    this.#authorize = authorize;
    this.serviceAccount = serviceAccount;
    this.#decisions = decisions;
  }

  /** The same authorizer asking for another user. */
  as(namespace: string, name: string): Authorizer {
    return new Authorizer(this.#authorize, { namespace, name }, this.#decisions);
  }

  decide(check: Check): Decision {
    const key = JSON.stringify(check);
    const known = this.#decisions.get(key);
    if (known !== undefined) return known;
    const decision = this.#authorize(check);
    if (decision instanceof Promise) {
      throw new PendingDecision(decision.then(settled => this.#decisions.set(key, settled)));
    }
    this.#decisions.set(key, decision);
    return decision;
  }

  equals(other: Opaque): boolean {
    return this === other;
  }
}

/** The value to bind to `authorizer.requestResource`, declared as `declValue(resourceCheckType)`. */
export function requestResourceOf(
  authorizer: Authorizer,
  request: { group: string; resource: string; subresource: string; namespace: string; name: string },
): ResourceCheck {
  return new ResourceCheck(authorizer, request);
}

export class PathCheck extends Opaque {
  readonly type: CelType = pathCheckType;
  readonly authorizer: Authorizer;
  readonly path: string;

  constructor(authorizer: Authorizer, path: string) {
    super();
    this.authorizer = authorizer;
    this.path = path;
  }

  check(verb: string): DecisionValue {
    const { authorizer, path } = this;
    return new DecisionValue(authorizer.decide({ verb, serviceAccount: authorizer.serviceAccount, path }));
  }

  equals(other: Opaque): boolean {
    return other instanceof PathCheck && other.authorizer === this.authorizer && other.path === this.path;
  }
}

export class GroupCheck extends Opaque {
  readonly type: CelType = groupCheckType;
  readonly authorizer: Authorizer;
  readonly group: string;

  constructor(authorizer: Authorizer, group: string) {
    super();
    this.authorizer = authorizer;
    this.group = group;
  }

  equals(other: Opaque): boolean {
    return other instanceof GroupCheck && other.authorizer === this.authorizer && other.group === this.group;
  }
}

interface ResourceAttributes {
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
}

export class ResourceCheck extends Opaque {
  readonly type: CelType = resourceCheckType;
  readonly authorizer: Authorizer;
  readonly attributes: ResourceAttributes;

  constructor(authorizer: Authorizer, attributes: ResourceAttributes) {
    super();
    this.authorizer = authorizer;
    this.attributes = attributes;
  }

  with(changed: Partial<ResourceAttributes>): ResourceCheck {
    return new ResourceCheck(this.authorizer, { ...this.attributes, ...changed });
  }

  check(verb: string): DecisionValue {
    const { authorizer, attributes } = this;
    return new DecisionValue(authorizer.decide({ verb, serviceAccount: authorizer.serviceAccount, ...attributes }));
  }

  equals(other: Opaque): boolean {
    return (
      other instanceof ResourceCheck &&
      other.authorizer === this.authorizer &&
      JSON.stringify(other.attributes) === JSON.stringify(this.attributes)
    );
  }
}

export class DecisionValue extends Opaque {
  readonly type: CelType = decisionType;
  readonly decision: Decision;

  constructor(decision: Decision) {
    super();
    this.decision = decision;
  }

  equals(other: Opaque): boolean {
    return other instanceof DecisionValue && other.decision === this.decision;
  }
}
