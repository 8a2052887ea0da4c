import type {
  Container,
  ContainerStats,
  ContainerStatus,
  CpuUsage,
  FilesystemUsage,
  Image,
  ImageSpec,
  LinuxContainerResources,
  MemoryUsage,
  Mount,
  NamespaceOption,
  NetworkInterfaceUsage,
  NetworkUsage,
  PodSandbox,
  PodSandboxMetadata,
  PodSandboxStats,
  PodSandboxStatus,
} from '../runtime.ts';
import type { Integer, Received } from './codec.ts';

type Info = Readonly<Record<string, string>>;

/** CRI's messages in the contract's words. */
export function sandboxOf(sandbox: Received<'PodSandbox'> | Received<'PodSandboxStatus'>): PodSandbox {
  return {
    id: sandbox.id,
    metadata: sandboxMetadata(sandbox.metadata),
    state: sandbox.state,
    createdAtMs: milliseconds(sandbox.created_at),
    labels: sandbox.labels,
    annotations: sandbox.annotations,
    runtimeHandler: sandbox.runtime_handler,
  };
}

/** `info` is what the runtime says when asked to be verbose: JSON that containerd and CRI-O shape alike. */
export function sandboxStatusOf(status: Received<'PodSandboxStatus'>, info: Info): PodSandboxStatus {
  const { network } = status;
  const options = status.linux?.namespaces?.options;
  const onHost = options?.network === 'node';
  return {
    ...sandboxOf(status),
    network: onHost
      ? { ip: '', additionalIps: [] }
      : { ip: network?.ip ?? '', additionalIps: network?.additional_ips.map(({ ip }) => ip) ?? [] },
    linux: { namespaces: options ? namespacesOf(options) : {} },
    netnsPath: onHost || status.state !== 'ready' ? undefined : netnsPathIn(verbose(info)),
  };
}

export function containerOf(container: Received<'Container'>): Container {
  return {
    id: container.id,
    podSandboxId: container.pod_sandbox_id,
    metadata: container.metadata ?? noContainerMetadata,
    image: imageSpecOf(container.image),
    imageRef: container.image_ref,
    imageId: container.image_id || imageIdIn(container.image_ref),
    state: container.state,
    createdAtMs: milliseconds(container.created_at),
    labels: container.labels,
    annotations: container.annotations,
  };
}

/** The sandbox's id is only in the verbose part, so that it comes from the caller when it knows. */
export function containerStatusOf(
  status: Received<'ContainerStatus'>,
  info: Info,
  known: { readonly podSandboxId: string; readonly imageId: string },
): ContainerStatus {
  const details = verbose(info);
  const pid = numberIn(details.pid);
  return {
    id: status.id,
    podSandboxId: known.podSandboxId,
    metadata: status.metadata ?? noContainerMetadata,
    image: imageSpecOf(status.image),
    imageRef: status.image_ref,
    imageId: status.image_id || known.imageId || imageIdIn(status.image_ref),
    state: status.state,
    createdAtMs: milliseconds(status.created_at),
    startedAtMs: milliseconds(status.started_at),
    finishedAtMs: milliseconds(status.finished_at),
    exitCode: status.exit_code,
    reason: reasons[status.reason] ?? status.reason,
    message: status.message,
    labels: status.labels,
    annotations: status.annotations,
    mounts: status.mounts.map(mountOf),
    logPath: status.log_path,
    resources: status.resources?.linux ? resourcesOf(status.resources.linux) : {},
    user: status.user?.linux && {
      uid: Number(status.user.linux.uid),
      gid: Number(status.user.linux.gid),
      supplementalGroups: status.user.linux.supplemental_groups.map(Number),
    },
    stopSignal: status.stop_signal,
    pid: status.state === 'running' && pid ? pid : undefined,
  };
}

/** Which sandbox a container is in, by the verbose part of its status. */
export function sandboxIdIn(info: Info): string | undefined {
  const { sandboxID } = verbose(info);
  return typeof sandboxID === 'string' ? sandboxID : undefined;
}

/** The pod's own control group, by the verbose part of a sandbox's status; containerd and CRI-O keep the config there. */
export function cgroupParentIn(info: Info): string | undefined {
  const { config, runtimeSpec } = verbose(info) as {
    readonly config?: { readonly linux?: { readonly cgroup_parent?: unknown } };
    readonly runtimeSpec?: { readonly annotations?: Info };
  };
  const parent = config?.linux?.cgroup_parent ?? runtimeSpec?.annotations?.['io.kubernetes.cri-o.CgroupParent'];
  if (typeof parent !== 'string') return undefined;
  // systemd's name for it is the whole path.
  if (parent.endsWith('.slice')) return `/${parent.slice(0, -'.slice'.length).split('-').join('/')}`;
  return parent.startsWith('/') && parent !== '/' ? parent : undefined;
}

