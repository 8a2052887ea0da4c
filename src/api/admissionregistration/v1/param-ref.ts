import { object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';

export const ParamRef = object(
  'io.k8s.api.admissionregistration.v1.ParamRef',
  {
    name: string(1),
    namespace: string(2),
    parameterNotFoundAction: string(4, { pointer: true }),
    selector: struct(3, LabelSelector),
  },
  { mapType: 'atomic' },
);
export type ParamRef = TypeOf<typeof ParamRef>;
