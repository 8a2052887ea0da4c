/**
 * The contract between the node agent and whatever runs its containers: the Container Runtime Interface v1, verb for
 * verb and word for word, as an in-process interface. Three runtimes keep it: `oci/` (embedded: crun and conmon),
 * `cri/` (containerd or CRI-O over gRPC) and `hollow/` (pretends). `suite.ts` is the one test suite for all of them.
 *
 * Differences from the gRPC form, all mechanical: times are milliseconds since the epoch, enums are string unions,
 * counters are numbers, and exec, attach and port-forward hand out streams in place of a URL.
 */
import type { Duplex, Readable, Writable } from 'node:stream';

/** A runtime with its images. Disposing of it ends the service; containers go on running and are found again. */
export interface Runtime extends RuntimeService, ImageService, AsyncDisposable {}

/** Every verb rejects with a `RuntimeError`, or with the signal's reason when it was aborted. */
export interface RuntimeService {
  version(signal?: AbortSignal): Promise<RuntimeVersion>;
  status(signal?: AbortSignal): Promise<RuntimeStatus>;
  runtimeConfig(signal?: AbortSignal): Promise<RuntimeConfig>;
  /** Tells the network which addresses this node's pods get. */
  updateRuntimeConfig(config: { readonly podCidrs: readonly string[] }, signal?: AbortSignal): Promise<void>;

  /** Makes the namespaces, cgroup and network of a pod, and answers its id. All or nothing. */
  runPodSandbox(config: PodSandboxConfig, runtimeHandler?: string, signal?: AbortSignal): Promise<string>;
  /** Ends every process of the pod and gives back its network. Idempotent. An unknown id succeeds. */
  stopPodSandbox(podSandboxId: string, signal?: AbortSignal): Promise<void>;
  /** Forgets the sandbox and its containers, stopping them when needed. Idempotent. An unknown id succeeds. */
  removePodSandbox(podSandboxId: string, signal?: AbortSignal): Promise<void>;
  podSandboxStatus(podSandboxId: string, signal?: AbortSignal): Promise<PodSandboxStatus>;
  listPodSandbox(filter?: PodSandboxFilter, signal?: AbortSignal): Promise<readonly PodSandbox[]>;
  updatePodSandboxResources(
    podSandboxId: string,
    resources: LinuxContainerResources,
    signal?: AbortSignal,
  ): Promise<void>;

  /** Makes a container that does not run yet. Its image must be present (`NotFound` otherwise). */
  createContainer(
    podSandboxId: string,
    config: ContainerConfig,
    sandboxConfig: PodSandboxConfig,
    signal?: AbortSignal,
  ): Promise<string>;
  startContainer(containerId: string, signal?: AbortSignal): Promise<void>;
  /**
   * Sends the stop signal, and SIGKILL to all of the container's processes when it still runs after `timeoutSeconds`
   * (0: at once). Resolves when it has exited. Idempotent. An unknown id succeeds.
   */
  stopContainer(containerId: string, timeoutSeconds: number, signal?: AbortSignal): Promise<void>;
  /** Kills the container when it runs and forgets it; its log stays. An unknown id succeeds. */
  removeContainer(containerId: string, signal?: AbortSignal): Promise<void>;
  listContainers(filter?: ContainerFilter, signal?: AbortSignal): Promise<readonly Container[]>;
  containerStatus(containerId: string, signal?: AbortSignal): Promise<ContainerStatus>;
  updateContainerResources(
    containerId: string,
    resources: LinuxContainerResources,
    signal?: AbortSignal,
  ): Promise<void>;
  /** Opens the log file anew by its path, after the caller has moved the old one away. */
  reopenContainerLog(containerId: string, signal?: AbortSignal): Promise<void>;

  containerStats(containerId: string, signal?: AbortSignal): Promise<ContainerStats>;
  listContainerStats(filter?: ContainerStatsFilter, signal?: AbortSignal): Promise<readonly ContainerStats[]>;
  podSandboxStats(podSandboxId: string, signal?: AbortSignal): Promise<PodSandboxStats>;
  listPodSandboxStats(filter?: PodSandboxStatsFilter, signal?: AbortSignal): Promise<readonly PodSandboxStats[]>;

