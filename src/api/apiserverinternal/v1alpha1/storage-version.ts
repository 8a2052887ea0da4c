import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int64, list, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ServerStorageVersion = object('io.k8s.api.apiserverinternal.v1alpha1.ServerStorageVersion', {
  apiServerID: string(1, { required: true }),
  decodableVersions: list(3, types.string, { required: true, listType: 'set' }),
  encodingVersion: string(2, { required: true }),
  servedVersions: list(4, types.string, { listType: 'set' }),
});
export type ServerStorageVersion = TypeOf<typeof ServerStorageVersion>;

export const StorageVersionSpec = object('io.k8s.api.apiserverinternal.v1alpha1.StorageVersionSpec', {});
export type StorageVersionSpec = TypeOf<typeof StorageVersionSpec>;

export const StorageVersionCondition = object('io.k8s.api.apiserverinternal.v1alpha1.StorageVersionCondition', {
  lastTransitionTime: time(4, { always: true }),
  message: string(6, { required: true }),
  observedGeneration: int64(3),
  reason: string(5, { required: true, always: true }),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type StorageVersionCondition = TypeOf<typeof StorageVersionCondition>;

export const StorageVersionStatus = object('io.k8s.api.apiserverinternal.v1alpha1.StorageVersionStatus', {
  commonEncodingVersion: string(2, { pointer: true }),
  conditions: list(3, StorageVersionCondition, { listType: 'map', mapKeys: ['type'] }),
  storageVersions: list(1, ServerStorageVersion, { listType: 'map', mapKeys: ['apiServerID'] }),
});
export type StorageVersionStatus = TypeOf<typeof StorageVersionStatus>;

export const StorageVersion = defineKind({
  group: 'internal.apiserver.k8s.io',
  version: 'v1alpha1',
  kind: 'StorageVersion',
  plural: 'storageversions',
  namespaced: false,
  doc: 'The version that servers store a resource in.',
  served: false,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.apiserverinternal.v1alpha1.StorageVersion',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, StorageVersionSpec, { always: true }),
    status: struct(3, StorageVersionStatus, { always: true }),
  },
  columns: [
    nameColumn,
    text(
      'CommonEncodingVersion',
      'The version all servers store it in.',
      ({ status }) => status.commonEncodingVersion ?? '<unset>',
    ),
    text('StorageVersions', 'The version each server stores it in.', ({ status }) => listOf(status)),
    ageColumn,
  ],
  requiresResourceVersion: true,
});
export type StorageVersion = ObjectOf<typeof StorageVersion>;

const shownMax = 3;

function listOf({ storageVersions }: StorageVersionStatus): string {
  const all = (storageVersions ?? []).map(each => `${each.apiServerID ?? ''}=${each.encodingVersion ?? ''}`);
  const shown = all.slice(0, shownMax).join(',');
  return all.length > shownMax ? `${shown} + ${all.length - shownMax} more...` : shown;
}
