import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { Condition } from '../../meta/v1/condition.ts';
import { GroupResource } from '../../meta/v1/group-resource.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const StorageVersionMigrationSpec = object('io.k8s.api.storagemigration.v1beta1.StorageVersionMigrationSpec', {
  resource: struct(1, GroupResource, { required: true, always: true }),
});
export type StorageVersionMigrationSpec = TypeOf<typeof StorageVersionMigrationSpec>;

export const StorageVersionMigrationStatus = object(
  'io.k8s.api.storagemigration.v1beta1.StorageVersionMigrationStatus',
  {
    conditions: list(1, Condition, {
      listType: 'map',
      mapKeys: ['type'],
      patchStrategy: 'merge',
      patchMergeKey: 'type',
    }),
    resourceVersion: string(2),
  },
);
export type StorageVersionMigrationStatus = TypeOf<typeof StorageVersionMigrationStatus>;

export const StorageVersionMigration = defineKind({
  group: 'storagemigration.k8s.io',
  version: 'v1beta1',
  kind: 'StorageVersionMigration',
  plural: 'storageversionmigrations',
  namespaced: false,
  served: false,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.storagemigration.v1beta1.StorageVersionMigration',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, StorageVersionMigrationSpec, { always: true }),
    status: struct(3, StorageVersionMigrationStatus, { always: true }),
  },
});
export type StorageVersionMigration = ObjectOf<typeof StorageVersionMigration>;