  /** Runs a command to its end; `timeoutSeconds` 0 or absent means without limit. `DeadlineExceeded` when it is over. */
  execSync(
    containerId: string,
    command: readonly string[],
    timeoutSeconds?: number,
    signal?: AbortSignal,
  ): Promise<ExecSyncResult>;
  /** Starts a command in a running container. Aborting the signal kills it. */
  exec(containerId: string, request: ExecRequest, signal?: AbortSignal): Promise<ExecSession>;
  /** Joins the stdio of a running container's main process. Aborting the signal detaches. */
  attach(containerId: string, request: AttachRequest, signal?: AbortSignal): Promise<AttachSession>;
  /** A TCP connection to `localhost:port` inside the pod's network namespace. */
  portForward(podSandboxId: string, port: number, signal?: AbortSignal): Promise<Duplex>;

  /** Every change from now on, until the signal is aborted. A reader more than `limits` behind is thrown `Unavailable` and lists anew. */
  events(signal: AbortSignal): AsyncIterable<ContainerEvent>;
}

export interface ImageService {
  listImages(filter?: { readonly image?: ImageSpec }, signal?: AbortSignal): Promise<readonly Image[]>;
  /** `undefined` when the image is not present. */
  imageStatus(image: ImageSpec, signal?: AbortSignal): Promise<Image | undefined>;
  /** Answers the reference to use for `ContainerConfig.image`. */
  pullImage(
    image: ImageSpec,
    auth?: AuthConfig,
    sandboxConfig?: PodSandboxConfig,
    signal?: AbortSignal,
  ): Promise<string>;
  /** Removes the image with all its tags. An unknown image succeeds. */
  removeImage(image: ImageSpec, signal?: AbortSignal): Promise<void>;
  imageFsInfo(signal?: AbortSignal): Promise<ImageFsInfo>;
}

/** What CRI lacks and the embedded runtimes have: images from a file in place of a registry. */
export interface ImageLoader {
  /** Loads an OCI layout or a docker archive (tar, plain or gzip or zstd) and answers the names it brought. */
  loadImage(archive: Readable, signal?: AbortSignal): Promise<readonly string[]>;
}

/** What connects a sandbox to the world. `network/` keeps it; the runtime is handed one and imports none. */
export interface PodNetwork {
  /** Gives the empty network namespace its interfaces, addresses and host ports. Must clean up after itself on failure. */
  setup(sandbox: NetworkedSandbox, signal?: AbortSignal): Promise<PodNetworkResult>;
  /** Takes everything back. Idempotent; `netnsPath` is `undefined` when the namespace is already gone. */
  teardown(sandbox: Omit<NetworkedSandbox, 'netnsPath'> & { readonly netnsPath: string | undefined }): Promise<void>;
  /** Rejects when the network of a running sandbox is broken; asked after the agent has started again. */
  check?(sandbox: NetworkedSandbox): Promise<void>;
  /** Called once at start with the sandboxes that still exist, to give back what was leaked to others. */
  reconcile?(sandboxes: readonly NetworkedSandbox[]): Promise<void>;
  /** `undefined` when ready, otherwise the reason why pods cannot be connected yet. */
  notReady?(): string | undefined;
  updatePodCidrs?(podCidrs: readonly string[]): Promise<void>;
}

export interface NetworkedSandbox {
  readonly id: string;
  /** A bind-mounted network namespace, good for `setns` and `ip netns`-style tools. */
  readonly netnsPath: string;
  readonly config: PodSandboxConfig;
}

export interface PodNetworkResult {
  /** The pod's addresses, the primary one first. */
  readonly ips: readonly string[];
}

export type RuntimeErrorCode =
  | 'AlreadyExists'
  | 'DeadlineExceeded'
  | 'FailedPrecondition'
  | 'Internal'
  | 'InvalidArgument'
  | 'NotFound'
  | 'PermissionDenied'
  | 'ResourceExhausted'
  | 'Unauthenticated'
  | 'Unavailable'
  | 'Unimplemented';

