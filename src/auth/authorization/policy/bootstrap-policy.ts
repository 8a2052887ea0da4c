import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import { isReason } from '#api/machinery/errors.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import type { PolicyRule } from '#api/rbac/v1/policy-rule.ts';
import { Role } from '#api/rbac/v1/role.ts';
import { RoleBinding } from '#api/rbac/v1/role-binding.ts';
import type { Subject } from '#api/rbac/v1/subject.ts';
import type { Client } from '#client/client.ts';
import { uncoveredRules } from '../coverage.ts';
import {
  clusterRoleSubjects,
  kubeletClientBinding,
  namespaceRoleSubjects,
  networkPolicyBinding,
  trustBundleBinding,
} from './bindings.ts';
import { clusterRoleRules, trustBundleRules } from './cluster-roles.ts';
import { controllerRules, optionalControllerRules } from './controller-roles.ts';
import { namespaceRoleRules } from './namespace-roles.ts';

const apiGroup = 'rbac.authorization.k8s.io';
const autoupdate = 'rbac.authorization.kubernetes.io/autoupdate';
const aggregateTo = (role: string) => ({ [`rbac.authorization.k8s.io/aggregate-to-${role}`]: 'true' });

/** Labels by which roles flow into admin, edit and view. */
const aggregationLabels: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'system:aggregate-to-admin': aggregateTo('admin'),
  'system:aggregate-to-edit': aggregateTo('edit'),
  'system:aggregate-to-view': aggregateTo('view'),
  edit: aggregateTo('admin'),
  view: aggregateTo('edit'),
};

/** Everything upstream's API server creates at start, in order: what others refer to comes first. */
export interface BootstrapPolicy {
  readonly clusterRoles: readonly Partly<ClusterRole>[];
  readonly clusterRoleBindings: readonly Partly<ClusterRoleBinding>[];
  readonly roles: readonly Partly<Role>[];
  readonly roleBindings: readonly Partly<RoleBinding>[];
}

/** What is there beside what upstream's API server has. */
export interface PolicyAdditions {
  /** Controllers that a default cluster does not have. */
  readonly optional?: readonly string[];
  /** ClusterTrustBundles are served, which they are not by default. */
  readonly trustBundles?: boolean;
  readonly addOns?: readonly AddOnPolicy[];
}

/** The roles of a part that upstream has beside its cluster. */
export interface AddOnPolicy {
  readonly clusterRoles: readonly Partly<ClusterRole>[];
  readonly clusterRoleBindings: readonly Partly<ClusterRoleBinding>[];
}

