import {
  boolean,
  embedded,
  int32,
  int64,
  intOrString,
  list,
  map,
  object,
  quantity,
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
import { LocalObjectReference } from './local-object-reference.ts';
import { NFSVolumeSource } from './nfs-volume-source.ts';
import { NodeSelectorTerm } from './node-selector-term.ts';
import { NodeSelector } from './node-selector.ts';
import { PersistentVolumeClaimSpec } from './persistent-volume-claim-spec.ts';
import { PhotonPersistentDiskVolumeSource } from './photon-persistent-disk-volume-source.ts';
import { PortworxVolumeSource } from './portworx-volume-source.ts';
import { QuobyteVolumeSource } from './quobyte-volume-source.ts';
import { ResourceRequirements } from './resource-requirements.ts';
import { Toleration } from './toleration.ts';
import { VsphereVirtualDiskVolumeSource } from './vsphere-virtual-disk-volume-source.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PreferredSchedulingTerm = object('io.k8s.api.core.v1.PreferredSchedulingTerm', {
  preference: struct(2, NodeSelectorTerm, { required: true, always: true }),
  weight: int32(1, { required: true, always: true, doc: 'How much a match counts, 1 to 100.' }),
});
export type PreferredSchedulingTerm = TypeOf<typeof PreferredSchedulingTerm>;

export const NodeAffinity = object('io.k8s.api.core.v1.NodeAffinity', {
  preferredDuringSchedulingIgnoredDuringExecution: list(2, PreferredSchedulingTerm, { listType: 'atomic' }),
  requiredDuringSchedulingIgnoredDuringExecution: struct(1, NodeSelector),
});
export type NodeAffinity = TypeOf<typeof NodeAffinity>;

export const PodAffinityTerm = object('io.k8s.api.core.v1.PodAffinityTerm', {
  labelSelector: struct(1, LabelSelector),
  matchLabelKeys: list(5, types.string, { listType: 'atomic' }),
  mismatchLabelKeys: list(6, types.string, { listType: 'atomic' }),
  namespaceSelector: struct(4, LabelSelector),
  namespaces: list(2, types.string, { listType: 'atomic' }),
  topologyKey: string(3, { required: true, always: true }),
});
export type PodAffinityTerm = TypeOf<typeof PodAffinityTerm>;

export const WeightedPodAffinityTerm = object('io.k8s.api.core.v1.WeightedPodAffinityTerm', {
  podAffinityTerm: struct(2, PodAffinityTerm, { required: true, always: true }),
  weight: int32(1, { required: true, always: true }),
});
export type WeightedPodAffinityTerm = TypeOf<typeof WeightedPodAffinityTerm>;

export const PodAffinity = object('io.k8s.api.core.v1.PodAffinity', {
  preferredDuringSchedulingIgnoredDuringExecution: list(2, WeightedPodAffinityTerm, { listType: 'atomic' }),
  requiredDuringSchedulingIgnoredDuringExecution: list(1, PodAffinityTerm, { listType: 'atomic' }),
});
export type PodAffinity = TypeOf<typeof PodAffinity>;

export const PodAntiAffinity = object('io.k8s.api.core.v1.PodAntiAffinity', {
  preferredDuringSchedulingIgnoredDuringExecution: list(2, WeightedPodAffinityTerm, { listType: 'atomic' }),
  requiredDuringSchedulingIgnoredDuringExecution: list(1, PodAffinityTerm, { listType: 'atomic' }),
});
export type PodAntiAffinity = TypeOf<typeof PodAntiAffinity>;

export const Affinity = object('io.k8s.api.core.v1.Affinity', {
  nodeAffinity: struct(1, NodeAffinity),
  podAffinity: struct(2, PodAffinity),
  podAntiAffinity: struct(3, PodAntiAffinity),
});
export type Affinity = TypeOf<typeof Affinity>;

export const ConfigMapKeySelector = object(
  'io.k8s.api.core.v1.ConfigMapKeySelector',
  {
    key: string(2, { required: true, always: true }),
    optional: boolean(3, { pointer: true }),
    ...embedded(1, { name: string(1) }),
  },
  { mapType: 'atomic' },
);
export type ConfigMapKeySelector = TypeOf<typeof ConfigMapKeySelector>;

export const ObjectFieldSelector = object(
  'io.k8s.api.core.v1.ObjectFieldSelector',
  {
    apiVersion: string(1, { default: 'v1' }),
    fieldPath: string(2, { required: true, always: true }),
  },
  { mapType: 'atomic' },
);
export type ObjectFieldSelector = TypeOf<typeof ObjectFieldSelector>;

export const FileKeySelector = object(
  'io.k8s.api.core.v1.FileKeySelector',
  {
    key: string(3, { required: true, always: true }),
    optional: boolean(4, { pointer: true, default: false }),
    path: string(2, { required: true, always: true }),
    volumeName: string(1, { required: true, always: true }),
  },
  { mapType: 'atomic' },
);
export type FileKeySelector = TypeOf<typeof FileKeySelector>;

export const ResourceFieldSelector = object(
  'io.k8s.api.core.v1.ResourceFieldSelector',
  {
    containerName: string(1),
    divisor: quantity(3, { always: true }),
    resource: string(2, { required: true, always: true }),
  },
  { mapType: 'atomic' },
);
export type ResourceFieldSelector = TypeOf<typeof ResourceFieldSelector>;

export const SecretKeySelector = object(
  'io.k8s.api.core.v1.SecretKeySelector',
  {
    key: string(2, { required: true, always: true }),
    optional: boolean(3, { pointer: true }),
    ...embedded(1, { name: string(1) }),
  },
  { mapType: 'atomic' },
);
export type SecretKeySelector = TypeOf<typeof SecretKeySelector>;

