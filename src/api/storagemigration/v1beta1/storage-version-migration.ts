import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { Condition } from '../../meta/v1/condition.ts';
import { GroupResource } from '../../meta/v1/group-resource.ts';
import { checkImmutable } from '../../machinery/checks.ts';
import { nameColumn, text } from '../../machinery/columns.ts';
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
  doc: 'Stores all objects of a resource anew, in the present version.',
  served: false,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.storagemigration.v1beta1.StorageVersionMigration',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, StorageVersionMigrationSpec, { always: true }),
    status: struct(3, StorageVersionMigrationStatus, { always: true }),
  },
  columns: [
    nameColumn,
    text('Resource', 'Resource whose objects are stored anew.', ({ spec: { resource } }) =>
      [resource.resource, resource.group].filter(Boolean).join('.'),
    ),
  ],
  validate({ spec }, report) {
    if (spec.resource.resource === '') report.at('spec', 'resource', 'resource').required('resource is required');
  },
  validateUpdate({ spec }, old, report) {
    checkImmutable(spec.resource, old.spec.resource, report.at('spec', 'resource'));
  },
  requiresResourceVersion: true,
});
export type StorageVersionMigration = ObjectOf<typeof StorageVersionMigration>;
