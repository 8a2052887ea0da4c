import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const Subject = object(
  'io.k8s.api.rbac.v1.Subject',
  {
    apiGroup: string(2),
    kind: string(1, { required: true, always: true }),
    name: string(3, { required: true, always: true }),
    namespace: string(4),
  },
  { mapType: 'atomic' },
);
export type Subject = TypeOf<typeof Subject>;