export const EnvVarSource = object('io.k8s.api.core.v1.EnvVarSource', {
  configMapKeyRef: struct(3, ConfigMapKeySelector),
  fieldRef: struct(1, ObjectFieldSelector),
  fileKeyRef: struct(5, FileKeySelector),
  resourceFieldRef: struct(2, ResourceFieldSelector),
  secretKeyRef: struct(4, SecretKeySelector),
});
export type EnvVarSource = TypeOf<typeof EnvVarSource>;

export const EnvVar = object('io.k8s.api.core.v1.EnvVar', {
  name: string(1, { required: true, always: true, doc: 'Name of the variable.' }),
  value: string(2, { doc: 'Its value; `$(NAME)` stands for a variable defined before.' }),
  valueFrom: struct(3, EnvVarSource, { doc: 'Where the value comes from; not together with `value`.' }),
});
export type EnvVar = TypeOf<typeof EnvVar>;

export const ConfigMapEnvSource = object('io.k8s.api.core.v1.ConfigMapEnvSource', {
  optional: boolean(2, { pointer: true }),
  ...embedded(1, { name: string(1) }),
});
export type ConfigMapEnvSource = TypeOf<typeof ConfigMapEnvSource>;

export const SecretEnvSource = object('io.k8s.api.core.v1.SecretEnvSource', {
  optional: boolean(2, { pointer: true }),
  ...embedded(1, { name: string(1) }),
});
export type SecretEnvSource = TypeOf<typeof SecretEnvSource>;

export const EnvFromSource = object('io.k8s.api.core.v1.EnvFromSource', {
  configMapRef: struct(2, ConfigMapEnvSource),
  prefix: string(1),
  secretRef: struct(3, SecretEnvSource),
});
export type EnvFromSource = TypeOf<typeof EnvFromSource>;

export const ExecAction = object('io.k8s.api.core.v1.ExecAction', {
  command: list(1, types.string, {
    listType: 'atomic',
    doc: 'The program and its arguments, run inside the container without a shell.',
  }),
});
export type ExecAction = TypeOf<typeof ExecAction>;

export const HTTPHeader = object('io.k8s.api.core.v1.HTTPHeader', {
  name: string(1, { required: true, always: true }),
  value: string(2, { required: true, always: true }),
});
export type HTTPHeader = TypeOf<typeof HTTPHeader>;

export const HTTPGetAction = object('io.k8s.api.core.v1.HTTPGetAction', {
  host: string(3),
  httpHeaders: list(5, HTTPHeader, { listType: 'atomic' }),
  path: string(1, { default: '/', doc: 'Path of the request.' }),
  port: intOrString(2, { required: true, always: true, doc: 'Number or name of a port of the container.' }),
  scheme: string(4, { enum: ['HTTP', 'HTTPS'], default: 'HTTP', doc: 'Scheme of the request.' }),
});
export type HTTPGetAction = TypeOf<typeof HTTPGetAction>;

export const SleepAction = object('io.k8s.api.core.v1.SleepAction', {
  seconds: int64(1, { required: true, always: true }),
});
export type SleepAction = TypeOf<typeof SleepAction>;

export const TCPSocketAction = object('io.k8s.api.core.v1.TCPSocketAction', {
  host: string(2),
  port: intOrString(1, { required: true, always: true }),
});
export type TCPSocketAction = TypeOf<typeof TCPSocketAction>;

export const LifecycleHandler = object('io.k8s.api.core.v1.LifecycleHandler', {
  exec: struct(1, ExecAction),
  httpGet: struct(2, HTTPGetAction),
  sleep: struct(4, SleepAction),
  tcpSocket: struct(3, TCPSocketAction),
});
export type LifecycleHandler = TypeOf<typeof LifecycleHandler>;

