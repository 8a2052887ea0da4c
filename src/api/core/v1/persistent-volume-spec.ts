import {
  boolean,
  embedded,
  int32,
  list,
  map,
  object,
  string,
  struct,
  types,
  type TypeOf,
} from '../../machinery/schema.ts';
import { AWSElasticBlockStoreVolumeSource } from './aws-elastic-block-store-volume-source.ts';
import { AzureDiskVolumeSource } from './azure-disk-volume-source.ts';
import { FCVolumeSource } from './fc-volume-source.ts';
import { FlockerVolumeSource } from './flocker-volume-source.ts';
import { GCEPersistentDiskVolumeSource } from './gce-persistent-disk-volume-source.ts';
import { HostPathVolumeSource } from './host-path-volume-source.ts';
import { NFSVolumeSource } from './nfs-volume-source.ts';
import { NodeSelector } from './node-selector.ts';
import { ObjectReference } from './object-reference.ts';
import { PhotonPersistentDiskVolumeSource } from './photon-persistent-disk-volume-source.ts';
import { PortworxVolumeSource } from './portworx-volume-source.ts';
import { QuobyteVolumeSource } from './quobyte-volume-source.ts';
import { VsphereVirtualDiskVolumeSource } from './vsphere-virtual-disk-volume-source.ts';

export const AzureFilePersistentVolumeSource = object('io.k8s.api.core.v1.AzureFilePersistentVolumeSource', {
  readOnly: boolean(3),
  secretName: string(1, { required: true, always: true }),
  secretNamespace: string(4, { pointer: true, always: true }),
  shareName: string(2, { required: true, always: true }),
});
export type AzureFilePersistentVolumeSource = TypeOf<typeof AzureFilePersistentVolumeSource>;

export const SecretReference = object(
  'io.k8s.api.core.v1.SecretReference',
  {
    name: string(1),
    namespace: string(2),
  },
  { mapType: 'atomic' },
);
export type SecretReference = TypeOf<typeof SecretReference>;

export const CSIPersistentVolumeSource = object('io.k8s.api.core.v1.CSIPersistentVolumeSource', {
  controllerExpandSecretRef: struct(9, SecretReference),
  controllerPublishSecretRef: struct(6, SecretReference),
  driver: string(1, { required: true, always: true }),
  fsType: string(4),
  nodeExpandSecretRef: struct(10, SecretReference),
  nodePublishSecretRef: struct(8, SecretReference),
  nodeStageSecretRef: struct(7, SecretReference),
  readOnly: boolean(3),
  volumeAttributes: map(5, types.string),
  volumeHandle: string(2, { required: true, always: true }),
});
export type CSIPersistentVolumeSource = TypeOf<typeof CSIPersistentVolumeSource>;

export const CephFSPersistentVolumeSource = object('io.k8s.api.core.v1.CephFSPersistentVolumeSource', {
  monitors: list(1, types.string, { required: true, always: true, listType: 'atomic' }),
  path: string(2),
  readOnly: boolean(6),
  secretFile: string(4),
  secretRef: struct(5, SecretReference),
  user: string(3),
});
export type CephFSPersistentVolumeSource = TypeOf<typeof CephFSPersistentVolumeSource>;

export const CinderPersistentVolumeSource = object('io.k8s.api.core.v1.CinderPersistentVolumeSource', {
  fsType: string(2),
  readOnly: boolean(3),
  secretRef: struct(4, SecretReference),
  volumeID: string(1, { required: true, always: true }),
});
export type CinderPersistentVolumeSource = TypeOf<typeof CinderPersistentVolumeSource>;

export const FlexPersistentVolumeSource = object('io.k8s.api.core.v1.FlexPersistentVolumeSource', {
  driver: string(1, { required: true, always: true }),
  fsType: string(2),
  options: map(5, types.string),
  readOnly: boolean(4),
  secretRef: struct(3, SecretReference),
});
export type FlexPersistentVolumeSource = TypeOf<typeof FlexPersistentVolumeSource>;

export const GlusterfsPersistentVolumeSource = object('io.k8s.api.core.v1.GlusterfsPersistentVolumeSource', {
  endpoints: string(1, { required: true, always: true }),
  endpointsNamespace: string(4, { pointer: true }),
  path: string(2, { required: true, always: true }),
  readOnly: boolean(3),
});
export type GlusterfsPersistentVolumeSource = TypeOf<typeof GlusterfsPersistentVolumeSource>;

export const ISCSIPersistentVolumeSource = object('io.k8s.api.core.v1.ISCSIPersistentVolumeSource', {
  chapAuthDiscovery: boolean(8),
  chapAuthSession: boolean(11),
  fsType: string(5),
  initiatorName: string(12, { pointer: true }),
  iqn: string(2, { required: true, always: true }),
  iscsiInterface: string(4, { default: 'default' }),
  lun: int32(3, { required: true, always: true }),
  portals: list(7, types.string, { listType: 'atomic' }),
  readOnly: boolean(6),
  secretRef: struct(10, SecretReference),
  targetPortal: string(1, { required: true, always: true }),
});
export type ISCSIPersistentVolumeSource = TypeOf<typeof ISCSIPersistentVolumeSource>;

