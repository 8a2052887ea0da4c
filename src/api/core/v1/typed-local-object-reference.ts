import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const TypedLocalObjectReference = object(
  'io.k8s.api.core.v1.TypedLocalObjectReference',
  {
    apiGroup: string(1, { pointer: true, always: true }),
    kind: string(2, { required: true, always: true }),
    name: string(3, { required: true, always: true }),
  },
  { mapType: 'atomic' },
);
export type TypedLocalObjectReference = TypeOf<typeof TypedLocalObjectReference>;
