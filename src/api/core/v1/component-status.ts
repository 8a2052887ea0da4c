import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { nameColumn, text } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ComponentCondition = object('io.k8s.api.core.v1.ComponentCondition', {
  error: string(4),
  message: string(3),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type ComponentCondition = TypeOf<typeof ComponentCondition>;

export const ComponentStatus = defineKind({
  group: '',
  version: 'v1',
  kind: 'ComponentStatus',
  plural: 'componentstatuses',
  namespaced: false,
  doc: 'Health of a part of the control plane; kept for old clients.',
  shortNames: ['cs'],
  verbs: ['get', 'list'],
  type: 'io.k8s.api.core.v1.ComponentStatus',
  fields: {
    conditions: list(2, ComponentCondition, {
      listType: 'map',
      mapKeys: ['type'],
      patchStrategy: 'merge',
      patchMergeKey: 'type',
    }),
    metadata: struct(1, ObjectMeta, { required: true }),
  },
  columns: [
    nameColumn,
    text('Status', 'Healthy or not.', ({ conditions }) => {
      const health = healthOf(conditions);
      return health ? (health.status === 'True' ? 'Healthy' : 'Unhealthy') : 'Unknown';
    }),
    text('Message', 'What it says of itself.', ({ conditions }) => healthOf(conditions)?.message ?? ''),
    text('Error', 'What is wrong.', ({ conditions }) => healthOf(conditions)?.error ?? ''),
  ],
});
export type ComponentStatus = ObjectOf<typeof ComponentStatus>;

function healthOf(conditions: readonly ComponentCondition[] | undefined): ComponentCondition | undefined {
  return (conditions ?? []).find(condition => condition.type === 'Healthy');
}
