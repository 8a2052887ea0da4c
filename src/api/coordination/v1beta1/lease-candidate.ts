import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { microTime, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const LeaseCandidateSpec = object('io.k8s.api.coordination.v1beta1.LeaseCandidateSpec', {
  binaryVersion: string(4, { required: true, always: true }),
  emulationVersion: string(5),
  leaseName: string(1, { required: true, always: true }),
  pingTime: microTime(2),
  renewTime: microTime(3),
  strategy: string(6, { required: true }),
});
export type LeaseCandidateSpec = TypeOf<typeof LeaseCandidateSpec>;

export const LeaseCandidate = defineKind({
  group: 'coordination.k8s.io',
  version: 'v1beta1',
  kind: 'LeaseCandidate',
  plural: 'leasecandidates',
  namespaced: true,
  served: false,
  type: 'io.k8s.api.coordination.v1beta1.LeaseCandidate',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, LeaseCandidateSpec, { required: true, always: true }),
  },
});
export type LeaseCandidate = ObjectOf<typeof LeaseCandidate>;