export const Lifecycle = object('io.k8s.api.core.v1.Lifecycle', {
  postStart: struct(1, LifecycleHandler),
  preStop: struct(2, LifecycleHandler),
  stopSignal: string(3, {
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
});
export type Lifecycle = TypeOf<typeof Lifecycle>;

export const GRPCAction = object('io.k8s.api.core.v1.GRPCAction', {
  port: int32(1, { required: true, always: true }),
  service: string(2, { pointer: true, always: true, default: '' }),
});
export type GRPCAction = TypeOf<typeof GRPCAction>;

export const Probe = object('io.k8s.api.core.v1.Probe', {
  failureThreshold: int32(6, { default: 3, doc: 'Failures in a row after which the probe counts as failed.' }),
  initialDelaySeconds: int32(2, { doc: 'Seconds between the start of the container and the first probe.' }),
  periodSeconds: int32(4, { default: 10, doc: 'Seconds between two probes.' }),
  successThreshold: int32(5, { default: 1, doc: 'Successes in a row after which a failed probe counts as passed.' }),
  terminationGracePeriodSeconds: int64(7, {
    pointer: true,
    doc: 'Seconds to stop in after this probe failed; default is that of the pod.',
  }),
  timeoutSeconds: int32(3, { default: 1, doc: 'Seconds after which an unanswered probe has failed.' }),
  ...embedded(1, {
    exec: struct(1, ExecAction),
    grpc: struct(4, GRPCAction),
    httpGet: struct(2, HTTPGetAction),
    tcpSocket: struct(3, TCPSocketAction),
  }),
});
export type Probe = TypeOf<typeof Probe>;

export const ContainerPort = object('io.k8s.api.core.v1.ContainerPort', {
  containerPort: int32(3, { required: true, always: true, doc: 'Port the container listens on.' }),
  hostIP: string(5, { doc: 'Address of the node the host port is bound to.' }),
  hostPort: int32(2, { doc: 'Port of the node that leads to the container.' }),
  name: string(1, { doc: 'Name that Services and probes may use for the port.' }),
  protocol: string(4, { enum: ['SCTP', 'TCP', 'UDP'], default: 'TCP', doc: 'Protocol of the port.' }),
});
export type ContainerPort = TypeOf<typeof ContainerPort>;

export const ContainerResizePolicy = object('io.k8s.api.core.v1.ContainerResizePolicy', {
  resourceName: string(1, { required: true, always: true }),
  restartPolicy: string(2, { required: true, always: true }),
});
export type ContainerResizePolicy = TypeOf<typeof ContainerResizePolicy>;

export const ContainerRestartRuleOnExitCodes = object('io.k8s.api.core.v1.ContainerRestartRuleOnExitCodes', {
  operator: string(1, { required: true }),
  values: list(2, types.int32, { listType: 'set' }),
});
export type ContainerRestartRuleOnExitCodes = TypeOf<typeof ContainerRestartRuleOnExitCodes>;

export const ContainerRestartRule = object('io.k8s.api.core.v1.ContainerRestartRule', {
  action: string(1, { required: true }),
  exitCodes: struct(2, ContainerRestartRuleOnExitCodes),
});
export type ContainerRestartRule = TypeOf<typeof ContainerRestartRule>;

export const AppArmorProfile = object(
  'io.k8s.api.core.v1.AppArmorProfile',
  {
    localhostProfile: string(2, { pointer: true }),
    type: string(1, { required: true, always: true, enum: ['Localhost', 'RuntimeDefault', 'Unconfined'] }),
  },
  { unions: [{ discriminator: 'type', 'fields-to-discriminateBy': { localhostProfile: 'LocalhostProfile' } }] },
);
export type AppArmorProfile = TypeOf<typeof AppArmorProfile>;

export const Capabilities = object('io.k8s.api.core.v1.Capabilities', {
  add: list(1, types.string, { listType: 'atomic' }),
  drop: list(2, types.string, { listType: 'atomic' }),
});
export type Capabilities = TypeOf<typeof Capabilities>;

export const SELinuxOptions = object('io.k8s.api.core.v1.SELinuxOptions', {
  level: string(4),
  role: string(2),
  type: string(3),
  user: string(1),
});
export type SELinuxOptions = TypeOf<typeof SELinuxOptions>;

export const SeccompProfile = object(
  'io.k8s.api.core.v1.SeccompProfile',
  {
    localhostProfile: string(2, { pointer: true }),
    type: string(1, { required: true, always: true, enum: ['Localhost', 'RuntimeDefault', 'Unconfined'] }),
  },
  { unions: [{ discriminator: 'type', 'fields-to-discriminateBy': { localhostProfile: 'LocalhostProfile' } }] },
);
export type SeccompProfile = TypeOf<typeof SeccompProfile>;

export const WindowsSecurityContextOptions = object('io.k8s.api.core.v1.WindowsSecurityContextOptions', {
  gmsaCredentialSpec: string(2, { pointer: true }),
  gmsaCredentialSpecName: string(1, { pointer: true }),
  hostProcess: boolean(4, { pointer: true }),
  runAsUserName: string(3, { pointer: true }),
});
export type WindowsSecurityContextOptions = TypeOf<typeof WindowsSecurityContextOptions>;

export const SecurityContext = object('io.k8s.api.core.v1.SecurityContext', {
  allowPrivilegeEscalation: boolean(7, { pointer: true }),
  appArmorProfile: struct(12, AppArmorProfile),
  capabilities: struct(1, Capabilities),
  privileged: boolean(2, { pointer: true }),
  procMount: string(9, { pointer: true, enum: ['Default', 'Unmasked'] }),
  readOnlyRootFilesystem: boolean(6, { pointer: true }),
  runAsGroup: int64(8, { pointer: true }),
  runAsNonRoot: boolean(5, { pointer: true }),
  runAsUser: int64(4, { pointer: true }),
  seLinuxOptions: struct(3, SELinuxOptions),
  seccompProfile: struct(11, SeccompProfile),
  windowsOptions: struct(10, WindowsSecurityContextOptions),
});
export type SecurityContext = TypeOf<typeof SecurityContext>;

export const VolumeDevice = object('io.k8s.api.core.v1.VolumeDevice', {
  devicePath: string(2, { required: true, always: true }),
  name: string(1, { required: true, always: true }),
});
export type VolumeDevice = TypeOf<typeof VolumeDevice>;

export const VolumeMount = object('io.k8s.api.core.v1.VolumeMount', {
  mountPath: string(3, { required: true, always: true }),
  mountPropagation: string(5, { pointer: true, enum: ['Bidirectional', 'HostToContainer', 'None'] }),
  name: string(1, { required: true, always: true }),
  readOnly: boolean(2),
  recursiveReadOnly: string(7, { pointer: true }),
  subPath: string(4),
  subPathExpr: string(6),
});
export type VolumeMount = TypeOf<typeof VolumeMount>;

export const Container = object('io.k8s.api.core.v1.Container', {
  args: list(4, types.string, { listType: 'atomic', doc: "Arguments of the command; default is the image's CMD." }),
  command: list(3, types.string, { listType: 'atomic', doc: "What is run; default is the image's ENTRYPOINT." }),
  env: list(7, EnvVar, {
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
    doc: 'Environment variables.',
  }),
  envFrom: list(19, EnvFromSource, {
    listType: 'atomic',
    doc: 'ConfigMaps and Secrets whose entries become environment variables.',
  }),
  image: string(2, { doc: 'Name of the image.' }),
  imagePullPolicy: string(14, {
    enum: ['Always', 'IfNotPresent', 'Never'],
    doc: 'When the image is pulled: Always for the tag `latest`, IfNotPresent for others, unless given.',
  }),
  lifecycle: struct(12, Lifecycle, { doc: 'What is run after the start and before the stop.' }),
  livenessProbe: struct(10, Probe, { doc: 'Restarts the container when it fails.' }),
  name: string(1, { required: true, always: true, doc: 'Name of the container, unique in the pod.' }),
  ports: list(6, ContainerPort, {
    doc: 'Ports the container listens on; others can be reached as well.',
    listType: 'map',
    mapKeys: ['containerPort', 'protocol'],
    patchStrategy: 'merge',
    patchMergeKey: 'containerPort',
  }),
  readinessProbe: struct(11, Probe, { doc: 'Takes the pod out of its Services while it fails.' }),
  resizePolicy: list(23, ContainerResizePolicy, { listType: 'atomic' }),
  resources: struct(8, ResourceRequirements, { always: true, doc: 'What the container needs and may use at most.' }),
  restartPolicy: string(24, {
    pointer: true,
    doc: 'When this container is restarted; `Always` makes an init container a sidecar.',
  }),
  restartPolicyRules: list(25, ContainerRestartRule, { listType: 'atomic' }),
  securityContext: struct(15, SecurityContext, { doc: 'User, capabilities and other limits of the container.' }),
  startupProbe: struct(22, Probe, { doc: 'Holds back the other probes until it has passed once.' }),
  stdin: boolean(16, { doc: 'Keeps standard input open.' }),
  stdinOnce: boolean(17),
  terminationMessagePath: string(13, {
    default: '/dev/termination-log',
    doc: 'File whose content becomes the message of the terminated container.',
  }),
  terminationMessagePolicy: string(20, {
    enum: ['FallbackToLogsOnError', 'File'],
    default: 'File',
    doc: 'Where the message of a terminated container comes from.',
  }),
  tty: boolean(18, { doc: 'Gives the container a terminal.' }),
  volumeDevices: list(21, VolumeDevice, {
    listType: 'map',
    mapKeys: ['devicePath'],
    patchStrategy: 'merge',
    patchMergeKey: 'devicePath',
  }),
  volumeMounts: list(9, VolumeMount, {
    listType: 'map',
    mapKeys: ['mountPath'],
    patchStrategy: 'merge',
    patchMergeKey: 'mountPath',
    doc: 'Where volumes of the pod appear in the container.',
  }),
  workingDir: string(5, { doc: "Directory the command starts in; default is the image's." }),
});
export type Container = TypeOf<typeof Container>;

export const PodDNSConfigOption = object('io.k8s.api.core.v1.PodDNSConfigOption', {
  name: string(1),
  value: string(2, { pointer: true }),
});
export type PodDNSConfigOption = TypeOf<typeof PodDNSConfigOption>;

export const PodDNSConfig = object('io.k8s.api.core.v1.PodDNSConfig', {
  nameservers: list(1, types.string, { listType: 'atomic' }),
  options: list(3, PodDNSConfigOption, { listType: 'atomic' }),
  searches: list(2, types.string, { listType: 'atomic' }),
});
export type PodDNSConfig = TypeOf<typeof PodDNSConfig>;

export const EphemeralContainer = object('io.k8s.api.core.v1.EphemeralContainer', {
  targetContainerName: string(2),
  ...embedded(1, {
    args: list(4, types.string, { listType: 'atomic' }),
    command: list(3, types.string, { listType: 'atomic' }),
    env: list(7, EnvVar, { listType: 'map', mapKeys: ['name'], patchStrategy: 'merge', patchMergeKey: 'name' }),
    envFrom: list(19, EnvFromSource, { listType: 'atomic' }),
    image: string(2),
    imagePullPolicy: string(14),
    lifecycle: struct(12, Lifecycle),
    livenessProbe: struct(10, Probe),
    name: string(1, { required: true }),
    ports: list(6, ContainerPort, {
      listType: 'map',
      mapKeys: ['containerPort', 'protocol'],
      patchStrategy: 'merge',
      patchMergeKey: 'containerPort',
    }),
    readinessProbe: struct(11, Probe),
    resizePolicy: list(23, ContainerResizePolicy, { listType: 'atomic' }),
    resources: struct(8, ResourceRequirements),
    restartPolicy: string(24, { pointer: true }),
    restartPolicyRules: list(25, ContainerRestartRule, { listType: 'atomic' }),
    securityContext: struct(15, SecurityContext),
    startupProbe: struct(22, Probe),
    stdin: boolean(16),
    stdinOnce: boolean(17),
    terminationMessagePath: string(13, { default: '/dev/termination-log' }),
    terminationMessagePolicy: string(20, { default: 'File' }),
    tty: boolean(18),
    volumeDevices: list(21, VolumeDevice, {
      listType: 'map',
      mapKeys: ['devicePath'],
      patchStrategy: 'merge',
      patchMergeKey: 'devicePath',
    }),
    volumeMounts: list(9, VolumeMount, {
      listType: 'map',
      mapKeys: ['mountPath'],
      patchStrategy: 'merge',
      patchMergeKey: 'mountPath',
    }),
    workingDir: string(5),
  }),
});
export type EphemeralContainer = TypeOf<typeof EphemeralContainer>;

export const HostAlias = object('io.k8s.api.core.v1.HostAlias', {
  hostnames: list(2, types.string, { listType: 'atomic' }),
  ip: string(1, { required: true, always: true }),
});
export type HostAlias = TypeOf<typeof HostAlias>;

export const PodOS = object('io.k8s.api.core.v1.PodOS', {
  name: string(1, { required: true, always: true }),
});
export type PodOS = TypeOf<typeof PodOS>;

export const PodReadinessGate = object('io.k8s.api.core.v1.PodReadinessGate', {
  conditionType: string(1, { required: true, always: true }),
});
export type PodReadinessGate = TypeOf<typeof PodReadinessGate>;

export const PodResourceClaim = object('io.k8s.api.core.v1.PodResourceClaim', {
  name: string(1, { required: true, always: true }),
  resourceClaimName: string(3, { pointer: true }),
  resourceClaimTemplateName: string(4, { pointer: true }),
});
export type PodResourceClaim = TypeOf<typeof PodResourceClaim>;

export const PodSchedulingGate = object('io.k8s.api.core.v1.PodSchedulingGate', {
  name: string(1, { required: true, always: true }),
});
export type PodSchedulingGate = TypeOf<typeof PodSchedulingGate>;

export const PodSchedulingGroup = object(
  'io.k8s.api.core.v1.PodSchedulingGroup',
  {
    podGroupName: string(1, { pointer: true }),
  },
  { unions: [{ 'fields-to-discriminateBy': { podGroupName: 'PodGroupName' } }] },
);
export type PodSchedulingGroup = TypeOf<typeof PodSchedulingGroup>;

export const Sysctl = object('io.k8s.api.core.v1.Sysctl', {
  name: string(1, { required: true, always: true }),
  value: string(2, { required: true, always: true }),
});
export type Sysctl = TypeOf<typeof Sysctl>;

export const PodSecurityContext = object('io.k8s.api.core.v1.PodSecurityContext', {
  appArmorProfile: struct(11, AppArmorProfile),
  fsGroup: int64(5, { pointer: true }),
  fsGroupChangePolicy: string(9, { pointer: true, enum: ['Always', 'OnRootMismatch'] }),
  runAsGroup: int64(6, { pointer: true }),
  runAsNonRoot: boolean(3, { pointer: true }),
  runAsUser: int64(2, { pointer: true }),
  seLinuxChangePolicy: string(13, { pointer: true }),
  seLinuxOptions: struct(1, SELinuxOptions),
  seccompProfile: struct(10, SeccompProfile),
  supplementalGroups: list(4, types.int64, { listType: 'atomic' }),
  supplementalGroupsPolicy: string(12, { pointer: true, enum: ['Merge', 'Strict'] }),
  sysctls: list(7, Sysctl, { listType: 'atomic' }),
  windowsOptions: struct(8, WindowsSecurityContextOptions),
});
export type PodSecurityContext = TypeOf<typeof PodSecurityContext>;

export const TopologySpreadConstraint = object('io.k8s.api.core.v1.TopologySpreadConstraint', {
  labelSelector: struct(4, LabelSelector),
  matchLabelKeys: list(8, types.string, { listType: 'atomic' }),
  maxSkew: int32(1, { required: true, always: true }),
  minDomains: int32(5, { pointer: true }),
  nodeAffinityPolicy: string(6, { pointer: true, enum: ['Honor', 'Ignore'] }),
  nodeTaintsPolicy: string(7, { pointer: true, enum: ['Honor', 'Ignore'] }),
  topologyKey: string(2, { required: true, always: true }),
  whenUnsatisfiable: string(3, { required: true, always: true, enum: ['DoNotSchedule', 'ScheduleAnyway'] }),
});
export type TopologySpreadConstraint = TypeOf<typeof TopologySpreadConstraint>;

export const AzureFileVolumeSource = object('io.k8s.api.core.v1.AzureFileVolumeSource', {
  readOnly: boolean(3),
  secretName: string(1, { required: true, always: true }),
  shareName: string(2, { required: true, always: true }),
});
export type AzureFileVolumeSource = TypeOf<typeof AzureFileVolumeSource>;

export const CephFSVolumeSource = object('io.k8s.api.core.v1.CephFSVolumeSource', {
  monitors: list(1, types.string, { required: true, always: true, listType: 'atomic' }),
  path: string(2),
  readOnly: boolean(6),
  secretFile: string(4),
  secretRef: struct(5, LocalObjectReference),
  user: string(3),
});
export type CephFSVolumeSource = TypeOf<typeof CephFSVolumeSource>;

export const CinderVolumeSource = object('io.k8s.api.core.v1.CinderVolumeSource', {
  fsType: string(2),
  readOnly: boolean(3),
  secretRef: struct(4, LocalObjectReference),
  volumeID: string(1, { required: true, always: true }),
});
export type CinderVolumeSource = TypeOf<typeof CinderVolumeSource>;

export const KeyToPath = object('io.k8s.api.core.v1.KeyToPath', {
  key: string(1, { required: true, always: true }),
  mode: int32(3, { pointer: true }),
  path: string(2, { required: true, always: true }),
});
export type KeyToPath = TypeOf<typeof KeyToPath>;

export const ConfigMapVolumeSource = object('io.k8s.api.core.v1.ConfigMapVolumeSource', {
  defaultMode: int32(3, { pointer: true, default: 0o644, doc: 'Mode of the files.' }),
  items: list(2, KeyToPath, { listType: 'atomic', doc: 'The entries that become files; default is all.' }),
  optional: boolean(4, { pointer: true, doc: 'Whether the pod may start without it.' }),
  ...embedded(1, { name: string(1, { doc: 'Name of the ConfigMap.' }) }),
});
export type ConfigMapVolumeSource = TypeOf<typeof ConfigMapVolumeSource>;

export const CSIVolumeSource = object('io.k8s.api.core.v1.CSIVolumeSource', {
  driver: string(1, { required: true, always: true }),
  fsType: string(3, { pointer: true }),
  nodePublishSecretRef: struct(5, LocalObjectReference),
  readOnly: boolean(2, { pointer: true }),
  volumeAttributes: map(4, types.string),
});
export type CSIVolumeSource = TypeOf<typeof CSIVolumeSource>;

export const DownwardAPIVolumeFile = object('io.k8s.api.core.v1.DownwardAPIVolumeFile', {
  fieldRef: struct(2, ObjectFieldSelector),
  mode: int32(4, { pointer: true }),
  path: string(1, { required: true, always: true }),
  resourceFieldRef: struct(3, ResourceFieldSelector),
});
export type DownwardAPIVolumeFile = TypeOf<typeof DownwardAPIVolumeFile>;

export const DownwardAPIVolumeSource = object('io.k8s.api.core.v1.DownwardAPIVolumeSource', {
  defaultMode: int32(2, { pointer: true, default: 0o644 }),
  items: list(1, DownwardAPIVolumeFile, { listType: 'atomic' }),
});
export type DownwardAPIVolumeSource = TypeOf<typeof DownwardAPIVolumeSource>;

export const EmptyDirVolumeSource = object('io.k8s.api.core.v1.EmptyDirVolumeSource', {
  medium: string(1, { doc: '`Memory` for a file system in memory; empty for the disk of the node.' }),
  sizeLimit: quantity(2, { pointer: true, doc: 'The size at which the pod is evicted, or the memory is full.' }),
});
export type EmptyDirVolumeSource = TypeOf<typeof EmptyDirVolumeSource>;

export const PersistentVolumeClaimTemplate = object('io.k8s.api.core.v1.PersistentVolumeClaimTemplate', {
  metadata: struct(1, ObjectMeta),
  spec: struct(2, PersistentVolumeClaimSpec, { required: true, always: true }),
});
export type PersistentVolumeClaimTemplate = TypeOf<typeof PersistentVolumeClaimTemplate>;

export const EphemeralVolumeSource = object('io.k8s.api.core.v1.EphemeralVolumeSource', {
  volumeClaimTemplate: struct(1, PersistentVolumeClaimTemplate),
});
export type EphemeralVolumeSource = TypeOf<typeof EphemeralVolumeSource>;

export const FlexVolumeSource = object('io.k8s.api.core.v1.FlexVolumeSource', {
  driver: string(1, { required: true, always: true }),
  fsType: string(2),
  options: map(5, types.string),
  readOnly: boolean(4),
  secretRef: struct(3, LocalObjectReference),
});
export type FlexVolumeSource = TypeOf<typeof FlexVolumeSource>;

export const GitRepoVolumeSource = object('io.k8s.api.core.v1.GitRepoVolumeSource', {
  directory: string(3),
  repository: string(1, { required: true, always: true }),
  revision: string(2),
});
export type GitRepoVolumeSource = TypeOf<typeof GitRepoVolumeSource>;

export const GlusterfsVolumeSource = object('io.k8s.api.core.v1.GlusterfsVolumeSource', {
  endpoints: string(1, { required: true, always: true }),
  path: string(2, { required: true, always: true }),
  readOnly: boolean(3),
});
export type GlusterfsVolumeSource = TypeOf<typeof GlusterfsVolumeSource>;

export const ImageVolumeSource = object('io.k8s.api.core.v1.ImageVolumeSource', {
  pullPolicy: string(2, { enum: ['Always', 'IfNotPresent', 'Never'] }),
  reference: string(1),
});
export type ImageVolumeSource = TypeOf<typeof ImageVolumeSource>;

export const ISCSIVolumeSource = object('io.k8s.api.core.v1.ISCSIVolumeSource', {
  chapAuthDiscovery: boolean(8),
  chapAuthSession: boolean(11),
  fsType: string(5),
  initiatorName: string(12, { pointer: true }),
  iqn: string(2, { required: true, always: true }),
  iscsiInterface: string(4, { default: 'default' }),
  lun: int32(3, { required: true, always: true }),
  portals: list(7, types.string, { listType: 'atomic' }),
  readOnly: boolean(6),
  secretRef: struct(10, LocalObjectReference),
  targetPortal: string(1, { required: true, always: true }),
});
export type ISCSIVolumeSource = TypeOf<typeof ISCSIVolumeSource>;

export const PersistentVolumeClaimVolumeSource = object('io.k8s.api.core.v1.PersistentVolumeClaimVolumeSource', {
  claimName: string(1, { required: true, always: true, doc: 'Name of the PersistentVolumeClaim.' }),
  readOnly: boolean(2, { doc: 'Mounts it read-only everywhere.' }),
});
export type PersistentVolumeClaimVolumeSource = TypeOf<typeof PersistentVolumeClaimVolumeSource>;

export const ClusterTrustBundleProjection = object('io.k8s.api.core.v1.ClusterTrustBundleProjection', {
  labelSelector: struct(3, LabelSelector),
  name: string(1, { pointer: true }),
  optional: boolean(5, { pointer: true }),
  path: string(4, { required: true, always: true }),
  signerName: string(2, { pointer: true }),
});
export type ClusterTrustBundleProjection = TypeOf<typeof ClusterTrustBundleProjection>;

export const ConfigMapProjection = object('io.k8s.api.core.v1.ConfigMapProjection', {
  items: list(2, KeyToPath, { listType: 'atomic' }),
  optional: boolean(4, { pointer: true }),
  ...embedded(1, { name: string(1) }),
});
export type ConfigMapProjection = TypeOf<typeof ConfigMapProjection>;

export const DownwardAPIProjection = object('io.k8s.api.core.v1.DownwardAPIProjection', {
  items: list(1, DownwardAPIVolumeFile, { listType: 'atomic' }),
});
export type DownwardAPIProjection = TypeOf<typeof DownwardAPIProjection>;

export const PodCertificateProjection = object('io.k8s.api.core.v1.PodCertificateProjection', {
  certificateChainPath: string(6),
  credentialBundlePath: string(4),
  keyPath: string(5),
  keyType: string(2, { required: true }),
  maxExpirationSeconds: int32(3, { pointer: true }),
  signerName: string(1, { required: true }),
  userAnnotations: map(7, types.string),
});
export type PodCertificateProjection = TypeOf<typeof PodCertificateProjection>;

export const SecretProjection = object('io.k8s.api.core.v1.SecretProjection', {
  items: list(2, KeyToPath, { listType: 'atomic' }),
  optional: boolean(4, { pointer: true }),
  ...embedded(1, { name: string(1) }),
});
export type SecretProjection = TypeOf<typeof SecretProjection>;

export const ServiceAccountTokenProjection = object('io.k8s.api.core.v1.ServiceAccountTokenProjection', {
  audience: string(1),
  expirationSeconds: int64(2, { pointer: true, default: 3600 }),
  path: string(3, { required: true, always: true }),
});
export type ServiceAccountTokenProjection = TypeOf<typeof ServiceAccountTokenProjection>;

export const VolumeProjection = object('io.k8s.api.core.v1.VolumeProjection', {
  clusterTrustBundle: struct(5, ClusterTrustBundleProjection),
  configMap: struct(3, ConfigMapProjection),
  downwardAPI: struct(2, DownwardAPIProjection),
  podCertificate: struct(6, PodCertificateProjection),
  secret: struct(1, SecretProjection),
  serviceAccountToken: struct(4, ServiceAccountTokenProjection),
});
export type VolumeProjection = TypeOf<typeof VolumeProjection>;

export const ProjectedVolumeSource = object('io.k8s.api.core.v1.ProjectedVolumeSource', {
  defaultMode: int32(2, { pointer: true, default: 0o644 }),
  sources: list(1, VolumeProjection, { always: true, listType: 'atomic' }),
});
export type ProjectedVolumeSource = TypeOf<typeof ProjectedVolumeSource>;

export const RBDVolumeSource = object('io.k8s.api.core.v1.RBDVolumeSource', {
  fsType: string(3),
  image: string(2, { required: true, always: true }),
  keyring: string(6, { default: '/etc/ceph/keyring' }),
  monitors: list(1, types.string, { required: true, always: true, listType: 'atomic' }),
  pool: string(4, { default: 'rbd' }),
  readOnly: boolean(8),
  secretRef: struct(7, LocalObjectReference),
  user: string(5, { default: 'admin' }),
});
export type RBDVolumeSource = TypeOf<typeof RBDVolumeSource>;

export const ScaleIOVolumeSource = object('io.k8s.api.core.v1.ScaleIOVolumeSource', {
  fsType: string(9, { default: 'xfs' }),
  gateway: string(1, { required: true, always: true }),
  protectionDomain: string(5),
  readOnly: boolean(10),
  secretRef: struct(3, LocalObjectReference, { required: true, always: true }),
  sslEnabled: boolean(4),
  storageMode: string(7, { default: 'ThinProvisioned' }),
  storagePool: string(6),
  system: string(2, { required: true, always: true }),
  volumeName: string(8),
});
export type ScaleIOVolumeSource = TypeOf<typeof ScaleIOVolumeSource>;

export const SecretVolumeSource = object('io.k8s.api.core.v1.SecretVolumeSource', {
  defaultMode: int32(3, { pointer: true, default: 0o644, doc: 'Mode of the files.' }),
  items: list(2, KeyToPath, { listType: 'atomic', doc: 'The entries that become files; default is all.' }),
  optional: boolean(4, { pointer: true, doc: 'Whether the pod may start without it.' }),
  secretName: string(1, { doc: 'Name of the Secret.' }),
});
export type SecretVolumeSource = TypeOf<typeof SecretVolumeSource>;

export const StorageOSVolumeSource = object('io.k8s.api.core.v1.StorageOSVolumeSource', {
  fsType: string(3),
  readOnly: boolean(4),
  secretRef: struct(5, LocalObjectReference),
  volumeName: string(1),
  volumeNamespace: string(2),
});
export type StorageOSVolumeSource = TypeOf<typeof StorageOSVolumeSource>;

export const Volume = object('io.k8s.api.core.v1.Volume', {
  name: string(1, { required: true, always: true, doc: 'Name that volumeMounts use.' }),
  ...embedded(2, {
    awsElasticBlockStore: struct(4, AWSElasticBlockStoreVolumeSource),
    azureDisk: struct(22, AzureDiskVolumeSource),
    azureFile: struct(18, AzureFileVolumeSource),
    cephfs: struct(14, CephFSVolumeSource),
    cinder: struct(13, CinderVolumeSource),
    configMap: struct(19, ConfigMapVolumeSource, { doc: 'The entries of a ConfigMap as files.' }),
    csi: struct(28, CSIVolumeSource),
    downwardAPI: struct(16, DownwardAPIVolumeSource, { doc: 'Fields of the pod as files.' }),
    emptyDir: struct(2, EmptyDirVolumeSource, { doc: 'An empty directory that lives as long as the pod.' }),
    ephemeral: struct(29, EphemeralVolumeSource),
    fc: struct(17, FCVolumeSource),
    flexVolume: struct(12, FlexVolumeSource),
    flocker: struct(15, FlockerVolumeSource),
    gcePersistentDisk: struct(3, GCEPersistentDiskVolumeSource),
    gitRepo: struct(5, GitRepoVolumeSource),
    glusterfs: struct(9, GlusterfsVolumeSource),
    hostPath: struct(1, HostPathVolumeSource, { doc: 'A file or directory of the node.' }),
    image: struct(30, ImageVolumeSource),
    iscsi: struct(8, ISCSIVolumeSource),
    nfs: struct(7, NFSVolumeSource),
    persistentVolumeClaim: struct(10, PersistentVolumeClaimVolumeSource, {
      doc: 'The storage bound to a PersistentVolumeClaim.',
    }),
    photonPersistentDisk: struct(23, PhotonPersistentDiskVolumeSource),
    portworxVolume: struct(24, PortworxVolumeSource),
    projected: struct(26, ProjectedVolumeSource, { doc: 'Several sources in one directory.' }),
    quobyte: struct(21, QuobyteVolumeSource),
    rbd: struct(11, RBDVolumeSource),
    scaleIO: struct(25, ScaleIOVolumeSource),
    secret: struct(6, SecretVolumeSource, { doc: 'The entries of a Secret as files.' }),
    storageos: struct(27, StorageOSVolumeSource),
    vsphereVolume: struct(20, VsphereVirtualDiskVolumeSource),
  }),
});
export type Volume = TypeOf<typeof Volume>;

export const PodSpec = object('io.k8s.api.core.v1.PodSpec', {
  activeDeadlineSeconds: int64(5, { pointer: true, doc: 'Seconds the pod may run before it is failed.' }),
  affinity: struct(18, Affinity, { doc: 'Nodes and pods it should be near to or away from.' }),
  automountServiceAccountToken: boolean(21, {
    pointer: true,
    doc: 'Whether a token of the service account is mounted.',
  }),
  containers: list(2, Container, {
    doc: 'The containers; at least one.',
    required: true,
    always: true,
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
  }),
  dnsConfig: struct(26, PodDNSConfig),
  dnsPolicy: string(6, {
    enum: ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'],
    default: 'ClusterFirst',
    doc: 'Which name servers the containers use.',
  }),
  enableServiceLinks: boolean(30, { pointer: true }),
  ephemeralContainers: list(34, EphemeralContainer, {
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
  }),
  hostAliases: list(23, HostAlias, { listType: 'map', mapKeys: ['ip'], patchStrategy: 'merge', patchMergeKey: 'ip' }),
  hostIPC: boolean(13, { doc: 'Shares the IPC namespace of the node.' }),
  hostNetwork: boolean(11, { doc: 'Shares the network of the node.' }),
  hostPID: boolean(12, { doc: 'Shares the process namespace of the node.' }),
  hostUsers: boolean(37, { pointer: true }),
  hostname: string(16, { doc: 'Host name of the pod; default is its name.' }),
  hostnameOverride: string(41, { pointer: true }),
  imagePullSecrets: list(15, LocalObjectReference, {
    doc: 'Secrets with the credentials for pulling the images.',
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
  }),
  initContainers: list(20, Container, {
    doc: 'Containers that run one after another before the others start.',
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
  }),
  nodeName: string(10, { doc: 'The node it runs on; set by the scheduler.' }),
  nodeSelector: map(7, types.string, { mapType: 'atomic', doc: 'Labels that the node must have.' }),
  os: struct(36, PodOS),
  overhead: map(32, types.resourceQuantity),
  preemptionPolicy: string(31, { pointer: true, enum: ['Never', 'PreemptLowerPriority'] }),
  priority: int32(25, { pointer: true }),
  priorityClassName: string(24, { doc: 'Name of the PriorityClass that gives the priority.' }),
  readinessGates: list(28, PodReadinessGate, { listType: 'atomic' }),
  resourceClaims: list(39, PodResourceClaim, {
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge,retainKeys',
    patchMergeKey: 'name',
  }),
  resources: struct(40, ResourceRequirements),
  restartPolicy: string(3, {
    enum: ['Always', 'Never', 'OnFailure'],
    default: 'Always',
    doc: 'When containers that ended are started again.',
  }),
  runtimeClassName: string(29, { pointer: true, doc: 'Name of the RuntimeClass that runs the pod.' }),
  schedulerName: string(19, { default: 'default-scheduler', doc: 'The scheduler that chooses the node.' }),
  schedulingGates: list(38, PodSchedulingGate, {
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
  }),
  schedulingGroup: struct(43, PodSchedulingGroup),
  securityContext: struct(14, PodSecurityContext, {
    default: {},
    doc: 'User, groups and other limits of all containers.',
  }),
  serviceAccount: string(9, { doc: 'Old name of serviceAccountName.' }),
  serviceAccountName: string(8, { doc: 'The ServiceAccount the pod acts as.' }),
  setHostnameAsFQDN: boolean(35, { pointer: true }),
  shareProcessNamespace: boolean(27, { pointer: true }),
  subdomain: string(17),
  terminationGracePeriodSeconds: int64(4, {
    pointer: true,
    default: 30,
    doc: 'Seconds between the request to stop and the kill.',
  }),
  tolerations: list(22, Toleration, { listType: 'atomic', doc: 'Taints of nodes it puts up with.' }),
  topologySpreadConstraints: list(33, TopologySpreadConstraint, {
    listType: 'map',
    mapKeys: ['topologyKey', 'whenUnsatisfiable'],
    patchStrategy: 'merge',
    patchMergeKey: 'topologyKey',
  }),
  volumes: list(1, Volume, {
    doc: 'Storage that containers can mount.',
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge,retainKeys',
    patchMergeKey: 'name',
  }),
});
export type PodSpec = TypeOf<typeof PodSpec>;
