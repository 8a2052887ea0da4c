import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const RoleRef = object(
  'io.k8s.api.rbac.v1.RoleRef',
  {
    apiGroup: string(1, { always: true }),
    kind: string(2, { required: true, always: true }),
    name: string(3, { required: true, always: true }),
  },
  { mapType: 'atomic' },
);
export type RoleRef = TypeOf<typeof RoleRef>;