/** The name of a container's own control group, by the OCI spec in the verbose part of its status. */
export function cgroupsPathIn(info: Info): string | undefined {
  const { runtimeSpec } = verbose(info) as { readonly runtimeSpec?: { readonly linux?: { cgroupsPath?: unknown } } };
  const path = runtimeSpec?.linux?.cgroupsPath;
  return typeof path === 'string' && path !== '' ? path : undefined;
}

/** By containerd's configuration, which it shows in the verbose part of its status. */
export function usesSystemdCgroups(info: Info): boolean {
  const { containerd } = parsed(info.config) as {
    readonly containerd?: {
      readonly defaultRuntimeName?: string;
      readonly runtimes?: Readonly<Record<string, { readonly options?: { readonly SystemdCgroup?: unknown } }>>;
    };
  };
  return containerd?.runtimes?.[containerd.defaultRuntimeName ?? '']?.options?.SystemdCgroup === true;
}

/** containerd's word for a container whose exit it has not seen. */
const reasons: Readonly<Record<string, string>> = Object.assign(Object.create(null), {
  Unknown: 'ContainerStatusUnknown',
}) as Record<string, string>;

export function containerStatsOf(stats: Received<'ContainerStats'>, podSandboxId: string): ContainerStats {
  const { attributes, cpu, memory, writable_layer: layer } = stats;
  return {
    attributes: {
      id: attributes?.id ?? '',
      podSandboxId,
      metadata: attributes?.metadata ?? noContainerMetadata,
      labels: attributes?.labels ?? {},
      annotations: attributes?.annotations ?? {},
    },
    ...(cpu?.usage_core_nano_seconds && { cpu: cpuOf(cpu) }),
    ...(memory?.working_set_bytes && { memory: memoryOf(memory) }),
    ...(layer && { writableLayer: filesystemOf(layer) }),
  };
}

export function sandboxStatsOf(stats: Received<'PodSandboxStats'>): PodSandboxStats {
  const { attributes, linux } = stats;
  const id = attributes?.id ?? '';
  const { cpu, memory, network, process } = linux ?? {};
  return {
    attributes: {
      id,
      metadata: sandboxMetadata(attributes?.metadata),
      labels: attributes?.labels ?? {},
      annotations: attributes?.annotations ?? {},
    },
    ...(cpu?.usage_core_nano_seconds && { cpu: cpuOf(cpu) }),
    ...(memory?.working_set_bytes && { memory: memoryOf(memory) }),
    ...(network && { network: networkOf(network) }),
    ...(process && {
      process: { timestampMs: milliseconds(process.timestamp), processCount: valueOf(process.process_count) },
    }),
    containers: linux?.containers.map(container => containerStatsOf(container, id)) ?? [],
  };
}

function cpuOf(cpu: Received<'CpuUsage'>): CpuUsage {
  return {
    timestampMs: milliseconds(cpu.timestamp),
    usageCoreNanoseconds: valueOf(cpu.usage_core_nano_seconds),
    ...(cpu.usage_nano_cores && { usageNanocores: valueOf(cpu.usage_nano_cores) }),
  };
}

function memoryOf(memory: Received<'MemoryUsage'>): MemoryUsage {
  const available = valueOf(memory.available_bytes);
  return {
    timestampMs: milliseconds(memory.timestamp),
    workingSetBytes: valueOf(memory.working_set_bytes),
    // containerd sends 0 for a container without a limit.
    ...(available > 0 && { availableBytes: available }),
    usageBytes: valueOf(memory.usage_bytes),
    rssBytes: valueOf(memory.rss_bytes),
    pageFaults: valueOf(memory.page_faults),
    majorPageFaults: valueOf(memory.major_page_faults),
  };
}

function networkOf(network: Received<'NetworkUsage'>): NetworkUsage {
  return {
    timestampMs: milliseconds(network.timestamp),
    ...(network.default_interface && { defaultInterface: interfaceOf(network.default_interface) }),
    interfaces: network.interfaces.map(interfaceOf),
  };
}

function interfaceOf(usage: Received<'NetworkInterfaceUsage'>): NetworkInterfaceUsage {
  return {
    name: usage.name,
    rxBytes: valueOf(usage.rx_bytes),
    rxErrors: valueOf(usage.rx_errors),
    txBytes: valueOf(usage.tx_bytes),
    txErrors: valueOf(usage.tx_errors),
  };
}

export function filesystemOf(usage: Received<'FilesystemUsage'>): FilesystemUsage {
  return {
    timestampMs: milliseconds(usage.timestamp),
    mountpoint: usage.fs_id?.mountpoint ?? '',
    usedBytes: valueOf(usage.used_bytes),
    inodesUsed: valueOf(usage.inodes_used),
  };
}

