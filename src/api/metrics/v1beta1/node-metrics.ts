import { nameColumn } from '../../machinery/columns.ts';
import { defineKind, type Column, type ObjectOf } from '../../machinery/kind.ts';
import { map, string, struct, time, types } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

/** What is measured, in the order of the columns. */
export const measuredResources = ['cpu', 'memory'] as const;

export const windowColumn: Column<{ readonly window: string }> = {
  name: 'Window',
  type: 'string',
  format: 'duration',
  description: 'The time over which it was measured.',
  cell: ({ window }) => window,
};

export const NodeMetrics = defineKind({
  group: 'metrics.k8s.io',
  version: 'v1beta1',
  kind: 'NodeMetrics',
  plural: 'nodes',
  singular: '',
  namespaced: false,
  doc: 'What a node uses, measured over a short while.',
  verbs: ['get', 'list'],
  type: 'io.k8s.metrics.pkg.apis.metrics.v1beta1.NodeMetrics',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    timestamp: time(2, { required: true }),
    window: string(3, { required: true }),
    usage: map(4, types.quantity, { required: true }),
  },
  hasGeneration: false,
  columns: [
    nameColumn,
    ...measuredResources.map(
      (resource): Column<{ readonly usage: Readonly<Record<string, string>> }> => ({
        name: resource,
        type: 'string',
        format: 'quantity',
        description: `How much ${resource} is used.`,
        cell: ({ usage }) => usage[resource] ?? '',
      }),
    ),
    windowColumn,
  ],
});
export type NodeMetrics = ObjectOf<typeof NodeMetrics>;