export function bootstrapPolicy({
  optional = [],
  trustBundles = false,
  addOns = [],
}: PolicyAdditions = {}): BootstrapPolicy {
  const optionalRules = Object.entries(optionalControllerRules).filter(([name]) => optional.includes(name));
  const controllers = [...Object.entries(controllerRules), ...optionalRules].map(([name, rules]) => ({
    name: `system:controller:${name}`,
    rules,
  }));
  const added = addOns.flatMap(each => each.clusterRoles);
  const addedTo = (role: string) =>
    added
      .filter(({ metadata }) => metadata?.labels?.[`rbac.authorization.k8s.io/aggregate-to-${role}`] === 'true')
      .flatMap(({ rules = [] }) => rules as readonly PolicyRule[]);
  // In the order of the roles' names, as the aggregation controller would.
  const view = distinct([...(clusterRoleRules['system:aggregate-to-view'] ?? []), ...addedTo('view')]);
  const edit = distinct([...(clusterRoleRules['system:aggregate-to-edit'] ?? []), ...addedTo('edit'), ...view]);
  const admin = distinct([...edit, ...(clusterRoleRules['system:aggregate-to-admin'] ?? []), ...addedTo('admin')]);
  return {
    clusterRoles: [
      ...Object.entries(clusterRoleRules).map(([name, rules]) => ({
        metadata: metadataOf(name),
        rules: trustBundles && name === 'system:node' ? [...rules, ...trustBundleRules] : rules,
      })),
      ...(trustBundles ? [{ metadata: metadataOf(trustBundleBinding.role), rules: trustBundleRules }] : []),
      ...controllers.map(({ name, rules }) => ({ metadata: metadataOf(name), rules })),
      ...added,
      aggregated('view', view),
      aggregated('edit', edit),
      aggregated('admin', admin),
    ],
    clusterRoleBindings: [
      ...Object.entries(clusterRoleSubjects).map(([name, subjects]) => clusterBinding(name, name, subjects)),
      ...controllers.map(({ name }) =>
        clusterBinding(name, name, [
          { kind: 'ServiceAccount', name: name.slice('system:controller:'.length), namespace: 'kube-system' },
        ]),
      ),
      ...[kubeletClientBinding, networkPolicyBinding, ...(trustBundles ? [trustBundleBinding] : [])].map(
        ({ name, role, subjects }) => clusterBinding(name, role, subjects),
      ),
      ...addOns.flatMap(each => each.clusterRoleBindings),
    ],
    roles: Object.entries(namespaceRoleRules).flatMap(([namespace, roles]) =>
      Object.entries(roles).map(([name, rules]) => ({ metadata: { ...metadataOf(name), namespace }, rules })),
    ),
    roleBindings: Object.entries(namespaceRoleSubjects).flatMap(([namespace, bindings]) =>
      Object.entries(bindings).map(([name, { role, subjects }]) => ({
        metadata: { ...metadataOf(name), namespace },
        roleRef: { apiGroup, kind: 'Role', name: role },
        subjects,
      })),
    ),
  };
}

/**
 * Creates what is missing and adds permissions, subjects and labels that are missing, but takes nothing away; objects
 * annotated `rbac.authorization.kubernetes.io/autoupdate: "false"` are left alone.
 */
export async function reconcileBootstrapPolicy(
  client: Client,
  create: Create = createThrough(client),
  additions: PolicyAdditions = {},
): Promise<void> {
  const policy = bootstrapPolicy(additions);
  const namespaces = [...new Set([...Object.keys(namespaceRoleRules), ...Object.keys(namespaceRoleSubjects)])];
  await Promise.all(namespaces.map(name => create(Namespace, { metadata: { name } })));
  await Promise.all([
    reconcile<ClusterRole>(client, ClusterRole, policy.clusterRoles, withMissingRules, create),
    reconcile<Role>(client, Role, policy.roles, withMissingRules, create),
  ]);
  await Promise.all([
    reconcile<ClusterRoleBinding>(client, ClusterRoleBinding, policy.clusterRoleBindings, withMissingSubjects, create),
    reconcile<RoleBinding>(client, RoleBinding, policy.roleBindings, withMissingSubjects, create),
  ]);
}

/** What has to be written to bring `found` to `wanted`; `recreate` where a field cannot be changed. */
type Merge<Type> = (found: Type, wanted: Partly<Type>) => Type | 'recreate' | undefined;

async function reconcile<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  wanted: readonly Partly<Type>[],
  merge: Merge<Type>,
  create: Create,
): Promise<void> {
  const there = await client.list(kind);
  const found = new Map(there.items.map(each => [keyOf(each.metadata), each]));
  await Promise.all(
    wanted.map(async each => {
      const metadata = each.metadata ?? {};
      const place = metadata.namespace ? { namespace: metadata.namespace } : {};
      const old = found.get(keyOf(metadata));
      if (!old) {
        await create(kind, each);
        return;
      }
      if (old.metadata.annotations?.[autoupdate] === 'false') return;
      const next = merge(old, each) ?? old;
      if (next === 'recreate') {
        await client.delete(kind, metadata.name ?? '', place);
        await create(kind, each);
        return;
      }
      const labelled = withMissingMetadata(next, each);
      if (labelled !== old) await client.update(kind, labelled, place);
    }),
  );
}

