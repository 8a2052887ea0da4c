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
import { podColumns } from './pod-columns.ts';
import { defaultPod } from './pod-spec-defaults.ts';
import { PodSpec } from './pod-spec.ts';
import { podGraceSeconds, preparePod, preparePodStatus, unitePodIps } from './pod-strategy.ts';
import { validatePodStatusUpdate } from './pod-status-validation.ts';
import { validatePod, validatePodCreate, validatePodUpdate } from './pod-validation.ts';
import { warningsOfPod } from './pod-warnings.ts';
import { ResourceRequirements } from './resource-requirements.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ContainerExtendedResourceRequest = object('io.k8s.api.core.v1.ContainerExtendedResourceRequest', {
  containerName: string(1, { required: true, always: true }),
  requestName: string(3, { required: true, always: true }),
  resourceName: string(2, { required: true, always: true }),
});
export type ContainerExtendedResourceRequest = TypeOf<typeof ContainerExtendedResourceRequest>;

export const ContainerStateRunning = object('io.k8s.api.core.v1.ContainerStateRunning', {
  startedAt: time(1, { always: true }),
});
export type ContainerStateRunning = TypeOf<typeof ContainerStateRunning>;

export const ContainerStateTerminated = object('io.k8s.api.core.v1.ContainerStateTerminated', {
  containerID: string(7),
  exitCode: int32(1, { required: true, always: true }),
  finishedAt: time(6, { always: true }),
  message: string(4),
  reason: string(3),
  signal: int32(2),
  startedAt: time(5, { always: true }),
});
export type ContainerStateTerminated = TypeOf<typeof ContainerStateTerminated>;

export const ContainerStateWaiting = object('io.k8s.api.core.v1.ContainerStateWaiting', {
  message: string(2),
  reason: string(1),
});
export type ContainerStateWaiting = TypeOf<typeof ContainerStateWaiting>;

export const ContainerState = object('io.k8s.api.core.v1.ContainerState', {
  running: struct(2, ContainerStateRunning),
  terminated: struct(3, ContainerStateTerminated),
  waiting: struct(1, ContainerStateWaiting),
});
export type ContainerState = TypeOf<typeof ContainerState>;

export const ResourceHealth = object('io.k8s.api.core.v1.ResourceHealth', {
  health: string(2),
  message: string(6, { pointer: true }),
  resourceID: string(1, { required: true, always: true }),
});
export type ResourceHealth = TypeOf<typeof ResourceHealth>;

export const ResourceStatus = object('io.k8s.api.core.v1.ResourceStatus', {
  name: string(1, { required: true, always: true }),
  resources: list(2, ResourceHealth, { listType: 'map', mapKeys: ['resourceID'] }),
});
export type ResourceStatus = TypeOf<typeof ResourceStatus>;

export const LinuxContainerUser = object('io.k8s.api.core.v1.LinuxContainerUser', {
  gid: int64(2, { required: true, always: true }),
  supplementalGroups: list(3, types.int64, { listType: 'atomic' }),
  uid: int64(1, { required: true, always: true }),
});
export type LinuxContainerUser = TypeOf<typeof LinuxContainerUser>;

export const ContainerUser = object('io.k8s.api.core.v1.ContainerUser', {
  linux: struct(1, LinuxContainerUser),
});
export type ContainerUser = TypeOf<typeof ContainerUser>;

export const ImageVolumeStatus = object('io.k8s.api.core.v1.ImageVolumeStatus', {
  imageRef: string(1, { required: true }),
});
export type ImageVolumeStatus = TypeOf<typeof ImageVolumeStatus>;

export const VolumeStatus = object('io.k8s.api.core.v1.VolumeStatus', {
  image: struct(1, ImageVolumeStatus),
});
export type VolumeStatus = TypeOf<typeof VolumeStatus>;

export const VolumeMountStatus = object('io.k8s.api.core.v1.VolumeMountStatus', {
  mountPath: string(2, { required: true, always: true }),
  name: string(1, { required: true, always: true }),
  readOnly: boolean(3),
  recursiveReadOnly: string(4, { pointer: true }),
  volumeStatus: struct(5, VolumeStatus),
});
export type VolumeMountStatus = TypeOf<typeof VolumeMountStatus>;

