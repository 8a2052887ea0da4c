import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const ParamKind = object(
  'io.k8s.api.admissionregistration.v1.ParamKind',
  {
    apiVersion: string(1),
    kind: string(2),
  },
  { mapType: 'atomic' },
);
export type ParamKind = TypeOf<typeof ParamKind>;