/** Creates an object unless there is one of its name: another API server may be starting at the same time. */
export type Create = <Type extends ApiObject>(kind: Kind<Type>, object: Partly<Type>) => Promise<unknown>;

function createThrough(client: Client): Create {
  return async (kind, object) => {
    const namespace = object.metadata?.namespace;
    try {
      await client.create(kind, object, namespace ? { namespace } : {});
    } catch (error) {
      if (!isReason(error, 'AlreadyExists')) throw error;
    }
  };
}

function withMissingRules<Type extends ClusterRole | Role>(found: Type, wanted: Partly<Type>): Type | undefined {
  // An aggregated role's rules are the aggregation controller's.
  if ((wanted as Partly<ClusterRole>).aggregationRule) {
    const selectors = (wanted as Partly<ClusterRole>).aggregationRule?.clusterRoleSelectors ?? [];
    const present = ((found as ClusterRole).aggregationRule?.clusterRoleSelectors ?? []).map(each =>
      JSON.stringify(each),
    );
    const missing = selectors.filter(each => !present.includes(JSON.stringify(each)));
    if (missing.length === 0) return undefined;
    const clusterRoleSelectors = [...((found as ClusterRole).aggregationRule?.clusterRoleSelectors ?? []), ...missing];
    return { ...found, aggregationRule: { clusterRoleSelectors } } as Type;
  }
  const missing = uncoveredRules(found.rules ?? [], (wanted.rules ?? []) as readonly PolicyRule[]);
  return missing.length === 0 ? undefined : { ...found, rules: [...(found.rules ?? []), ...missing] };
}

function withMissingSubjects<Type extends ClusterRoleBinding | RoleBinding>(
  found: Type,
  wanted: Partly<Type>,
): Type | 'recreate' | undefined {
  if (found.roleRef.kind !== wanted.roleRef?.kind || found.roleRef.name !== wanted.roleRef?.name) return 'recreate';
  const present = new Set((found.subjects ?? []).map(subjectKey));
  const missing = ((wanted.subjects ?? []) as readonly Subject[]).filter(each => !present.has(subjectKey(each)));
  return missing.length === 0 ? undefined : { ...found, subjects: [...(found.subjects ?? []), ...missing] };
}

function withMissingMetadata<Type extends ApiObject>(found: Type, wanted: Partly<Type>): Type {
  const labels = { ...(wanted.metadata?.labels as Record<string, string>), ...found.metadata.labels };
  const annotations = { ...(wanted.metadata?.annotations as Record<string, string>), ...found.metadata.annotations };
  const sameSize = (left: object, right: object | undefined) =>
    Object.keys(left).length === Object.keys(right ?? {}).length;
  if (sameSize(labels, found.metadata.labels) && sameSize(annotations, found.metadata.annotations)) return found;
  return { ...found, metadata: { ...found.metadata, labels, annotations } };
}

function metadataOf(name: string) {
  return {
    name,
    labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults', ...aggregationLabels[name] },
    annotations: { [autoupdate]: 'true' },
  };
}

function aggregated(name: string, rules: readonly PolicyRule[]): Partly<ClusterRole> {
  return {
    metadata: metadataOf(name),
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: aggregateTo(name) }] },
    rules,
  };
}

function clusterBinding(name: string, role: string, subjects: readonly Subject[]): Partly<ClusterRoleBinding> {
  return { metadata: metadataOf(name), roleRef: { apiGroup, kind: 'ClusterRole', name: role }, subjects };
}

function distinct(rules: readonly PolicyRule[]): PolicyRule[] {
  return [...new Map(rules.map(rule => [JSON.stringify(rule), rule])).values()];
}

function keyOf(metadata: { readonly name?: string | undefined; readonly namespace?: string | undefined }): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

function subjectKey({ kind, name, namespace = '' }: Subject): string {
  return `${kind}/${namespace}/${name}`;
}