export const ContainerStatus = object('io.k8s.api.core.v1.ContainerStatus', {
  allocatedResources: map(10, types.resourceQuantity),
  allocatedResourcesStatus: list(14, ResourceStatus, {
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
  }),
  containerID: string(8),
  image: string(6, { required: true, always: true }),
  imageID: string(7, { required: true, always: true }),
  lastState: struct(3, ContainerState, { always: true }),
  name: string(1, { required: true, always: true }),
  ready: boolean(4, { required: true, always: true }),
  resources: struct(11, ResourceRequirements),
  restartCount: int32(5, { required: true, always: true }),
  started: boolean(9, { pointer: true }),
  state: struct(2, ContainerState, { always: true }),
  stopSignal: string(15, {
    pointer: true,
    enum: [
      'SIGABRT',
      'SIGALRM',
      'SIGBUS',
      'SIGCHLD',
      'SIGCLD',
      'SIGCONT',
      'SIGFPE',
      'SIGHUP',
      'SIGILL',
      'SIGINT',
      'SIGIO',
      'SIGIOT',
      'SIGKILL',
      'SIGPIPE',
      'SIGPOLL',
      'SIGPROF',
      'SIGPWR',
      'SIGQUIT',
      'SIGRTMAX',
      'SIGRTMAX-1',
      'SIGRTMAX-10',
      'SIGRTMAX-11',
      'SIGRTMAX-12',
      'SIGRTMAX-13',
      'SIGRTMAX-14',
      'SIGRTMAX-2',
      'SIGRTMAX-3',
      'SIGRTMAX-4',
      'SIGRTMAX-5',
      'SIGRTMAX-6',
      'SIGRTMAX-7',
      'SIGRTMAX-8',
      'SIGRTMAX-9',
      'SIGRTMIN',
      'SIGRTMIN+1',
      'SIGRTMIN+10',
      'SIGRTMIN+11',
      'SIGRTMIN+12',
      'SIGRTMIN+13',
      'SIGRTMIN+14',
      'SIGRTMIN+15',
      'SIGRTMIN+2',
      'SIGRTMIN+3',
      'SIGRTMIN+4',
      'SIGRTMIN+5',
      'SIGRTMIN+6',
      'SIGRTMIN+7',
      'SIGRTMIN+8',
      'SIGRTMIN+9',
      'SIGSEGV',
      'SIGSTKFLT',
      'SIGSTOP',
      'SIGSYS',
      'SIGTERM',
      'SIGTRAP',
      'SIGTSTP',
      'SIGTTIN',
      'SIGTTOU',
      'SIGURG',
      'SIGUSR1',
      'SIGUSR2',
      'SIGVTALRM',
      'SIGWINCH',
      'SIGXCPU',
      'SIGXFSZ',
    ],
  }),
  user: struct(13, ContainerUser),
  volumeMounts: list(12, VolumeMountStatus, {
    listType: 'map',
    mapKeys: ['mountPath'],
    patchStrategy: 'merge',
    patchMergeKey: 'mountPath',
  }),
});
export type ContainerStatus = TypeOf<typeof ContainerStatus>;

export const HostIP = object('io.k8s.api.core.v1.HostIP', {
  ip: string(1, { required: true, always: true }),
});
export type HostIP = TypeOf<typeof HostIP>;

export const NodeAllocatableResourceClaimStatus = object('io.k8s.api.core.v1.NodeAllocatableResourceClaimStatus', {
  containers: list(2, types.string, { listType: 'set' }),
  resourceClaimName: string(1, { required: true, always: true }),
  resources: map(3, types.resourceQuantity, { required: true }),
});
export type NodeAllocatableResourceClaimStatus = TypeOf<typeof NodeAllocatableResourceClaimStatus>;

