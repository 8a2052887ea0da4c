import { embedded, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';

export const NamedRuleWithOperations = object(
  'io.k8s.api.admissionregistration.v1.NamedRuleWithOperations',
  {
    resourceNames: list(1, types.string, { listType: 'atomic' }),
    ...embedded(2, {
      operations: list(1, types.string, { listType: 'atomic' }),
      ...embedded(2, {
        apiGroups: list(1, types.string, { listType: 'atomic' }),
        apiVersions: list(2, types.string, { listType: 'atomic' }),
        resources: list(3, types.string, { listType: 'atomic' }),
        scope: string(4, { default: '*', pointer: true }),
      }),
    }),
  },
  { mapType: 'atomic' },
);
export type NamedRuleWithOperations = TypeOf<typeof NamedRuleWithOperations>;

export const MatchResources = object(
  'io.k8s.api.admissionregistration.v1.MatchResources',
  {
    excludeResourceRules: list(4, NamedRuleWithOperations, { listType: 'atomic' }),
    matchPolicy: string(7, { pointer: true, default: 'Equivalent', enum: ['Equivalent', 'Exact'] }),
    namespaceSelector: struct(1, LabelSelector, { default: {} }),
    objectSelector: struct(2, LabelSelector, { default: {} }),
    resourceRules: list(3, NamedRuleWithOperations, { listType: 'atomic' }),
  },
  { mapType: 'atomic' },
);
export type MatchResources = TypeOf<typeof MatchResources>;
