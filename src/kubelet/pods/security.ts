import type { Pod } from '#api/core/v1/pod.ts';
import type { AppArmorProfile, Container, SeccompProfile } from '#api/core/v1/pod-spec.ts';
import type {
  Image,
  LinuxContainerSecurityContext,
  LinuxSandboxSecurityContext,
  NamespaceOption,
  SecurityProfile,
  UserNamespace,
} from '#runtime/runtime.ts';
import { podText } from './names.ts';

export interface SecurityDefaults {
  /** Where Localhost seccomp profiles are. */
  readonly seccompDirectory: string;
  /** The pod's own users; absent: the host's. */
  readonly userNamespace?: UserNamespace | undefined;
}

export function sandboxSecurity(pod: Pod, defaults: SecurityDefaults): LinuxSandboxSecurityContext {
  const { securityContext: context = {} } = pod.spec ?? {};
  const { runAsUser, runAsGroup, seLinuxOptions } = context;
  const isPrivileged = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].some(
    each => each.securityContext?.privileged,
  );
  return {
    namespaceOptions: namespaces(pod, defaults),
    privileged: isPrivileged,
    supplementalGroups: groups(pod),
    seccomp: seccompOf(context.seccompProfile, defaults),
    ...(runAsUser !== undefined && { runAsUser }),
    ...(runAsGroup !== undefined && { runAsGroup }),
    ...(seLinuxOptions && { selinuxOptions: seLinuxOptions }),
  };
}

export function containerSecurity(
  pod: Pod,
  container: Container,
  targetId: string | undefined,
  defaults: SecurityDefaults,
): LinuxContainerSecurityContext {
  const ofPod = pod.spec?.securityContext ?? {};
  const own = container.securityContext ?? {};
  const runAsUser = own.runAsUser ?? ofPod.runAsUser;
  const runAsGroup = own.runAsGroup ?? ofPod.runAsGroup;
  const selinuxOptions = own.seLinuxOptions ?? ofPod.seLinuxOptions;
  const apparmor = apparmorOf(own.appArmorProfile ?? ofPod.appArmorProfile);
  return {
    privileged: own.privileged ?? false,
    readonlyRootfs: own.readOnlyRootFilesystem ?? false,
    noNewPrivs: own.allowPrivilegeEscalation === false && !own.privileged,
    namespaceOptions: {
      ...namespaces(pod, defaults),
      ...(targetId !== undefined && { pid: 'target' as const, targetId }),
    },
    supplementalGroups: groups(pod),
    ...(ofPod.supplementalGroupsPolicy === 'Strict' && { supplementalGroupsPolicy: 'strict' as const }),
    seccomp: own.privileged
      ? { profileType: 'unconfined' }
      : seccompOf(own.seccompProfile ?? ofPod.seccompProfile, defaults),
    ...(own.capabilities && {
      capabilities: { addCapabilities: own.capabilities.add ?? [], dropCapabilities: own.capabilities.drop ?? [] },
    }),
    ...(own.procMount === 'Unmasked' && { maskedPaths: [], readonlyPaths: [] }),
    ...(runAsUser !== undefined && { runAsUser }),
    ...(runAsGroup !== undefined && { runAsGroup }),
    ...(selinuxOptions && { selinuxOptions }),
    ...(apparmor && { apparmor }),
  };
}

/** Why the image may not run: it would run as root, or may. */
export function rootRefusal(pod: Pod, container: Container, image: Image): string | undefined {
  const ofPod = pod.spec?.securityContext ?? {};
  const own = container.securityContext ?? {};
  if (!(own.runAsNonRoot ?? ofPod.runAsNonRoot)) return undefined;
  const where = `(pod: ${JSON.stringify(podText(pod))}, container: ${container.name})`;
  const user = own.runAsUser ?? ofPod.runAsUser;
  if (user === 0) return `container's runAsUser breaks non-root policy ${where}`;
  if (user !== undefined) return undefined;
  if (image.uid !== undefined)
    return image.uid === 0 ? `container has runAsNonRoot and image will run as root ${where}` : undefined;
  if (!image.username) return `container has runAsNonRoot and image will run as root ${where}`;
  return `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root ${where}`;
}

function namespaces(pod: Pod, { userNamespace }: SecurityDefaults): NamespaceOption {
  const { hostNetwork, hostPID, hostIPC, shareProcessNamespace } = pod.spec ?? {};
  return {
    network: hostNetwork ? 'node' : 'pod',
    pid: hostPID ? 'node' : shareProcessNamespace ? 'pod' : 'container',
    ipc: hostIPC ? 'node' : 'pod',
    ...(userNamespace && { userns: userNamespace }),
  };
}

function groups(pod: Pod): readonly number[] {
  const { supplementalGroups = [], fsGroup } = pod.spec?.securityContext ?? {};
  return fsGroup === undefined ? supplementalGroups : [...supplementalGroups, fsGroup];
}

/** Without a word from the pod a container gets the runtime's filter, not none. */
function seccompOf(profile: SeccompProfile | undefined, { seccompDirectory }: SecurityDefaults): SecurityProfile {
  if (!profile || profile.type === 'RuntimeDefault') return { profileType: 'runtimeDefault' };
  if (profile.type === 'Unconfined') return { profileType: 'unconfined' };
  return { profileType: 'localhost', localhostRef: `${seccompDirectory}/${profile.localhostProfile ?? ''}` };
}

function apparmorOf(profile: AppArmorProfile | undefined): SecurityProfile | undefined {
  if (!profile) return undefined;
  if (profile.type === 'RuntimeDefault') return { profileType: 'runtimeDefault' };
  if (profile.type === 'Unconfined') return { profileType: 'unconfined' };
  return { profileType: 'localhost', localhostRef: profile.localhostProfile ?? '' };
}
