import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, int64, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const TokenRequest = object('io.k8s.api.storage.v1.TokenRequest', {
  audience: string(1, { required: true, always: true }),
  expirationSeconds: int64(2, { pointer: true }),
});
export type TokenRequest = TypeOf<typeof TokenRequest>;

export const CSIDriverSpec = object('io.k8s.api.storage.v1.CSIDriverSpec', {
  attachRequired: boolean(1, { pointer: true }),
  fsGroupPolicy: string(5, { pointer: true }),
  nodeAllocatableUpdatePeriodSeconds: int64(9, { pointer: true }),
  podInfoOnMount: boolean(2, { pointer: true }),
  preventPodSchedulingIfMissing: boolean(11, { pointer: true }),
  requiresRepublish: boolean(7, { pointer: true }),
  seLinuxMount: boolean(8, { pointer: true }),
  serviceAccountTokenInSecrets: boolean(10, { pointer: true }),
  storageCapacity: boolean(4, { pointer: true }),
  tokenRequests: list(6, TokenRequest, { listType: 'atomic' }),
  volumeLifecycleModes: list(3, types.string, { listType: 'set' }),
});
export type CSIDriverSpec = TypeOf<typeof CSIDriverSpec>;

export const CSIDriver = defineKind({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'CSIDriver',
  plural: 'csidrivers',
  namespaced: false,
  type: 'io.k8s.api.storage.v1.CSIDriver',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, CSIDriverSpec, { required: true, always: true }),
  },
});
export type CSIDriver = ObjectOf<typeof CSIDriver>;
