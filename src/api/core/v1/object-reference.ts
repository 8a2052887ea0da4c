import { object, string, type TypeOf } from '../../machinery/schema.ts';

export const ObjectReference = object(
  'io.k8s.api.core.v1.ObjectReference',
  {
    apiVersion: string(5),
    fieldPath: string(7),
    kind: string(1),
    name: string(3),
    namespace: string(2),
    resourceVersion: string(6),
    uid: string(4),
  },
  { mapType: 'atomic' },
);
export type ObjectReference = TypeOf<typeof ObjectReference>;