/** What went wrong, by gRPC's code names; the message is fit for a Kubernetes Event. */
export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
  readonly code: RuntimeErrorCode;

  constructor(code: RuntimeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export function isRuntimeError(error: unknown, code?: RuntimeErrorCode): error is RuntimeError {
  return error instanceof RuntimeError && (code === undefined || error.code === code);
}

export interface RuntimeVersion {
  /** The version of the runtime API: `v1`. */
  readonly version: string;
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  readonly runtimeApiVersion: string;
}

export interface RuntimeStatus {
  /** `RuntimeReady` and `NetworkReady` at least. */
  readonly conditions: readonly RuntimeCondition[];
  readonly runtimeHandlers: readonly RuntimeHandler[];
  readonly features: RuntimeFeatures;
  readonly info?: Readonly<Record<string, string>>;
}

export interface RuntimeCondition {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

export interface RuntimeHandler {
  /** The empty name is the default handler. */
  readonly name: string;
  readonly features: { readonly recursiveReadOnlyMounts: boolean; readonly userNamespaces: boolean };
}

export interface RuntimeFeatures {
  readonly supplementalGroupsPolicy: boolean;
}

export interface RuntimeConfig {
  readonly linux?: { readonly cgroupDriver: 'cgroupfs' | 'systemd' };
}

export type Labels = Readonly<Record<string, string>>;

export interface PodSandboxMetadata {
  readonly name: string;
  readonly uid: string;
  readonly namespace: string;
  readonly attempt: number;
}

export interface PodSandboxConfig {
  readonly metadata: PodSandboxMetadata;
  readonly hostname?: string;
  /** Where the container logs go; `ContainerConfig.logPath` is relative to it. */
  readonly logDirectory?: string;
  readonly dnsConfig?: DnsConfig;
  readonly portMappings?: readonly PortMapping[];
  readonly labels?: Labels;
  readonly annotations?: Labels;
  readonly linux?: LinuxPodSandboxConfig;
}

export interface DnsConfig {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

export interface PortMapping {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp?: string;
}

export interface LinuxPodSandboxConfig {
  /** The pod's cgroup, absolute from the cgroup root (`/kubepods/burstable/pod<uid>`); made when missing. */
  readonly cgroupParent?: string;
  readonly securityContext?: LinuxSandboxSecurityContext;
  readonly sysctls?: Labels;
  readonly overhead?: LinuxContainerResources;
  readonly resources?: LinuxContainerResources;
}

export interface LinuxSandboxSecurityContext {
  readonly namespaceOptions?: NamespaceOption;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly readonlyRootfs?: boolean;
  readonly supplementalGroups?: readonly number[];
  readonly supplementalGroupsPolicy?: SupplementalGroupsPolicy;
  readonly privileged?: boolean;
  readonly seccomp?: SecurityProfile;
  readonly apparmor?: SecurityProfile;
  readonly selinuxOptions?: SelinuxOption;
}

/** `pod` shares with the pod, `container` is private, `node` is the host's, `target` joins the container `targetId`. */
export type NamespaceMode = 'pod' | 'container' | 'node' | 'target';

export interface NamespaceOption {
  readonly network?: NamespaceMode;
  readonly pid?: NamespaceMode;
  readonly ipc?: NamespaceMode;
  readonly targetId?: string;
  readonly userns?: UserNamespace;
}

export interface UserNamespace {
  readonly mode: NamespaceMode;
  readonly uids: readonly IdMapping[];
  readonly gids: readonly IdMapping[];
}

export interface IdMapping {
  readonly hostId: number;
  readonly containerId: number;
  readonly length: number;
}

export type SupplementalGroupsPolicy = 'merge' | 'strict';

export interface SecurityProfile {
  readonly profileType: 'runtimeDefault' | 'unconfined' | 'localhost';
  /** For `localhost`: the absolute path of a seccomp profile, or the name of a loaded AppArmor profile. */
  readonly localhostRef?: string;
}

export interface SelinuxOption {
  readonly user?: string;
  readonly role?: string;
  readonly type?: string;
  readonly level?: string;
}

export type PodSandboxState = 'ready' | 'notReady';

export interface PodSandbox {
  readonly id: string;
  readonly metadata: PodSandboxMetadata;
  readonly state: PodSandboxState;
  readonly createdAtMs: number;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly runtimeHandler: string;
}

export interface PodSandboxStatus extends PodSandbox {
  /** Empty for a pod on the host's network: its addresses are the node's. */
  readonly network: { readonly ip: string; readonly additionalIps: readonly string[] };
  readonly linux: { readonly namespaces: NamespaceOption };
  /** `undefined` for a pod on the host's network, or once the sandbox has stopped. */
  readonly netnsPath: string | undefined;
}

export interface PodSandboxFilter {
  readonly id?: string;
  readonly state?: PodSandboxState;
  readonly labelSelector?: Labels;
}

export interface ContainerMetadata {
  readonly name: string;
  readonly attempt: number;
}

export interface ImageSpec {
  /** What was resolved: an id, a digest reference or a name. */
  readonly image: string;
  readonly annotations?: Labels;
  /** What the user wrote in the pod. */
  readonly userSpecifiedImage?: string;
  readonly runtimeHandler?: string;
}

export interface ContainerConfig {
  readonly metadata: ContainerMetadata;
  readonly image: ImageSpec;
  /** Replaces the image's entrypoint when not empty. */
  readonly command?: readonly string[];
  /** Replaces the image's cmd when not empty. */
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly envs?: readonly { readonly key: string; readonly value: string }[];
  readonly mounts?: readonly Mount[];
  readonly devices?: readonly Device[];
  /** Devices of the Container Device Interface by their full names: `vendor.com/class=name`. */
  readonly cdiDevices?: readonly string[];
  readonly labels?: Labels;
  readonly annotations?: Labels;
  /** Relative to the sandbox's log directory; empty: no log. */
  readonly logPath?: string;
  readonly stdin?: boolean;
  readonly stdinOnce?: boolean;
  readonly tty?: boolean;
  readonly linux?: LinuxContainerConfig;
  /** `SIGUSR1`; replaces the image's. */
  readonly stopSignal?: string;
}

export interface Mount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readonly?: boolean;
  readonly recursiveReadOnly?: boolean;
  readonly selinuxRelabel?: boolean;
  readonly propagation?: 'private' | 'hostToContainer' | 'bidirectional';
  /** In a pod with a user namespace: what belongs to the host's user 0 belongs to the pod's, and so on. */
  readonly idMapped?: boolean;
  /** An image volume: the image's content, read-only, in place of `hostPath`. */
  readonly image?: ImageSpec;
  readonly imageSubPath?: string;
}

export interface Device {
  readonly containerPath: string;
  readonly hostPath: string;
  /** cgroup access: any of `r`, `w`, `m`. */
  readonly permissions: string;
}

export interface LinuxContainerConfig {
  readonly resources?: LinuxContainerResources;
  readonly securityContext?: LinuxContainerSecurityContext;
}

/** A field that is absent is left alone. */
export interface LinuxContainerResources {
  readonly cpuPeriod?: number;
  readonly cpuQuota?: number;
  readonly cpuShares?: number;
  readonly memoryLimitBytes?: number;
  readonly memorySwapLimitBytes?: number;
  readonly oomScoreAdj?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limitBytes: number }[];
  /** The pod's or container's process limit; CRI leaves it to the kubelet's own cgroup writes. */
  readonly pidsLimit?: number;
  /** cgroup v2 files by name (`memory.min`, `memory.high`, …). */
  readonly unified?: Labels;
}

export interface LinuxContainerSecurityContext {
  readonly capabilities?: Capabilities;
  readonly privileged?: boolean;
  readonly namespaceOptions?: NamespaceOption;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  /** A name from the image's /etc/passwd; `runAsUser` wins. */
  readonly runAsUsername?: string;
  readonly readonlyRootfs?: boolean;
  readonly supplementalGroups?: readonly number[];
  readonly supplementalGroupsPolicy?: SupplementalGroupsPolicy;
  readonly noNewPrivs?: boolean;
  /** `undefined` means the runtime's default list; an empty list means none (procMount Unmasked). */
  readonly maskedPaths?: readonly string[];
  readonly readonlyPaths?: readonly string[];
  readonly seccomp?: SecurityProfile;
  readonly apparmor?: SecurityProfile;
  readonly selinuxOptions?: SelinuxOption;
}

/** Names with or without `CAP_`; `ALL` means all. */
export interface Capabilities {
  readonly addCapabilities?: readonly string[];
  readonly dropCapabilities?: readonly string[];
  readonly addAmbientCapabilities?: readonly string[];
}

export type ContainerState = 'created' | 'running' | 'exited' | 'unknown';

export interface Container {
  readonly id: string;
  readonly podSandboxId: string;
  readonly metadata: ContainerMetadata;
  readonly image: ImageSpec;
  /** `docker.io/library/busybox@sha256:…`, or the image id when it was loaded from a file. */
  readonly imageRef: string;
  /** The digest of the image's config: `sha256:…`. */
  readonly imageId: string;
  readonly state: ContainerState;
  readonly createdAtMs: number;
  readonly labels: Labels;
  readonly annotations: Labels;
}

export interface ContainerStatus extends Container {
  /** 0 while it has not started. */
  readonly startedAtMs: number;
  /** 0 while it has not exited. */
  readonly finishedAtMs: number;
  /** 128 + the signal's number when a signal ended it. */
  readonly exitCode: number;
  /** `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerStatusUnknown`; empty while it runs. */
  readonly reason: string;
  readonly message: string;
  readonly mounts: readonly Mount[];
  /** Absolute. */
  readonly logPath: string;
  readonly resources: LinuxContainerResources;
  readonly user: ContainerUser | undefined;
  readonly stopSignal: string;
  /** The main process on the host, while it runs in a runtime that has processes. */
  readonly pid: number | undefined;
}

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly supplementalGroups: readonly number[];
}

