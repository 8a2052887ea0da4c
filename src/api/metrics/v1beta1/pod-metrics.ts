import { nameColumn } from '../../machinery/columns.ts';
import { defineKind, type Column, type ObjectOf } from '../../machinery/kind.ts';
import { addQuantities, formatQuantity, parseQuantity, zeroQuantity } from '../../machinery/quantity.ts';
import { list, map, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { measuredResources, windowColumn } from './node-metrics.ts';

export const ContainerMetrics = object('io.k8s.metrics.pkg.apis.metrics.v1beta1.ContainerMetrics', {
  name: string(1, { required: true }),
  usage: map(2, types.quantity, { required: true }),
});
export type ContainerMetrics = TypeOf<typeof ContainerMetrics>;

export const PodMetrics = defineKind({
  group: 'metrics.k8s.io',
  version: 'v1beta1',
  kind: 'PodMetrics',
  plural: 'pods',
  singular: '',
  namespaced: true,
  doc: 'What the containers of a pod use, measured over a short while.',
  verbs: ['get', 'list'],
  type: 'io.k8s.metrics.pkg.apis.metrics.v1beta1.PodMetrics',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    timestamp: time(2, { required: true }),
    window: string(3, { required: true }),
    containers: list(4, ContainerMetrics, { required: true, listType: 'atomic' }),
  },
  hasGeneration: false,
  columns: [
    nameColumn,
    ...measuredResources.map(
      (resource): Column<{ readonly containers: readonly ContainerMetrics[] }> => ({
        name: resource,
        type: 'string',
        format: 'quantity',
        description: `How much ${resource} all containers use.`,
        cell: ({ containers }) => sumOf(containers, resource),
      }),
    ),
    windowColumn,
  ],
});
export type PodMetrics = ObjectOf<typeof PodMetrics>;

function sumOf(containers: readonly ContainerMetrics[], resource: string): string {
  const used = containers.map(({ usage }) => parseQuantity(usage[resource] ?? '0') ?? zeroQuantity);
  const [first = zeroQuantity, ...others] = used;
  return formatQuantity(others.reduce(addQuantities, first));
}
