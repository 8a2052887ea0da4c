import { Authorizer, type Check, type Decision, PendingDecision, requestResourceOf } from '#cel/authorizer.ts';
import { runtimeCostBudget } from '#cel/limits.ts';
import { structOf } from '#cel/types.ts';
import { CelError, CelObject, type CelValue, type Result } from '#cel/values.ts';
import type { AdmissionExpression } from '#api/admissionregistration/expressions.ts';
import { apiVersionOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import type { Namespace } from '#api/core/v1/namespace.ts';
import type { Authorizer as Authorization } from '#auth/authorization/authorizer.ts';
import { serviceAccountUser } from '#auth/user.ts';
import type { AdmissionRequest } from './admission.ts';

/** What expressions about one request may cost together. */
export class Budget {
  left: number;

  constructor(left: number = runtimeCostBudget) {
    this.left = left;
  }

  spend(cost: number): void {
    if (cost > this.left) throw new OutOfBudget();
    this.left -= cost;
  }
}

export class OutOfBudget extends Error {
  constructor() {
    super('validation failed due to running out of cost budget, no further validation rules will be run');
  }
}

/** What an expression came to: a value of the language, or why there is none. */
export type Outcome =
  | { readonly value: CelValue; readonly error: undefined }
  | { readonly value: undefined; readonly error: string; readonly compiles: boolean };

/** What expressions see of one request. */
export interface Subject {
  readonly request: AdmissionRequest;
  /** The version that was matched; the objects are of it. */
  readonly kind: Kind;
  readonly object: ApiObject | undefined;
  readonly old: ApiObject | undefined;
  readonly namespace: Namespace | undefined;
  readonly params: ApiObject | undefined;
  readonly decisions: Decisions;
}

/** Variables of a policy by their names, in the order in which they are declared. */
export type Variables = ReadonlyMap<string, AdmissionExpression>;

/** Expressions about one request: variables are worked out when they are first asked for, and once. */
export class Activation {
  readonly #subject: Subject;
  readonly #variables: Variables;
  readonly #variablesMayWait: boolean;
  readonly #bindings: Record<string, unknown>;

  constructor(subject: Subject, variables: Variables) {
    const { object, old, namespace, params, decisions, request } = subject;
    this.#subject = subject;
    this.#variables = variables;
    this.#variablesMayWait = [...variables.values()].some(({ text }) => text.includes('authorizer'));
    this.#bindings = {
      object: object ?? null,
      oldObject: old ?? null,
      namespaceObject: namespaceOf(namespace),
      params: params ?? null,
      request: requestOf(subject),
      authorizer: decisions.authorizer,
      'authorizer.requestResource': requestResourceOf(decisions.authorizer, {
        group: request.kind.group,
        resource: request.kind.plural,
        subresource: request.subresource,
        namespace: request.namespace,
        name: request.name,
      }),
    };
  }

  /** Throws OutOfBudget. */
  async evaluate({ text, compiled, error }: AdmissionExpression, budget: Budget): Promise<Outcome> {
    if (!compiled) return { value: undefined, error: `compilation error: ${error}`, compiles: false };
    const variables = new LazyVariables(this.#variables, this.#bindings, this.#subject.decisions);
    this.#bindings['variables'] = variables;
    const mayWait = text.includes('authorizer') || this.#variablesMayWait;
    const result = mayWait ? await compiled.evaluateAsync(this.#bindings) : compiled.evaluate(this.#bindings);
    budget.spend(variables.cost);
    budget.spend(result.cost);
    if (!result.error) return { value: result.value, error: undefined };
    const why = `expression '${text}' resulted in error: ${result.error.message}`;
    return { value: undefined, error: why, compiles: true };
  }
}

/** What expressions may ask about the user of a request. Everything is asked once. */
export class Decisions {
  readonly authorizer: Authorizer;
  #waiting: Promise<unknown>[] = [];

  constructor(authorization: Authorization, { user, kind }: AdmissionRequest) {
    this.authorizer = new Authorizer(check => {
      const decided = decide(authorization, check, user, kind);
      this.#waiting.push(decided);
      return decided;
    });
  }

  /** What has been asked since the last time; undefined: nothing. */
  takeWaiting(): Promise<unknown> | undefined {
    if (this.#waiting.length === 0) return undefined;
    const waiting = Promise.all(this.#waiting);
    this.#waiting = [];
    return waiting;
  }
}

async function decide(
  authorization: Authorization,
  check: Check,
  user: AdmissionRequest['user'],
  kind: Kind,
): Promise<Decision> {
  try {
    const { decision, reason } = await authorization.authorize(attributesOf(check, user, kind));
    return { allowed: decision === 'allow', reason };
  } catch (error) {
    return { allowed: false, error: (error as Error).message };
  }
}

function attributesOf(check: Check, user: AdmissionRequest['user'], kind: Kind) {
  const { serviceAccount } = check;
  const who = serviceAccount ? serviceAccountUser(serviceAccount.namespace, serviceAccount.name) : user;
  if ('path' in check)
    return {
      user: who,
      verb: check.verb,
      resourceRequest: false,
      path: check.path,
      group: '',
      version: '',
      resource: '',
      subresource: '',
      namespace: '',
      name: '',
    };
  const { group, resource, subresource, namespace, name, fieldSelector, labelSelector } = check;
  return {
    user: who,
    verb: check.verb,
    resourceRequest: true,
    path: '',
    group,
    version: group === kind.group ? kind.version : '*',
    resource,
    subresource,
    namespace,
    name,
    ...(fieldSelector !== undefined && { fieldSelector }),
    ...(labelSelector !== undefined && { labelSelector }),
  };
}

class LazyVariables extends CelObject {
  readonly type = structOf('kubernetes.variables');
  readonly #variables: Variables;
  readonly #bindings: Readonly<Record<string, unknown>>;
  readonly #decisions: Decisions;
  readonly #known = new Map<string, Result>();
  cost = 0;

  constructor(variables: Variables, bindings: Readonly<Record<string, unknown>>, decisions: Decisions) {
    super();
    this.#variables = variables;
    this.#bindings = bindings;
    this.#decisions = decisions;
  }

  field(name: string): Result | undefined {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const variable = this.#variables.get(name);
    if (!variable) return undefined;
    const result = this.#evaluate(name, variable);
    this.#known.set(name, result);
    return result;
  }

  names(): string[] {
    return [...this.#variables.keys()];
  }

  #evaluate(name: string, { compiled, error }: AdmissionExpression): Result {
    const quoted = JSON.stringify(name);
    if (!compiled) return new CelError(`composited variable ${quoted} fails to compile: ${error}`);
    this.#decisions.takeWaiting();
    const result = compiled.evaluate(this.#bindings);
    // Whoever evaluates the expression that asked for the variable waits, and begins anew.
    const waiting = this.#decisions.takeWaiting();
    if (waiting) throw new PendingDecision(waiting);
    this.cost += result.cost;
    if (!result.error) return result.value;
    return new CelError(`composited variable ${quoted} fails to evaluate: ${result.error.message}`);
  }
}

/** admission.k8s.io/v1 AdmissionRequest as expressions see it: what is empty is not there. */
function requestOf({ request, kind }: Subject): object {
  const { subresource, user } = request;
  const gvk = ({ group, version, kind: name }: Kind) => ({ group, version, kind: name });
  const gvr = ({ group, version, plural: resource }: Kind) => ({ group, version, resource });
  return {
    kind: gvk(kind),
    resource: gvr(kind),
    ...(subresource !== '' && { subResource: subresource }),
    requestKind: gvk(request.kind),
    requestResource: gvr(request.kind),
    ...(subresource !== '' && { requestSubResource: subresource }),
    ...(request.name !== '' && { name: request.name }),
    ...(request.namespace !== '' && { namespace: request.namespace }),
    operation: request.operation,
    userInfo: {
      username: user.name,
      ...(user.uid !== undefined && user.uid !== '' && { uid: user.uid }),
      ...(user.groups.length > 0 && { groups: user.groups }),
      ...(user.extra && Object.keys(user.extra).length > 0 && { extra: user.extra }),
    },
    dryRun: request.dryRun,
    options: request.options,
  };
}

function namespaceOf(namespace: Namespace | undefined): object | null {
  if (!namespace) return null;
  const { managedFields: _managed, ownerReferences: _owners, selfLink: _link, ...metadata } = namespace.metadata;
  return { ...namespace, metadata };
}

/** What a param is in a policy's own words. */
export function paramsWithType(params: ApiObject, kind: Kind): ApiObject {
  return params.kind === undefined ? { ...params, apiVersion: apiVersionOf(kind), kind: kind.kind } : params;
}