export const PodCondition = object('io.k8s.api.core.v1.PodCondition', {
  lastProbeTime: time(3, { always: true }),
  lastTransitionTime: time(4, { always: true }),
  message: string(6),
  observedGeneration: int64(7),
  reason: string(5),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type PodCondition = TypeOf<typeof PodCondition>;

export const PodExtendedResourceClaimStatus = object('io.k8s.api.core.v1.PodExtendedResourceClaimStatus', {
  requestMappings: list(1, ContainerExtendedResourceRequest, { required: true, always: true, listType: 'atomic' }),
  resourceClaimName: string(2, { required: true, always: true }),
});
export type PodExtendedResourceClaimStatus = TypeOf<typeof PodExtendedResourceClaimStatus>;

export const PodIP = object('io.k8s.api.core.v1.PodIP', {
  ip: string(1, { required: true, always: true }),
});
export type PodIP = TypeOf<typeof PodIP>;

export const PodResourceClaimStatus = object('io.k8s.api.core.v1.PodResourceClaimStatus', {
  name: string(1, { required: true, always: true }),
  resourceClaimName: string(2, { pointer: true }),
});
export type PodResourceClaimStatus = TypeOf<typeof PodResourceClaimStatus>;

export const PodStatus = object('io.k8s.api.core.v1.PodStatus', {
  allocatedResources: map(19, types.resourceQuantity),
  conditions: list(2, PodCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  containerStatuses: list(8, ContainerStatus, { listType: 'atomic' }),
  ephemeralContainerStatuses: list(13, ContainerStatus, { listType: 'atomic' }),
  extendedResourceClaimStatus: struct(18, PodExtendedResourceClaimStatus),
  hostIP: string(5),
  hostIPs: list(16, HostIP, { listType: 'atomic', patchStrategy: 'merge', patchMergeKey: 'ip' }),
  initContainerStatuses: list(10, ContainerStatus, { listType: 'atomic' }),
  message: string(3),
  nodeAllocatableResourceClaimStatuses: list(21, NodeAllocatableResourceClaimStatus, { listType: 'atomic' }),
  nominatedNodeName: string(11),
  observedGeneration: int64(17),
  phase: string(1, { enum: ['Failed', 'Pending', 'Running', 'Succeeded', 'Unknown'] }),
  podIP: string(6),
  podIPs: list(12, PodIP, { listType: 'map', mapKeys: ['ip'], patchStrategy: 'merge', patchMergeKey: 'ip' }),
  qosClass: string(9, { enum: ['BestEffort', 'Burstable', 'Guaranteed'] }),
  reason: string(4),
  resize: string(14),
  resourceClaimStatuses: list(15, PodResourceClaimStatus, {
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge,retainKeys',
    patchMergeKey: 'name',
  }),
  resources: struct(20, ResourceRequirements),
  startTime: time(7),
});
export type PodStatus = TypeOf<typeof PodStatus>;

export const Pod = defineKind({
  group: '',
  version: 'v1',
  kind: 'Pod',
  plural: 'pods',
  namespaced: true,
  shortNames: ['po'],
  categories: ['all'],
  doc: 'A group of containers that run together on one node.',
  subresources: {
    attach: { verbs: ['create', 'get'], kind: { group: '', version: 'v1', kind: 'PodAttachOptions' } },
    binding: { verbs: ['create'], kind: { group: '', version: 'v1', kind: 'Binding' } },
    ephemeralcontainers: { verbs: ['get', 'patch', 'update'] },
    eviction: { verbs: ['create'], kind: { group: 'policy', version: 'v1', kind: 'Eviction' } },
    exec: { verbs: ['create', 'get'], kind: { group: '', version: 'v1', kind: 'PodExecOptions' } },
    log: { verbs: ['get'] },
    portforward: { verbs: ['create', 'get'], kind: { group: '', version: 'v1', kind: 'PodPortForwardOptions' } },
    proxy: {
      verbs: ['create', 'delete', 'get', 'patch', 'update'],
      kind: { group: '', version: 'v1', kind: 'PodProxyOptions' },
    },
    resize: { verbs: ['get', 'patch', 'update'] },
    status: { verbs: ['get', 'patch', 'update'] },
  },
  type: 'io.k8s.api.core.v1.Pod',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true, doc: 'Name, labels and what the server knows of the object.' }),
    spec: struct(2, PodSpec, { always: true, doc: 'What is to run.' }),
    status: struct(3, PodStatus, { always: true, doc: 'What runs, as the node agent reports it.' }),
  },
  statusKeeps: ['ownerReferences'],
  columns: podColumns,
  fieldSelectors: {
    'spec.nodeName': pod => pod.spec.nodeName ?? '',
    'spec.host': pod => pod.spec.nodeName ?? '',
    'spec.restartPolicy': pod => pod.spec.restartPolicy,
    'spec.schedulerName': pod => pod.spec.schedulerName,
    'spec.serviceAccountName': pod => pod.spec.serviceAccountName ?? '',
    'spec.hostNetwork': pod => String(pod.spec.hostNetwork ?? false),
    'status.phase': pod => pod.status.phase ?? '',
    'status.podIP': pod => pod.status.podIPs?.[0]?.ip ?? pod.status.podIP ?? '',
    'status.podIPs': pod => (pod.status.podIPs ?? []).map(({ ip }) => ip).join(','),
    'status.nominatedNodeName': pod => pod.status.nominatedNodeName ?? '',
  },
  returnsDeleted: true,
  graceSeconds: (pod, requestedSeconds) => podGraceSeconds(pod, requestedSeconds),
  default(pod) {
    defaultPod(pod.spec);
    unitePodIps(pod.status);
  },
  prepareForCreate(pod) {
    preparePod(pod);
  },
  prepareForStatusUpdate({ status }, old) {
    preparePodStatus(status, old.status);
  },
  validate(pod, report) {
    validatePod(pod, report);
  },
  validateCreate(pod, report) {
    validatePodCreate(pod, report);
  },
  validateUpdate(pod, old, report) {
    validatePodUpdate(pod, old, report);
  },
  validateStatusUpdate(pod, old, report) {
    validatePodStatusUpdate(pod, old, report);
  },
  warnings: pod => warningsOfPod(pod.metadata, pod.spec),
});
export type Pod = ObjectOf<typeof Pod>;
