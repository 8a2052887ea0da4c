import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, object, struct, type TypeOf } from '../../machinery/schema.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
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
  type: 'io.k8s.api.rbac.v1.ClusterRole',
  fields: {
    aggregationRule: struct(3, AggregationRule),
    metadata: struct(1, ObjectMeta, { required: true }),
    rules: list(2, PolicyRule, { always: true, listType: 'atomic' }),
  },
});
export type ClusterRole = ObjectOf<typeof ClusterRole>;
