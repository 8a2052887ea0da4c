import type {
  ContainerConfig,
  ContainerFilter,
  ImageSpec,
  LinuxContainerResources,
  LinuxContainerSecurityContext,
  LinuxSandboxSecurityContext,
  Mount,
  NamespaceOption,
  PodSandboxConfig,
  PodSandboxFilter,
  SecurityProfile,
  UserNamespace,
} from '../runtime.ts';
import type { Message } from './codec.ts';

/** The contract's words as CRI's messages. `cgroupParent` is already as the runtime's cgroup driver wants it. */
export function sandboxConfigMessage(
  config: PodSandboxConfig,
  cgroupParent: string | undefined,
): Message<'PodSandboxConfig'> {
  const { linux } = config;
  return {
    metadata: config.metadata,
    hostname: config.hostname,
    log_directory: config.logDirectory,
    dns_config: config.dnsConfig,
    port_mappings: config.portMappings?.map(({ protocol, containerPort, hostPort, hostIp }) => ({
      protocol,
      container_port: containerPort,
      host_port: hostPort,
      host_ip: hostIp,
    })),
    labels: config.labels,
    annotations: config.annotations,
    // Runtimes reach into it without asking whether it is there.
    linux: {
      cgroup_parent: cgroupParent,
      security_context: sandboxSecurity(linux?.securityContext ?? {}),
      sysctls: linux?.sysctls,
      overhead: resourcesMessage(linux?.overhead),
      resources: resourcesMessage(linux?.resources),
    },
  };
}

function sandboxSecurity(security: LinuxSandboxSecurityContext): Message<'LinuxSandboxSecurityContext'> {
  return {
    namespace_options: namespaces(security.namespaceOptions ?? {}),
    selinux_options: security.selinuxOptions,
    run_as_user: wrapped(security.runAsUser),
    run_as_group: wrapped(security.runAsGroup),
    readonly_rootfs: security.readonlyRootfs,
    supplemental_groups: security.supplementalGroups,
    supplemental_groups_policy: security.supplementalGroupsPolicy,
    privileged: security.privileged,
    seccomp: profile(security.seccomp),
    apparmor: profile(security.apparmor),
  };
}

export function containerConfigMessage(config: ContainerConfig): Message<'ContainerConfig'> {
  return {
    metadata: config.metadata,
    image: imageMessage(config.image),
    command: config.command,
    args: config.args,
    working_dir: config.workingDir,
    envs: config.envs?.map(({ key, value }) => ({ key, value: Buffer.from(value) })),
    mounts: config.mounts?.map(each => mountMessage(each, config.linux?.securityContext?.namespaceOptions?.userns)),
    CDI_devices: config.cdiDevices?.map(name => ({ name })),
    devices: config.devices?.map(({ containerPath, hostPath, permissions }) => ({
      container_path: containerPath,
      host_path: hostPath,
      permissions,
    })),
    labels: config.labels,
    annotations: config.annotations,
    log_path: config.logPath,
    stdin: config.stdin,
    stdin_once: config.stdinOnce,
    tty: config.tty,
    linux: {
      resources: resourcesMessage(config.linux?.resources ?? {}),
      security_context: containerSecurity(config.linux?.securityContext ?? {}),
    },
    stop_signal: config.stopSignal,
  };
}

function containerSecurity(security: LinuxContainerSecurityContext): Message<'LinuxContainerSecurityContext'> {
  const { capabilities } = security;
  return {
    capabilities: capabilities && {
      add_capabilities: capabilities.addCapabilities,
      drop_capabilities: capabilities.dropCapabilities,
      add_ambient_capabilities: capabilities.addAmbientCapabilities,
    },
    privileged: security.privileged,
    namespace_options: namespaces({ pid: 'container', ...security.namespaceOptions }),
    selinux_options: security.selinuxOptions,
    run_as_user: wrapped(security.runAsUser),
    run_as_group: wrapped(security.runAsGroup),
    run_as_username: security.runAsUsername,
    readonly_rootfs: security.readonlyRootfs,
    supplemental_groups: security.supplementalGroups,
    supplemental_groups_policy: security.supplementalGroupsPolicy,
    no_new_privs: security.noNewPrivs,
    masked_paths: security.maskedPaths ?? (security.privileged ? [] : defaultMaskedPaths),
    readonly_paths: security.readonlyPaths ?? (security.privileged ? [] : defaultReadonlyPaths),
    seccomp: profile(security.seccomp),
    apparmor: profile(security.apparmor),
  };
}

