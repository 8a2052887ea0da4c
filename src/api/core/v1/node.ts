import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import {
  boolean,
  int32,
  int64,
  list,
  map,
  object,
  string,
  struct,
  time,
  types,
  type TypeOf,
} from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const AttachedVolume = object('io.k8s.api.core.v1.AttachedVolume', {
  devicePath: string(2, { required: true, always: true }),
  name: string(1, { required: true, always: true }),
});
export type AttachedVolume = TypeOf<typeof AttachedVolume>;

export const ConfigMapNodeConfigSource = object('io.k8s.api.core.v1.ConfigMapNodeConfigSource', {
  kubeletConfigKey: string(5, { required: true, always: true }),
  name: string(2, { required: true, always: true }),
  namespace: string(1, { required: true, always: true }),
  resourceVersion: string(4),
  uid: string(3),
});
export type ConfigMapNodeConfigSource = TypeOf<typeof ConfigMapNodeConfigSource>;

export const ContainerImage = object('io.k8s.api.core.v1.ContainerImage', {
  names: list(1, types.string, { always: true, listType: 'atomic' }),
  sizeBytes: int64(2),
});
export type ContainerImage = TypeOf<typeof ContainerImage>;

export const DaemonEndpoint = object('io.k8s.api.core.v1.DaemonEndpoint', {
  Port: int32(1, { required: true, always: true }),
});
export type DaemonEndpoint = TypeOf<typeof DaemonEndpoint>;

export const NodeConfigSource = object('io.k8s.api.core.v1.NodeConfigSource', {
  configMap: struct(2, ConfigMapNodeConfigSource),
});
export type NodeConfigSource = TypeOf<typeof NodeConfigSource>;

export const Taint = object('io.k8s.api.core.v1.Taint', {
  effect: string(3, { required: true, always: true, enum: ['NoExecute', 'NoSchedule', 'PreferNoSchedule'] }),
  key: string(1, { required: true, always: true }),
  timeAdded: time(4),
  value: string(2),
});
export type Taint = TypeOf<typeof Taint>;

export const NodeSpec = object('io.k8s.api.core.v1.NodeSpec', {
  configSource: struct(6, NodeConfigSource),
  externalID: string(2),
  podCIDR: string(1),
  podCIDRs: list(7, types.string, { listType: 'set', patchStrategy: 'merge' }),
  providerID: string(3),
  taints: list(5, Taint, { listType: 'atomic' }),
  unschedulable: boolean(4),
});
export type NodeSpec = TypeOf<typeof NodeSpec>;

export const NodeAddress = object('io.k8s.api.core.v1.NodeAddress', {
  address: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type NodeAddress = TypeOf<typeof NodeAddress>;

export const NodeCondition = object('io.k8s.api.core.v1.NodeCondition', {
  lastHeartbeatTime: time(3),
  lastTransitionTime: time(4),
  message: string(6),
  reason: string(5),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type NodeCondition = TypeOf<typeof NodeCondition>;

export const NodeConfigStatus = object('io.k8s.api.core.v1.NodeConfigStatus', {
  active: struct(2, NodeConfigSource),
  assigned: struct(1, NodeConfigSource),
  error: string(4),
  lastKnownGood: struct(3, NodeConfigSource),
});
export type NodeConfigStatus = TypeOf<typeof NodeConfigStatus>;

export const NodeDaemonEndpoints = object('io.k8s.api.core.v1.NodeDaemonEndpoints', {
  kubeletEndpoint: struct(1, DaemonEndpoint, { always: true }),
});
export type NodeDaemonEndpoints = TypeOf<typeof NodeDaemonEndpoints>;

export const NodeFeatures = object('io.k8s.api.core.v1.NodeFeatures', {
  supplementalGroupsPolicy: boolean(1, { pointer: true }),
});
export type NodeFeatures = TypeOf<typeof NodeFeatures>;

export const NodeSwapStatus = object('io.k8s.api.core.v1.NodeSwapStatus', {
  capacity: int64(1, { pointer: true }),
});
export type NodeSwapStatus = TypeOf<typeof NodeSwapStatus>;

export const NodeSystemInfo = object('io.k8s.api.core.v1.NodeSystemInfo', {
  architecture: string(10, { required: true, always: true }),
  bootID: string(3, { required: true, always: true }),
  containerRuntimeVersion: string(6, { required: true, always: true }),
  kernelVersion: string(4, { required: true, always: true }),
  kubeProxyVersion: string(8, { required: true, always: true }),
  kubeletVersion: string(7, { required: true, always: true }),
  machineID: string(1, { required: true, always: true }),
  operatingSystem: string(9, { required: true, always: true }),
  osImage: string(5, { required: true, always: true }),
  swap: struct(11, NodeSwapStatus),
  systemUUID: string(2, { required: true, always: true }),
});
export type NodeSystemInfo = TypeOf<typeof NodeSystemInfo>;

export const NodeRuntimeHandlerFeatures = object('io.k8s.api.core.v1.NodeRuntimeHandlerFeatures', {
  recursiveReadOnlyMounts: boolean(1, { pointer: true }),
  userNamespaces: boolean(2, { pointer: true }),
});
export type NodeRuntimeHandlerFeatures = TypeOf<typeof NodeRuntimeHandlerFeatures>;

export const NodeRuntimeHandler = object('io.k8s.api.core.v1.NodeRuntimeHandler', {
  features: struct(2, NodeRuntimeHandlerFeatures),
  name: string(1, { always: true }),
});
export type NodeRuntimeHandler = TypeOf<typeof NodeRuntimeHandler>;

export const NodeStatus = object('io.k8s.api.core.v1.NodeStatus', {
  addresses: list(5, NodeAddress, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  allocatable: map(2, types.quantity),
  capacity: map(1, types.quantity),
  conditions: list(4, NodeCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  config: struct(11, NodeConfigStatus),
  daemonEndpoints: struct(6, NodeDaemonEndpoints, { always: true }),
  declaredFeatures: list(14, types.string, { listType: 'atomic' }),
  features: struct(13, NodeFeatures),
  images: list(8, ContainerImage, { listType: 'atomic' }),
  nodeInfo: struct(7, NodeSystemInfo, { always: true }),
  phase: string(3, { enum: ['Pending', 'Running', 'Terminated'] }),
  runtimeHandlers: list(12, NodeRuntimeHandler, { listType: 'atomic' }),
  volumesAttached: list(10, AttachedVolume, { listType: 'atomic' }),
  volumesInUse: list(9, types.string, { listType: 'atomic' }),
});
export type NodeStatus = TypeOf<typeof NodeStatus>;

export const Node = defineKind({
  group: '',
  version: 'v1',
  kind: 'Node',
  plural: 'nodes',
  namespaced: false,
  shortNames: ['no'],
  subresources: {
    proxy: {
      verbs: ['create', 'delete', 'get', 'patch', 'update'],
      kind: { group: '', version: 'v1', kind: 'NodeProxyOptions' },
    },
    status: { verbs: ['get', 'patch', 'update'] },
  },
  type: 'io.k8s.api.core.v1.Node',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, NodeSpec, { always: true }),
    status: struct(3, NodeStatus, { always: true }),
  },
});
export type Node = ObjectOf<typeof Node>;
