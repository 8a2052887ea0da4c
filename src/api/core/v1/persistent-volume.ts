import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { PersistentVolumeSpec } from './persistent-volume-spec.ts';
import { ageColumn, nameColumn, text, wide } from '../../machinery/columns.ts';
import { validateVolumeSpec, validateVolumeSpecUpdate } from './persistent-volume-validation.ts';
import { shortAccessModes, storageClassOf } from './volume-columns.ts';
import { formatTime } from '../../machinery/time.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PersistentVolumeStatus = object('io.k8s.api.core.v1.PersistentVolumeStatus', {
  lastPhaseTransitionTime: time(4),
  message: string(2),
  phase: string(1, { enum: ['Available', 'Bound', 'Failed', 'Pending', 'Released'], default: 'Pending' }),
  reason: string(3),
});
export type PersistentVolumeStatus = TypeOf<typeof PersistentVolumeStatus>;

export const PersistentVolume = defineKind({
  group: '',
  version: 'v1',
  kind: 'PersistentVolume',
  plural: 'persistentvolumes',
  namespaced: false,
  doc: 'A piece of storage.',
  shortNames: ['pv'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.core.v1.PersistentVolume',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, PersistentVolumeSpec, { always: true }),
    status: struct(3, PersistentVolumeStatus, { always: true }),
  },
  metadataChecks: { update: ['new', 'new'] },
  columns: [
    nameColumn,
    text('Capacity', 'Its size.', ({ spec }) => spec.capacity?.['storage'] ?? '0'),
    text('Access Modes', 'How it can be mounted.', ({ spec }) => shortAccessModes(spec.accessModes)),
    text('Reclaim Policy', 'What becomes of it when its claim goes.', ({ spec }) => spec.persistentVolumeReclaimPolicy),
    text('Status', 'Whether a claim has it.', ({ metadata, status }) =>
      metadata.deletionTimestamp ? 'Terminating' : status.phase,
    ),
    text('Claim', 'The claim that has it.', ({ spec }) =>
      spec.claimRef ? `${spec.claimRef.namespace ?? ''}/${spec.claimRef.name ?? ''}` : '',
    ),
    text('StorageClass', 'Its class.', ({ metadata, spec }) => storageClassOf(metadata, spec.storageClassName)),
    text(
      'VolumeAttributesClass',
      'Class of changeable settings.',
      ({ spec }) => spec.volumeAttributesClassName ?? '<unset>',
    ),
    text('Reason', 'Why it is as it is.', ({ status }) => status.reason ?? ''),
    ageColumn,
    wide(text('VolumeMode', 'File system or raw device.', ({ spec }) => spec.volumeMode)),
  ],
  returnsDeleted: true,
  hasGeneration: false,
  default({ spec }) {
    // Volumes inside of VolumeAttachments go without.
    spec.persistentVolumeReclaimPolicy ||= 'Retain';
    spec.volumeMode ??= 'Filesystem';
  },
  prepareForCreate({ metadata, status }) {
    status.phase = 'Pending';
    if (metadata.creationTimestamp) status.lastPhaseTransitionTime = metadata.creationTimestamp;
  },
  prepareForStatusUpdate({ status }, old, nowMs) {
    const isNew = status.phase !== old.status.phase;
    const before = old.status.lastPhaseTransitionTime;
    if (isNew && (!status.lastPhaseTransitionTime || status.lastPhaseTransitionTime === before))
      status.lastPhaseTransitionTime = formatTime(nowMs);
    else if (!isNew && before) status.lastPhaseTransitionTime ||= before;
  },
  validate({ metadata, spec }, report) {
    validateVolumeSpec(spec, metadata.name ?? '', report.at('spec'));
  },
  validateUpdate({ metadata, spec }, old, report) {
    // Upstream looks at it once more.
    validateVolumeSpec(spec, metadata.name ?? '', report.at('spec'));
    validateVolumeSpecUpdate(spec, old.spec, report);
  },
});
export type PersistentVolume = ObjectOf<typeof PersistentVolume>;
