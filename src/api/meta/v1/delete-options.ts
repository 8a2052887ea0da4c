import { boolean, int64, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';

export const Preconditions = object('io.k8s.apimachinery.pkg.apis.meta.v1.Preconditions', {
  resourceVersion: string(2, { pointer: true }),
  uid: string(1, { pointer: true }),
});
export type Preconditions = TypeOf<typeof Preconditions>;

export const DeleteOptions = object('io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions', {
  dryRun: list(5, types.string, { listType: 'atomic' }),
  gracePeriodSeconds: int64(1, { pointer: true }),
  ignoreStoreReadErrorWithClusterBreakingPotential: boolean(6, { pointer: true }),
  orphanDependents: boolean(3, { pointer: true }),
  preconditions: struct(2, Preconditions),
  propagationPolicy: string(4, { pointer: true }),
});
export type DeleteOptions = TypeOf<typeof DeleteOptions>;
