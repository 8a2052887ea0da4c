import { list, object, types, type TypeOf } from '../../machinery/schema.ts';

export const PolicyRule = object('io.k8s.api.rbac.v1.PolicyRule', {
  apiGroups: list(2, types.string, { listType: 'atomic' }),
  nonResourceURLs: list(5, types.string, { listType: 'atomic' }),
  resourceNames: list(4, types.string, { listType: 'atomic' }),
  resources: list(3, types.string, { listType: 'atomic' }),
  verbs: list(1, types.string, { required: true, always: true, listType: 'atomic' }),
});
export type PolicyRule = TypeOf<typeof PolicyRule>;
