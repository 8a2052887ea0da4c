import { list, object, type TypeOf } from '../../machinery/schema.ts';
import { NodeSelectorTerm } from './node-selector-term.ts';

export const NodeSelector = object(
  'io.k8s.api.core.v1.NodeSelector',
  {
    nodeSelectorTerms: list(1, NodeSelectorTerm, { required: true, always: true, listType: 'atomic' }),
  },
  { mapType: 'atomic' },
);
export type NodeSelector = TypeOf<typeof NodeSelector>;
