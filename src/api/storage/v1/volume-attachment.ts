import { defineKind, type ObjectOf, statusMetadata } from '../../machinery/kind.ts';
import {
  boolean,
  int32,
  map,
  object,
  string,
  struct,
  time,
  type Field,
  types,
  type TypeOf,
} from '../../machinery/schema.ts';
import { PersistentVolumeSpec } from '../../core/v1/persistent-volume-spec.ts';
import { checkDnsSubdomain, checkImmutableField } from '../../machinery/checks.ts';
import { ageColumn, boolean as booleanColumn, nameColumn, text } from '../../machinery/columns.ts';
import { validateVolumeSpec } from '../../core/v1/persistent-volume-validation.ts';
import { byteLength } from '../../machinery/names.ts';
import { checkCsiDriverName } from '../../core/v1/volume-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const VolumeAttachmentSource = object('io.k8s.api.storage.v1.VolumeAttachmentSource', {
  inlineVolumeSpec: struct(2, PersistentVolumeSpec),
  persistentVolumeName: string(1, { pointer: true }),
});
export type VolumeAttachmentSource = TypeOf<typeof VolumeAttachmentSource>;

export const VolumeAttachmentSpec = object('io.k8s.api.storage.v1.VolumeAttachmentSpec', {
  attacher: string(1, { required: true, always: true }),
  nodeName: string(3, { required: true, always: true }),
  source: struct(2, VolumeAttachmentSource, { required: true, always: true }),
});
export type VolumeAttachmentSpec = TypeOf<typeof VolumeAttachmentSpec>;

export const VolumeError = object('io.k8s.api.storage.v1.VolumeError', {
  errorCode: int32(3, { pointer: true }),
  message: string(2),
  time: time(1, { always: true }),
});
export type VolumeError = TypeOf<typeof VolumeError>;

export const VolumeAttachmentStatus = object('io.k8s.api.storage.v1.VolumeAttachmentStatus', {
  attachError: struct(3, VolumeError),
  attached: boolean(1, { required: true, always: true }),
  attachmentMetadata: map(2, types.string),
  detachError: struct(4, VolumeError),
});
export type VolumeAttachmentStatus = TypeOf<typeof VolumeAttachmentStatus>;

export const VolumeAttachment = defineKind({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'VolumeAttachment',
  plural: 'volumeattachments',
  namespaced: false,
  returnsDeleted: true,
  doc: 'Asks for a volume to be attached to a node.',
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.storage.v1.VolumeAttachment',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, VolumeAttachmentSpec, { required: true, always: true }),
    status: struct(3, VolumeAttachmentStatus, { always: true }),
  },
  metadataChecks: { update: ['new'], status: ['new'] },
  statusKeeps: statusMetadata,
  columns: [
    nameColumn,
    text('Attacher', 'Who attaches it.', ({ spec }) => spec.attacher),
    text('PV', 'The volume.', ({ spec }) => spec.source.persistentVolumeName ?? ''),
    text('Node', 'The node.', ({ spec }) => spec.nodeName),
    booleanColumn('Attached', 'Whether it is attached.', ({ status }) => status.attached ?? false),
    ageColumn,
  ],
  hasGeneration: false,
  requiresResourceVersion: true,
  validate({ spec }, report) {
    const at = report.at('spec');
    const { persistentVolumeName, inlineVolumeSpec } = spec.source;
    const source = at.at('source');
    if (!spec.attacher) at.at('attacher').required();
    if (inlineVolumeSpec && persistentVolumeName !== undefined)
      source.forbidden('must specify exactly one of inlineVolumeSpec and persistentVolumeName');
    else if (persistentVolumeName === '')
      source.at('persistentVolumeName').required('must specify non empty persistentVolumeName');
    else if (inlineVolumeSpec)
      validateVolumeSpec(inlineVolumeSpec, '', source.at('inlineVolumeSpec'), { inline: true });
    else if (persistentVolumeName === undefined)
      source.required('must specify exactly one of inlineVolumeSpec and persistentVolumeName');
    checkDnsSubdomain(spec.nodeName ?? '', at.at('nodeName'));
    // What v1 asks for beyond the versions before it is looked at behind the rest.
    if (spec.attacher) checkCsiDriverName(spec.attacher, at.at('attacher'));
    if (persistentVolumeName !== undefined) checkDnsSubdomain(persistentVolumeName, source.at('persistentVolumeName'));
  },
  validateUpdate({ spec }, old, report) {
    checkImmutableField(VolumeAttachment.schema.fields['spec'] as Field, spec, old.spec, report.at('spec'));
  },
  validateStatusUpdate({ status }, _, report) {
    const at = report.at('status');
    let size = 0;
    for (const [key, value] of Object.entries(status.attachmentMetadata ?? {}))
      size += byteLength(key) + byteLength(value);
    if (size > metadataBytesMax) at.at('attachmentMetadata').tooLong(metadataBytesMax);
    // The message names the other limit, as upstream's does.
    for (const name of ['attachError', 'detachError'] as const) {
      const { message = '', errorCode = 0 } = status[name] ?? {};
      if (byteLength(message) > errorBytesMax) at.at(name, 'message').tooLong(metadataBytesMax);
      if (errorCode < 0) at.at(name, 'errorCode').invalid(errorCode, 'must be between 0 and 2147483647, inclusive');
    }
  },
});
export type VolumeAttachment = ObjectOf<typeof VolumeAttachment>;

const metadataBytesMax = 256 * 1024;
const errorBytesMax = 1024;
