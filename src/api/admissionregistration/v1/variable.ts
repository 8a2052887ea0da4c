import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const Variable = object(
  'io.k8s.api.admissionregistration.v1.Variable',
  {
    expression: string(2, { required: true, always: true }),
    name: string(1, { required: true, always: true }),
  },
  { mapType: 'atomic' },
);
export type Variable = TypeOf<typeof Variable>;
