import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const LocalObjectReference = object(
  'io.k8s.api.core.v1.LocalObjectReference',
  {
    name: string(1, { default: '' }),
  },
  { mapType: 'atomic' },
);
export type LocalObjectReference = TypeOf<typeof LocalObjectReference>;
