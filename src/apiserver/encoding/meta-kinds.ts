import type { WireKind } from '#api/machinery/protobuf.ts';
import { object, struct } from '#api/machinery/schema.ts';
import { ObjectMeta } from '#api/meta/v1/object-meta.ts';
import { Status } from '#api/meta/v1/status.ts';

/** Types that go out in protobuf without being kinds of the API. */
export const partialObjectMetadata = (version: 'v1' | 'v1beta1'): WireKind => ({
  group: 'meta.k8s.io',
  version,
  kind: 'PartialObjectMetadata',
  schema: object('io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata', { metadata: struct(1, ObjectMeta) }),
});

export const partialKinds = { v1: partialObjectMetadata('v1'), v1beta1: partialObjectMetadata('v1beta1') } as const;

export const statusKind: WireKind = { group: '', version: 'v1', kind: 'Status', schema: Status };
