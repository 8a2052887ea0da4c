import {
  boolean,
  fieldsV1,
  int64,
  list,
  map,
  object,
  string,
  time,
  types,
  type TypeOf,
} from '../../machinery/schema.ts';

export const ManagedFieldsEntry = object('io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry', {
  apiVersion: string(3),
  fieldsType: string(6),
  fieldsV1: fieldsV1(7, { pointer: true }),
  manager: string(1),
  operation: string(2),
  subresource: string(8),
  time: time(4),
});
export type ManagedFieldsEntry = TypeOf<typeof ManagedFieldsEntry>;

export const OwnerReference = object(
  'io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference',
  {
    apiVersion: string(5, { required: true, always: true }),
    blockOwnerDeletion: boolean(7, { pointer: true }),
    controller: boolean(6, { pointer: true }),
    kind: string(1, { required: true, always: true }),
    name: string(3, { required: true, always: true }),
    uid: string(4, { required: true, always: true }),
  },
  { mapType: 'atomic' },
);
export type OwnerReference = TypeOf<typeof OwnerReference>;

export const ObjectMeta = object('io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta', {
  annotations: map(12, types.string, { doc: 'Text for tools, not selectable.' }),
  creationTimestamp: time(8, { doc: 'CreationTimestamp is a timestamp of when the server made the object.' }),
  deletionGracePeriodSeconds: int64(10, { pointer: true }),
  deletionTimestamp: time(9, { doc: 'When it is to be gone; set by a delete request.' }),
  finalizers: list(14, types.string, {
    listType: 'set',
    patchStrategy: 'merge',
    doc: 'Who has to agree before it is removed.',
  }),
  generateName: string(2, { doc: 'Start of a name that the server completes.' }),
  generation: int64(7, { doc: 'Counts changes of the wanted state.' }),
  labels: map(11, types.string, { doc: 'Keys and values that selectors match.' }),
  managedFields: list(17, ManagedFieldsEntry, { listType: 'atomic', pointer: true }),
  name: string(1, { doc: 'Name, unique for the kind in its namespace.' }),
  namespace: string(3, { doc: 'Namespace it lives in.' }),
  ownerReferences: list(13, OwnerReference, {
    doc: 'Objects it is deleted with.',
    listType: 'map',
    mapKeys: ['uid'],
    patchStrategy: 'merge',
    patchMergeKey: 'uid',
  }),
  resourceVersion: string(6, { doc: 'Changes with every write; protects against lost updates.' }),
  selfLink: string(4),
  uid: string(5, { doc: 'Unique over time and space.' }),
});
export type ObjectMeta = TypeOf<typeof ObjectMeta>;
