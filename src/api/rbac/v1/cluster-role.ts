import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, object, struct, type TypeOf } from '../../machinery/schema.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { isSoundSelector } from '../../core/v1/workload-validation.ts';
import { isPathSegmentName } from '../../machinery/names.ts';
import { validateLabelSelector } from '../../machinery/object-meta-validation.ts';
import { validateRules } from './rbac-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { PolicyRule } from './policy-rule.ts';

export const AggregationRule = object('io.k8s.api.rbac.v1.AggregationRule', {
  clusterRoleSelectors: list(1, LabelSelector, { listType: 'atomic' }),
});
export type AggregationRule = TypeOf<typeof AggregationRule>;

export const ClusterRole = defineKind({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  kind: 'ClusterRole',
  plural: 'clusterroles',
  namespaced: false,
  doc: 'Permissions everywhere, or for use in any namespace.',
  type: 'io.k8s.api.rbac.v1.ClusterRole',
  fields: {
    aggregationRule: struct(3, AggregationRule),
    metadata: struct(1, ObjectMeta, { required: true }),
    rules: list(2, PolicyRule, { always: true, listType: 'atomic', doc: 'What is allowed.' }),
  },
  validateName: isPathSegmentName,
  createOnUpdate: true,
  validate({ rules, aggregationRule }, report) {
    validateRules(rules, false, report.at('rules'));
    if (!aggregationRule) return;
    const at = report.at('aggregationRule', 'clusterRoleSelectors');
    const selectors = aggregationRule.clusterRoleSelectors ?? [];
    if (selectors.length === 0) at.required('at least one clusterRoleSelector required if aggregationRule is non-nil');
    for (const [index, selector] of selectors.entries()) {
      validateLabelSelector(selector, at.index(index));
      if (!isSoundSelector(selector)) at.index(index).invalid(null, 'invalid label selector.');
    }
  },
});
export type ClusterRole = ObjectOf<typeof ClusterRole>;
