import type { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import type { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import type { PolicyRule } from '#api/rbac/v1/policy-rule.ts';
import type { Role } from '#api/rbac/v1/role.ts';
import type { RoleBinding } from '#api/rbac/v1/role-binding.ts';
import type { RoleRef } from '#api/rbac/v1/role-ref.ts';
import type { Subject } from '#api/rbac/v1/subject.ts';
import type { User } from '../user.ts';
import type { Attributes, Authorizer, Decision, RuleSet } from './authorizer.ts';
import { ruleAllows } from './rule-matching.ts';

/** One binding of one subject. */
interface Grant {
  readonly roleRef: RoleRef;
  /** The binding's namespace; empty for a ClusterRoleBinding. */
  readonly namespace: string;
  readonly bindingName: string;
  readonly subject: Subject;
}

export type RbacObject =
  | { readonly kind: 'ClusterRole'; readonly object: ClusterRole }
  | { readonly kind: 'Role'; readonly object: Role }
  | { readonly kind: 'ClusterRoleBinding'; readonly object: ClusterRoleBinding }
  | { readonly kind: 'RoleBinding'; readonly object: RoleBinding };

/**
 * The roles and bindings as they are now, indexed by whom they are for: a decision looks at the bindings of the user and
 * the user's groups only. Whoever watches the four kinds keeps it current with `set` and `remove`.
 */
export class RoleIndex {
  readonly #roles = new Map<string, readonly PolicyRule[]>();
  /** Namespace (empty: cluster-wide) → subject → its grants by binding. */
  readonly #grants = new Map<string, Map<string, Map<string, Grant>>>();
  /** Binding → the subjects it is filed under. */
  readonly #filed = new Map<string, readonly string[]>();

  set({ kind, object }: RbacObject): void {
    const { namespace = '', name = '' } = object.metadata;
    if (kind === 'ClusterRole' || kind === 'Role') this.#roles.set(roleKey(kind, namespace, name), object.rules ?? []);
    else this.#setBinding(namespace, name, object);
  }

  remove(kind: RbacObject['kind'], namespace: string, name: string): void {
    if (kind === 'ClusterRole' || kind === 'Role') this.#roles.delete(roleKey(kind, namespace, name));
    else this.#removeBinding(namespace, name);
  }

  /** The rules of a role, or undefined when there is no such role. */
  rulesOf(roleRef: RoleRef, namespace: string): readonly PolicyRule[] | undefined {
    return this.#roles.get(roleKey(roleRef.kind as 'Role' | 'ClusterRole', namespace, roleRef.name));
  }

  /** What is granted to a user: cluster-wide first, then in the namespace. */
  *grantsFor(user: User, namespace: string): Generator<Grant> {
    yield* this.#grantsIn('', user);
    if (namespace !== '') yield* this.#grantsIn(namespace, user);
  }

  *#grantsIn(namespace: string, user: User): Generator<Grant> {
    const bySubject = this.#grants.get(namespace);
    if (!bySubject) return;
    const own = bySubject.get(`User/${user.name}`);
    if (own) yield* own.values();
    for (const group of user.groups) {
      const grants = bySubject.get(`Group/${group}`);
      if (grants) yield* grants.values();
    }
  }

  #setBinding(namespace: string, name: string, binding: ClusterRoleBinding | RoleBinding): void {
    this.#removeBinding(namespace, name);
    const keys: string[] = [];
    const bySubject = this.#grants.get(namespace) ?? new Map<string, Map<string, Grant>>();
    this.#grants.set(namespace, bySubject);
    for (const subject of binding.subjects ?? []) {
      const key = subjectKey(subject, namespace);
      if (key === undefined) continue;
      const grants = bySubject.get(key) ?? new Map<string, Grant>();
      bySubject.set(key, grants);
      if (!grants.has(name)) grants.set(name, { roleRef: binding.roleRef, namespace, bindingName: name, subject });
      keys.push(key);
    }
    this.#filed.set(`${namespace}/${name}`, keys);
  }

  #removeBinding(namespace: string, name: string): void {
    const bySubject = this.#grants.get(namespace);
    for (const key of this.#filed.get(`${namespace}/${name}`) ?? []) {
      const grants = bySubject?.get(key);
      grants?.delete(name);
      if (grants?.size === 0) bySubject?.delete(key);
    }
    this.#filed.delete(`${namespace}/${name}`);
    if (bySubject?.size === 0) this.#grants.delete(namespace);
  }
}