export function imageOf(image: Received<'Image'>): Image {
  return {
    id: image.id,
    repoTags: image.repo_tags,
    repoDigests: image.repo_digests,
    sizeBytes: Number(image.size),
    ...(image.uid && { uid: Number(image.uid.value) }),
    ...(image.username && { username: image.username }),
    spec: imageSpecOf(image.spec),
    pinned: image.pinned,
  };
}

/** Zero is CRI's absent. */
export function resourcesOf(resources: Received<'LinuxContainerResources'>): LinuxContainerResources {
  const all = {
    cpuPeriod: Number(resources.cpu_period),
    cpuQuota: Number(resources.cpu_quota),
    cpuShares: Number(resources.cpu_shares),
    memoryLimitBytes: Number(resources.memory_limit_in_bytes),
    memorySwapLimitBytes: Number(resources.memory_swap_limit_in_bytes),
    oomScoreAdj: Number(resources.oom_score_adj),
    cpusetCpus: resources.cpuset_cpus,
    cpusetMems: resources.cpuset_mems,
  };
  return {
    ...(Object.fromEntries(Object.entries(all).filter(([, value]) => value)) as typeof all),
    ...(resources.hugepage_limits.length > 0 && {
      hugepageLimits: resources.hugepage_limits.map(({ page_size: pageSize, limit }) => ({
        pageSize,
        limitBytes: Number(limit),
      })),
    }),
    ...(Object.keys(resources.unified).length > 0 && { unified: resources.unified }),
  };
}

function mountOf(mount: Received<'Mount'>): Mount {
  return {
    containerPath: mount.container_path,
    hostPath: mount.host_path,
    readonly: mount.readonly,
    recursiveReadOnly: mount.recursive_read_only,
    selinuxRelabel: mount.selinux_relabel,
    propagation: mount.propagation,
    ...(mount.image && { image: imageSpecOf(mount.image), imageSubPath: mount.image_sub_path }),
  };
}

function imageSpecOf(spec: Received<'ImageSpec'> | undefined): ImageSpec {
  return {
    image: spec?.image ?? '',
    ...(spec?.user_specified_image && { userSpecifiedImage: spec.user_specified_image }),
    ...(spec?.runtime_handler && { runtimeHandler: spec.runtime_handler }),
    ...(spec && Object.keys(spec.annotations).length > 0 && { annotations: spec.annotations }),
  };
}

function namespacesOf(options: Received<'NamespaceOption'>): NamespaceOption {
  const { userns_options: userns } = options;
  return {
    network: options.network,
    pid: options.pid,
    ipc: options.ipc,
    ...(options.target_id && { targetId: options.target_id }),
    ...(userns && { userns: { mode: userns.mode, uids: userns.uids.map(idsOf), gids: userns.gids.map(idsOf) } }),
  };
}

function idsOf(ids: Received<'IDMapping'>) {
  return { hostId: ids.host_id, containerId: ids.container_id, length: ids.length };
}

function sandboxMetadata(metadata: Received<'PodSandboxMetadata'> | undefined): PodSandboxMetadata {
  return metadata ?? { name: '', uid: '', namespace: '', attempt: 0 };
}

const noContainerMetadata = { name: '', attempt: 0 };

/** The reference of an image that was loaded from a file is its id. */
function imageIdIn(reference: string): string {
  return /^(sha256:)?[0-9a-f]{64}$/.test(reference) ? reference : '';
}

function valueOf(wrapped: { readonly value: Integer } | undefined): number {
  return Number(wrapped?.value ?? 0);
}

/** CRI's times are nanoseconds, which a number does not hold. */
function milliseconds(nanoseconds: Integer): number {
  return typeof nanoseconds === 'bigint' ? Number(nanoseconds / 1_000_000n) : Math.trunc(nanoseconds / 1e6);
}

function verbose(info: Info): Readonly<Record<string, unknown>> {
  return parsed(info.info);
}

/** The verbose parts are not covered by any promise: what does not fit counts as not said. */
function parsed(text = '{}'): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function netnsPathIn(details: Readonly<Record<string, unknown>>): string | undefined {
  const { runtimeSpec } = details as {
    readonly runtimeSpec?: { readonly linux?: { readonly namespaces?: readonly { type?: unknown; path?: unknown }[] } };
  };
  const found = runtimeSpec?.linux?.namespaces?.find(({ type }) => type === 'network')?.path;
  if (typeof found === 'string' && found !== '') return found;
  const pid = numberIn(details.pid);
  return pid ? `/proc/${pid}/ns/net` : undefined;
}

function numberIn(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}
