import { int32, int64, list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';

export const ShardInfo = object('io.k8s.apimachinery.pkg.apis.meta.v1.ShardInfo', {
  selector: string(1, { required: true, always: true }),
});
export type ShardInfo = TypeOf<typeof ShardInfo>;

export const ListMeta = object('io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta', {
  continue: string(3),
  remainingItemCount: int64(4, { pointer: true }),
  resourceVersion: string(2),
  selfLink: string(1),
  shardInfo: struct(5, ShardInfo),
});
export type ListMeta = TypeOf<typeof ListMeta>;

export const StatusCause = object('io.k8s.apimachinery.pkg.apis.meta.v1.StatusCause', {
  field: string(3),
  message: string(2),
  reason: string(1),
});
export type StatusCause = TypeOf<typeof StatusCause>;

export const StatusDetails = object('io.k8s.apimachinery.pkg.apis.meta.v1.StatusDetails', {
  causes: list(4, StatusCause, { listType: 'atomic' }),
  group: string(2),
  kind: string(3),
  name: string(1),
  retryAfterSeconds: int32(5),
  uid: string(6),
});
export type StatusDetails = TypeOf<typeof StatusDetails>;

export const Status = object('io.k8s.apimachinery.pkg.apis.meta.v1.Status', {
  code: int32(6),
  details: struct(5, StatusDetails),
  message: string(3),
  metadata: struct(1, ListMeta),
  reason: string(4),
  status: string(2),
});
export type Status = TypeOf<typeof Status>;