export const LocalVolumeSource = object('io.k8s.api.core.v1.LocalVolumeSource', {
  fsType: string(2, { pointer: true }),
  path: string(1, { required: true, always: true }),
});
export type LocalVolumeSource = TypeOf<typeof LocalVolumeSource>;

export const VolumeNodeAffinity = object('io.k8s.api.core.v1.VolumeNodeAffinity', {
  required: struct(1, NodeSelector),
});
export type VolumeNodeAffinity = TypeOf<typeof VolumeNodeAffinity>;

export const RBDPersistentVolumeSource = object('io.k8s.api.core.v1.RBDPersistentVolumeSource', {
  fsType: string(3),
  image: string(2, { required: true, always: true }),
  keyring: string(6, { default: '/etc/ceph/keyring' }),
  monitors: list(1, types.string, { required: true, always: true, listType: 'atomic' }),
  pool: string(4, { default: 'rbd' }),
  readOnly: boolean(8),
  secretRef: struct(7, SecretReference),
  user: string(5, { default: 'admin' }),
});
export type RBDPersistentVolumeSource = TypeOf<typeof RBDPersistentVolumeSource>;

export const ScaleIOPersistentVolumeSource = object('io.k8s.api.core.v1.ScaleIOPersistentVolumeSource', {
  fsType: string(9, { default: 'xfs' }),
  gateway: string(1, { required: true, always: true }),
  protectionDomain: string(5),
  readOnly: boolean(10),
  secretRef: struct(3, SecretReference, { required: true, always: true }),
  sslEnabled: boolean(4),
  storageMode: string(7, { default: 'ThinProvisioned' }),
  storagePool: string(6),
  system: string(2, { required: true, always: true }),
  volumeName: string(8),
});
export type ScaleIOPersistentVolumeSource = TypeOf<typeof ScaleIOPersistentVolumeSource>;

export const StorageOSPersistentVolumeSource = object('io.k8s.api.core.v1.StorageOSPersistentVolumeSource', {
  fsType: string(3),
  readOnly: boolean(4),
  secretRef: struct(5, ObjectReference),
  volumeName: string(1),
  volumeNamespace: string(2),
});
export type StorageOSPersistentVolumeSource = TypeOf<typeof StorageOSPersistentVolumeSource>;

export const PersistentVolumeSpec = object('io.k8s.api.core.v1.PersistentVolumeSpec', {
  accessModes: list(3, types.string, { listType: 'atomic', doc: 'How it can be mounted.' }),
  capacity: map(1, types.resourceQuantity, { doc: 'Its size.' }),
  claimRef: struct(4, ObjectReference),
  mountOptions: list(7, types.string, { listType: 'atomic' }),
  nodeAffinity: struct(9, VolumeNodeAffinity),
  persistentVolumeReclaimPolicy: string(5, {
    enum: ['Delete', 'Recycle', 'Retain'],
    doc: 'What becomes of it when its claim goes.',
  }),
  storageClassName: string(6),
  volumeAttributesClassName: string(10, { pointer: true }),
  volumeMode: string(8, { pointer: true, enum: ['Block', 'Filesystem'] }),
  ...embedded(2, {
    awsElasticBlockStore: struct(2, AWSElasticBlockStoreVolumeSource),
    azureDisk: struct(16, AzureDiskVolumeSource),
    azureFile: struct(13, AzureFilePersistentVolumeSource),
    cephfs: struct(9, CephFSPersistentVolumeSource),
    cinder: struct(8, CinderPersistentVolumeSource),
    csi: struct(22, CSIPersistentVolumeSource),
    fc: struct(10, FCVolumeSource),
    flexVolume: struct(12, FlexPersistentVolumeSource),
    flocker: struct(11, FlockerVolumeSource),
    gcePersistentDisk: struct(1, GCEPersistentDiskVolumeSource),
    glusterfs: struct(4, GlusterfsPersistentVolumeSource),
    hostPath: struct(3, HostPathVolumeSource),
    iscsi: struct(7, ISCSIPersistentVolumeSource),
    local: struct(20, LocalVolumeSource),
    nfs: struct(5, NFSVolumeSource),
    photonPersistentDisk: struct(17, PhotonPersistentDiskVolumeSource),
    portworxVolume: struct(18, PortworxVolumeSource),
    quobyte: struct(15, QuobyteVolumeSource),
    rbd: struct(6, RBDPersistentVolumeSource),
    scaleIO: struct(19, ScaleIOPersistentVolumeSource),
    storageos: struct(21, StorageOSPersistentVolumeSource),
    vsphereVolume: struct(14, VsphereVirtualDiskVolumeSource),
  }),
});
export type PersistentVolumeSpec = TypeOf<typeof PersistentVolumeSpec>;