export interface ContainerFilter {
  readonly id?: string;
  readonly state?: ContainerState;
  readonly podSandboxId?: string;
  readonly labelSelector?: Labels;
}

export type ContainerStatsFilter = Omit<ContainerFilter, 'state'>;
export type PodSandboxStatsFilter = Omit<PodSandboxFilter, 'state'>;

export interface ContainerStats {
  readonly attributes: {
    readonly id: string;
    readonly podSandboxId: string;
    readonly metadata: ContainerMetadata;
    readonly labels: Labels;
    readonly annotations: Labels;
  };
  /** Absent while the container does not run. */
  readonly cpu?: CpuUsage;
  readonly memory?: MemoryUsage;
  readonly process?: ProcessUsage;
  readonly writableLayer?: FilesystemUsage;
}

export interface PodSandboxStats {
  readonly attributes: {
    readonly id: string;
    readonly metadata: PodSandboxMetadata;
    readonly labels: Labels;
    readonly annotations: Labels;
  };
  readonly cpu?: CpuUsage;
  readonly memory?: MemoryUsage;
  readonly network?: NetworkUsage;
  readonly process?: ProcessUsage;
  readonly containers: readonly ContainerStats[];
}

export interface CpuUsage {
  readonly timestampMs: number;
  readonly usageCoreNanoseconds: number;
  /** Averaged since the last time the same thing was asked; absent the first time. */
  readonly usageNanocores?: number;
}

