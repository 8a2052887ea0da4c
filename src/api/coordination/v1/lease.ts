import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, microTime, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const LeaseSpec = object('io.k8s.api.coordination.v1.LeaseSpec', {
  acquireTime: microTime(3),
  holderIdentity: string(1, { pointer: true }),
  leaseDurationSeconds: int32(2, { pointer: true }),
  leaseTransitions: int32(5, { pointer: true }),
  preferredHolder: string(7, { pointer: true }),
  renewTime: microTime(4),
  strategy: string(6, { pointer: true }),
});
export type LeaseSpec = TypeOf<typeof LeaseSpec>;

export const Lease = defineKind({
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
  type: 'io.k8s.api.coordination.v1.Lease',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, LeaseSpec, { always: true }),
  },
});
export type Lease = ObjectOf<typeof Lease>;
