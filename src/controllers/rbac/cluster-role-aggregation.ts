import { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import type { PolicyRule } from '#api/rbac/v1/policy-rule.ts';
import { compileLabelSelector } from '#api/machinery/selector.ts';
import { defineController } from '../controller.ts';
import { watched } from '../reads.ts';

const isAggregated = (role: ClusterRole) => (role.aggregationRule?.clusterRoleSelectors ?? []).length > 0;

/** The rules of an aggregated role are those of the roles that it selects. */
export const clusterRoleAggregationController = defineController({
  name: 'clusterrole-aggregation-controller',
  reconciles: ClusterRole,
  concerns: isAggregated,
  reads: {
    // Roles that aggregate are few, so any change of a role looks at all of them.
    roles: watched<ClusterRole, ClusterRole, readonly ClusterRole[]>(
      ClusterRole,
      roles => () => [...roles.objects.values()],
      (changed, old, roles) =>
        [...roles.objects]
          .filter(([, role]) => isAggregated(role) && (selects(role, changed) || (old && selects(role, old))))
          .map(([key]) => key),
    ),
  },
  writes: [ClusterRole],
  decide(role, { roles }) {
    // By their content: the largest role has over a hundred.
    const rules = new Map<string, PolicyRule>();
    for (const selector of role.aggregationRule?.clusterRoleSelectors ?? []) {
      const matches = compileLabelSelector(selector);
      const found = roles
        .filter(other => other.metadata.name !== role.metadata.name && matches(other.metadata.labels))
        .toSorted((a, b) => ((a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1));
      for (const rule of found.flatMap(other => other.rules ?? [])) {
        const content = contentOf(rule);
        if (!rules.has(content)) rules.set(content, rule);
      }
    }
    const wanted = [...rules.values()];
    const present = role.rules ?? [];
    if (wanted.length === present.length && wanted.every((rule, at) => contentOf(rule) === contentOf(present[at])))
      return [];
    return [
      {
        do: 'patch',
        kind: ClusterRole,
        object: role,
        // Only the rules: whoever changes the role meanwhile is not in the way.
        patch: { type: 'merge', patch: { rules: wanted } },
      },
    ];
  },
});

function selects(role: ClusterRole, other: ClusterRole): boolean {
  const { clusterRoleSelectors = [] } = role.aggregationRule ?? {};
  return clusterRoleSelectors.some(selector => compileLabelSelector(selector)(other.metadata.labels));
}

/** Whether a list is absent or empty makes no difference. */
function contentOf(rule: PolicyRule | undefined): string {
  const {
    apiGroups = [],
    resources = [],
    resourceNames = [],
    nonResourceURLs = [],
    verbs = [],
  } = rule ?? { verbs: [] };
  return JSON.stringify([apiGroups, resources, resourceNames, nonResourceURLs, verbs]);
}