export interface MemoryUsage {
  readonly timestampMs: number;
  /** Usage without the inactive file cache. */
  readonly workingSetBytes: number;
  /** The limit minus the working set; absent without a limit. */
  readonly availableBytes?: number;
  readonly usageBytes: number;
  readonly rssBytes: number;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
}

export interface ProcessUsage {
  readonly timestampMs: number;
  readonly processCount: number;
}

export interface NetworkUsage {
  readonly timestampMs: number;
  readonly defaultInterface?: NetworkInterfaceUsage;
  readonly interfaces: readonly NetworkInterfaceUsage[];
}

export interface NetworkInterfaceUsage {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxErrors: number;
  readonly txBytes: number;
  readonly txErrors: number;
}

export interface FilesystemUsage {
  readonly timestampMs: number;
  readonly mountpoint: string;
  readonly usedBytes: number;
  readonly inodesUsed: number;
}

export interface ExecSyncResult {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exitCode: number;
}

export interface ExecRequest {
  readonly command: readonly string[];
  /** With a terminal, stderr is part of stdout. */
  readonly tty?: boolean;
  readonly stdin?: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
}

export type AttachRequest = Omit<ExecRequest, 'command'>;

/** Streams that were not asked for are `undefined`. */
export interface ExecSession extends AttachSession {
  /** Resolves once the command has ended and both outputs have been handed over. */
  readonly exitCode: Promise<number>;
}

export interface AttachSession {
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  /** Resolves when the session is over: the process has ended, or the signal was aborted. */
  readonly closed: Promise<void>;
  /** Does nothing without a terminal. */
  resize(size: TerminalSize): void;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

export type ContainerEventType = 'created' | 'started' | 'stopped' | 'deleted';

/** As in CRI, a sandbox's own events carry the sandbox's id as `containerId`. */
export interface ContainerEvent {
  readonly type: ContainerEventType;
  readonly containerId: string;
  readonly podSandboxId: string;
  readonly createdAtMs: number;
  /** The sandbox and all its containers right after the change; `undefined` once the sandbox is removed. */
  readonly podSandboxStatus: PodSandboxStatus | undefined;
  readonly containersStatuses: readonly ContainerStatus[];
}

export interface Image {
  /** The digest of the image's config: `sha256:…`. */
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly sizeBytes: number;
  /** The numeric user of the image's config; absent when it names one. */
  readonly uid?: number;
  readonly username?: string;
  readonly spec: ImageSpec;
  readonly pinned: boolean;
}

export interface AuthConfig {
  readonly username?: string;
  readonly password?: string;
  /** base64 of `username:password`. */
  readonly auth?: string;
  readonly serverAddress?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

export interface ImageFsInfo {
  readonly imageFilesystems: readonly FilesystemUsage[];
  readonly containerFilesystems: readonly FilesystemUsage[];
}