/** In CRI an absent list is an empty one, so that the kubelet sends the defaults (upstream: securitycontext/util.go). */
const defaultMaskedPaths: readonly string[] = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
const defaultReadonlyPaths: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
];

function namespaces(options: NamespaceOption): Message<'NamespaceOption'> {
  return {
    network: options.network,
    pid: options.pid ?? 'container',
    ipc: options.ipc,
    target_id: options.targetId,
    userns_options: options.userns && {
      mode: options.userns.mode,
      uids: options.userns.uids.map(mapping),
      gids: options.userns.gids.map(mapping),
    },
  };
}

function mapping(map: { readonly hostId: number; readonly containerId: number; readonly length: number }) {
  return { host_id: map.hostId, container_id: map.containerId, length: map.length };
}

function mountMessage(mount: Mount, userns: UserNamespace | undefined): Message<'Mount'> {
  const isShifted = mount.idMapped && userns?.mode === 'pod';
  return {
    ...(isShifted && { uidMappings: userns.uids.map(mapping), gidMappings: userns.gids.map(mapping) }),
    container_path: mount.containerPath,
    host_path: mount.hostPath,
    readonly: mount.readonly,
    recursive_read_only: mount.recursiveReadOnly,
    selinux_relabel: mount.selinuxRelabel,
    propagation: mount.propagation,
    image: mount.image && imageMessage(mount.image),
    image_sub_path: mount.imageSubPath,
  };
}

export function imageMessage(image: ImageSpec): Message<'ImageSpec'> {
  return {
    image: image.image,
    annotations: image.annotations,
    user_specified_image: image.userSpecifiedImage,
    runtime_handler: image.runtimeHandler,
  };
}

export function resourcesMessage(
  resources: LinuxContainerResources | undefined,
): Message<'LinuxContainerResources'> | undefined {
  return (
    resources && {
      cpu_period: resources.cpuPeriod,
      cpu_quota: resources.cpuQuota,
      cpu_shares: resources.cpuShares,
      memory_limit_in_bytes: resources.memoryLimitBytes,
      memory_swap_limit_in_bytes: resources.memorySwapLimitBytes,
      oom_score_adj: resources.oomScoreAdj,
      cpuset_cpus: resources.cpusetCpus,
      cpuset_mems: resources.cpusetMems,
      hugepage_limits: resources.hugepageLimits?.map(({ pageSize, limitBytes }) => ({
        page_size: pageSize,
        limit: limitBytes,
      })),
      unified: resources.unified,
    }
  );
}

export function sandboxFilterMessage(filter: PodSandboxFilter = {}): Message<'PodSandboxFilter'> {
  return {
    id: filter.id,
    state: filter.state && { state: filter.state },
    label_selector: filter.labelSelector,
  };
}

export function containerFilterMessage(filter: ContainerFilter = {}): Message<'ContainerFilter'> {
  return {
    id: filter.id,
    state: filter.state && { state: filter.state },
    pod_sandbox_id: filter.podSandboxId,
    label_selector: filter.labelSelector,
  };
}

function profile(wanted: SecurityProfile | undefined): Message<'SecurityProfile'> | undefined {
  return wanted && { profile_type: wanted.profileType, localhost_ref: wanted.localhostRef };
}

function wrapped(value: number | undefined): { value: number } | undefined {
  return value === undefined ? undefined : { value };
}