/** Role-based access control over an index. */
export function rbacAuthorizer(index: RoleIndex): Authorizer {
  return {
    name: 'RBAC',
    authorize(asked: Attributes): Decision {
      const missing: string[] = [];
      for (const grant of index.grantsFor(asked.user, asked.namespace)) {
        const rules = index.rulesOf(grant.roleRef, grant.namespace);
        if (!rules) missing.push(noSuchRole(grant.roleRef));
        else if (rules.some(rule => ruleAllows(rule, asked))) return { decision: 'allow', reason: allowedBy(grant) };
      }
      return { decision: 'noOpinion', reason: missing.length === 0 ? '' : `RBAC: ${aggregate(missing)}` };
    },
    rulesFor: (user, namespace) => ruleSetFor(index, user, namespace),
  };
}

/** All the rules that hold for a user: what they may hand on to others. */
export function rulesHeldBy(index: RoleIndex, user: User, namespace: string): PolicyRule[] {
  return [...index.grantsFor(user, namespace)].flatMap(grant => index.rulesOf(grant.roleRef, grant.namespace) ?? []);
}

function ruleSetFor(index: RoleIndex, user: User, namespace: string): RuleSet {
  const grants = [...index.grantsFor(user, namespace)];
  const rules = rulesHeldBy(index, user, namespace);
  const missing = grants
    .filter(grant => !index.rulesOf(grant.roleRef, grant.namespace))
    .map(grant => noSuchRole(grant.roleRef));
  return {
    resourceRules: rules
      .filter(rule => (rule.resources?.length ?? 0) > 0)
      .map(({ verbs, apiGroups, resources, resourceNames }) => ({
        verbs,
        ...(apiGroups && { apiGroups }),
        ...(resources && { resources }),
        ...(resourceNames && { resourceNames }),
      })),
    nonResourceRules: rules
      .filter(rule => (rule.nonResourceURLs?.length ?? 0) > 0)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, ...(nonResourceURLs && { nonResourceURLs }) })),
    incomplete: false,
    ...(missing.length > 0 && { evaluationError: aggregate(missing) }),
  };
}

function subjectKey(subject: Subject, bindingNamespace: string): string | undefined {
  if (subject.kind !== 'ServiceAccount') return `${subject.kind}/${subject.name}`;
  const namespace = subject.namespace || bindingNamespace;
  return namespace === '' ? undefined : `User/system:serviceaccount:${namespace}:${subject.name}`;
}

function roleKey(kind: 'Role' | 'ClusterRole', namespace: string, name: string): string {
  return kind === 'ClusterRole' ? `/${name}` : `${namespace}/${name}`;
}

/** The same few grants answer nearly all questions. */
const allowedReasons = new WeakMap<Grant, string>();

function allowedBy(grant: Grant): string {
  let reason = allowedReasons.get(grant);
  if (reason === undefined) allowedReasons.set(grant, (reason = `RBAC: allowed by ${describeGrant(grant)}`));
  return reason;
}

function describeGrant({ roleRef, namespace, bindingName, subject }: Grant): string {
  const to =
    subject.kind === 'ServiceAccount'
      ? `${subject.kind} ${JSON.stringify(`${subject.name}/${subject.namespace || namespace}`)}`
      : `${subject.kind} ${JSON.stringify(subject.name)}`;
  const binding =
    namespace === ''
      ? `ClusterRoleBinding ${JSON.stringify(bindingName)}`
      : `RoleBinding ${JSON.stringify(`${bindingName}/${namespace}`)}`;
  return `${binding} of ${roleRef.kind} ${JSON.stringify(roleRef.name)} to ${to}`;
}

function noSuchRole({ kind, name }: RoleRef): string {
  return `${kind.toLowerCase()}.rbac.authorization.k8s.io ${JSON.stringify(name)} not found`;
}

function aggregate(messages: readonly string[]): string {
  const distinct = [...new Set(messages)];
  return distinct.length === 1 ? (distinct[0] ?? '') : `[${distinct.join(', ')}]`;
}
