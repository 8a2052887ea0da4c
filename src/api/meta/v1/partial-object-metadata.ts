import { list, object, struct, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from './object-meta.ts';
import { ListMeta } from './status.ts';

/** What a client gets that asked for metadata only. */
export const PartialObjectMetadata = object(
  'io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadata',
  { metadata: struct(1, ObjectMeta, { required: true }) },
  { isKind: true },
);
export type PartialObjectMetadata = TypeOf<typeof PartialObjectMetadata>;

export const PartialObjectMetadataList = object(
  'io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadataList',
  {
    metadata: struct(1, ListMeta, { required: true }),
    items: list(2, PartialObjectMetadata, { required: true, always: true }),
  },
  { isKind: true },
);
export type PartialObjectMetadataList = TypeOf<typeof PartialObjectMetadataList>;
