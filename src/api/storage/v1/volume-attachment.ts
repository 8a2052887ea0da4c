import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, int32, map, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { PersistentVolumeSpec } from '../../core/v1/persistent-volume-spec.ts';
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
  time: time(1),
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
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.storage.v1.VolumeAttachment',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, VolumeAttachmentSpec, { required: true, always: true }),
    status: struct(3, VolumeAttachmentStatus, { always: true }),
  },
});
export type VolumeAttachment = ObjectOf<typeof VolumeAttachment>;
