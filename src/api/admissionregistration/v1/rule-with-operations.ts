import { embedded, list, object, string, types, type TypeOf } from '../../machinery/schema.ts';

export const RuleWithOperations = object('io.k8s.api.admissionregistration.v1.RuleWithOperations', {
  operations: list(1, types.string, { listType: 'atomic' }),
  ...embedded(2, {
    apiGroups: list(1, types.string, { listType: 'atomic' }),
    apiVersions: list(2, types.string, { listType: 'atomic' }),
    resources: list(3, types.string, { listType: 'atomic' }),
    scope: string(4, { default: '*', pointer: true }),
  }),
});
export type RuleWithOperations = TypeOf<typeof RuleWithOperations>;
