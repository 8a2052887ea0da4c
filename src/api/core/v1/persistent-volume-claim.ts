import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, map, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { PersistentVolumeClaimSpec } from './persistent-volume-claim-spec.ts';
import { ageColumn, nameColumn, text, wide } from '../../machinery/columns.ts';
import { shortAccessModes, storageClassOf } from './volume-columns.ts';
import { validateClaimSpec, validateClaimStatus, validateClaimUpdate } from './persistent-volume-claim-validation.ts';
import { defaultClaimDataSources } from './pod-spec-defaults.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PersistentVolumeClaimCondition = object('io.k8s.api.core.v1.PersistentVolumeClaimCondition', {
  lastProbeTime: time(3, { always: true }),
  lastTransitionTime: time(4, { always: true }),
  message: string(6),
  reason: string(5),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type PersistentVolumeClaimCondition = TypeOf<typeof PersistentVolumeClaimCondition>;

export const ModifyVolumeStatus = object('io.k8s.api.core.v1.ModifyVolumeStatus', {
  status: string(2, { required: true, always: true, enum: ['InProgress', 'Infeasible', 'Pending'] }),
  targetVolumeAttributesClassName: string(1),
});
export type ModifyVolumeStatus = TypeOf<typeof ModifyVolumeStatus>;

export const PersistentVolumeClaimStatus = object('io.k8s.api.core.v1.PersistentVolumeClaimStatus', {
  accessModes: list(2, types.string, { listType: 'atomic' }),
  allocatedResourceStatuses: map(7, types.string, { mapType: 'granular' }),
  allocatedResources: map(5, types.resourceQuantity),
  capacity: map(3, types.resourceQuantity),
  conditions: list(4, PersistentVolumeClaimCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  currentVolumeAttributesClassName: string(8, { pointer: true }),
  modifyVolumeStatus: struct(9, ModifyVolumeStatus),
  phase: string(1, { enum: ['Bound', 'Lost', 'Pending'], default: 'Pending' }),
});
export type PersistentVolumeClaimStatus = TypeOf<typeof PersistentVolumeClaimStatus>;

export const PersistentVolumeClaim = defineKind({
  group: '',
  version: 'v1',
  kind: 'PersistentVolumeClaim',
  plural: 'persistentvolumeclaims',
  namespaced: true,
  doc: 'Asks for storage.',
  shortNames: ['pvc'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.core.v1.PersistentVolumeClaim',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, PersistentVolumeClaimSpec, { always: true }),
    status: struct(3, PersistentVolumeClaimStatus, { always: true }),
  },
  columns: [
    nameColumn,
    text('Status', 'Whether it has its storage.', ({ metadata, status }) =>
      metadata.deletionTimestamp ? 'Terminating' : status.phase,
    ),
    text('Volume', 'The volume it has.', ({ spec }) => spec.volumeName ?? ''),
    text('Capacity', 'Size of the volume.', ({ spec, status }) =>
      spec.volumeName ? (status.capacity?.['storage'] ?? '0') : '',
    ),
    text('Access Modes', 'How it may be mounted.', ({ spec, status }) =>
      spec.volumeName ? shortAccessModes(status.accessModes) : '',
    ),
    text('StorageClass', 'Its class.', ({ metadata, spec }) => storageClassOf(metadata, spec.storageClassName)),
    text(
      'VolumeAttributesClass',
      'Class of changeable settings.',
      ({ spec }) => spec.volumeAttributesClassName ?? '<unset>',
    ),
    ageColumn,
    wide(text('VolumeMode', 'File system or raw device.', ({ spec }) => spec.volumeMode)),
  ],
  returnsDeleted: true,
  hasGeneration: false,
  prepareForCreate({ spec, status }) {
    defaultClaimDataSources(spec);
    status.phase = 'Pending';
  },
  prepareForUpdate({ spec }, old) {
    defaultClaimDataSources(spec, old.spec);
  },
  validate({ spec }, report) {
    validateClaimSpec(spec, report.at('spec'));
  },
  validateUpdate(claim, old, report) {
    validateClaimUpdate(claim, old, report);
  },
  validateStatusUpdate({ status }, _, report) {
    validateClaimStatus(status, report.at('status'));
  },
});
export type PersistentVolumeClaim = ObjectOf<typeof PersistentVolumeClaim>;
