import { list, object, types, type TypeOf } from '../../machinery/schema.ts';

export const PolicyRule = object('io.k8s.api.rbac.v1.PolicyRule', {
  apiGroups: list(2, types.string, { listType: 'atomic', doc: 'Groups of the API; empty text for the core.' }),
  nonResourceURLs: list(5, types.string, { listType: 'atomic' }),
  resourceNames: list(4, types.string, { listType: 'atomic' }),
  resources: list(3, types.string, { listType: 'atomic', doc: 'Resources, as `pods` or `pods/log`.' }),
  verbs: list(1, types.string, { required: true, always: true, listType: 'atomic', doc: 'What may be done.' }),
});
export type PolicyRule = TypeOf<typeof PolicyRule>;
