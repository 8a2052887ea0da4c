import { errors } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import type { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import type { PolicyRule } from '#api/rbac/v1/policy-rule.ts';
import type { Role } from '#api/rbac/v1/role.ts';
import type { RoleBinding } from '#api/rbac/v1/role-binding.ts';
import type { RoleRef } from '#api/rbac/v1/role-ref.ts';
import { wellKnownGroups, type User } from '../user.ts';
import type { Authorizer } from './authorizer.ts';
import { describeRules, quotedList, uncoveredRules } from './coverage.ts';
import { rulesHeldBy, type RoleIndex } from './rbac.ts';

/** A create or update of one of the four RBAC kinds. */
export interface RbacWrite {
  readonly user: User;
  readonly kind: Kind;
  readonly namespace: string;
  /** The name in the URL: empty on create. */
  readonly name: string;
  readonly object: ApiObject;
  readonly old: ApiObject | undefined;
}

const group = 'rbac.authorization.k8s.io';
const everything: readonly PolicyRule[] = [
  { apiGroups: ['*'], resources: ['*'], verbs: ['*'] },
  { nonResourceURLs: ['*'], verbs: ['*'] },
];

/**
 * Refuses a role or binding that would give more than its author has, unless the author may `escalate` (roles) or `bind`
 * (bindings). Throws Forbidden.
 */
export function rbacEscalationCheck(index: RoleIndex, authorizer: Authorizer): (write: RbacWrite) => Promise<void> {
  return async write => {
    if (write.kind.group !== group || write.user.groups.includes(wellKnownGroups.masters)) return;
    if (write.old && onlyOwnershipChanges(write.object, write.old)) return;
    switch (write.kind.kind) {
      case 'Role':
      case 'ClusterRole':
        return checkRole(index, authorizer, write);
      case 'RoleBinding':
      case 'ClusterRoleBinding':
        return checkBinding(index, authorizer, write);
      default:
        return;
    }
  };
}

async function checkRole(index: RoleIndex, authorizer: Authorizer, write: RbacWrite): Promise<void> {
  const role = write.object as Role | ClusterRole;
  const old = write.old as Role | ClusterRole | undefined;
  const aggregation = (role as ClusterRole).aggregationRule;
  const sameAggregation =
    JSON.stringify(aggregation ?? null) === JSON.stringify((old as ClusterRole | undefined)?.aggregationRule ?? null);
  if (old && sameAggregation && JSON.stringify(role.rules ?? []) === JSON.stringify(old.rules ?? [])) return;
  if (await allowed(authorizer, write, 'escalate', write.kind.plural, write.name)) return;
  const refuse = (why: string) => errors.forbidden(write.kind, role.metadata.name ?? '', why);
  const missing = missingRights(index, write, role.rules ?? []);
  if (missing !== undefined) throw refuse(missing);
  // Who sets an aggregation rule can gather anything.
  if ((aggregation?.clusterRoleSelectors?.length ?? 0) > 0 && !sameAggregation) {
    const lacking = missingRights(index, write, everything);
    if (lacking !== undefined) throw refuse(`must have cluster-admin privileges to use an aggregationRule: ${lacking}`);
  }
}

async function checkBinding(index: RoleIndex, authorizer: Authorizer, write: RbacWrite): Promise<void> {
  const { roleRef, metadata } = write.object as RoleBinding;
  const plural = roleRef.kind === 'ClusterRole' ? 'clusterroles' : 'roles';
  if (await allowed(authorizer, write, 'bind', plural, roleRef.name)) return;
  const rules = index.rulesOf(roleRef as RoleRef, write.namespace);
  if (!rules) throw errors.notFound({ group, plural: write.kind.plural }, roleRef.name);
  const missing = missingRights(index, write, rules);
  if (missing !== undefined) throw errors.forbidden(write.kind, metadata.name ?? '', missing);
}

function missingRights(
  index: RoleIndex,
  { user, namespace }: RbacWrite,
  wanted: readonly PolicyRule[],
): string | undefined {
  const missing = uncoveredRules(rulesHeldBy(index, user, namespace), wanted);
  if (missing.length === 0) return undefined;
  return `user ${JSON.stringify(user.name)} (groups=${quotedList(user.groups)}) is attempting to grant RBAC permissions not currently held:\n${describeRules(missing).join('\n')}`;
}

async function allowed(
  authorizer: Authorizer,
  { user, namespace }: RbacWrite,
  verb: 'escalate' | 'bind',
  resource: string,
  name: string,
): Promise<boolean> {
  const said = await authorizer.authorize({
    user,
    verb,
    resourceRequest: true,
    path: '',
    group,
    version: '*',
    resource,
    subresource: '',
    namespace,
    name,
  });
  return said.decision === 'allow';
}

/** The garbage collector may take owners and finalizers away from what it could not have written. */
function onlyOwnershipChanges(object: ApiObject, old: ApiObject): boolean {
  const bare = ({ metadata, ...rest }: ApiObject) => {
    const { ownerReferences, finalizers, managedFields, ...kept } = metadata;
    void [ownerReferences, finalizers, managedFields];
    return JSON.stringify([sortedEntries(kept), sortedEntries(rest)]);
  };
  return bare(object) === bare(old);
}

function sortedEntries(object: object): unknown[] {
  return Object.entries(object).sort(([left], [right]) => (left < right ? -1 : 1));
}
