import { checkDescendingPath } from './volume-validation.ts';
import { checkMessages, checkOneOf } from '../../machinery/checks.ts';
import { byteLength, isDNS1123Subdomain, isGroupId, isUserId } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';
import type {
  AppArmorProfile,
  PodSecurityContext,
  PodSpec,
  SeccompProfile,
  SecurityContext,
  Sysctl,
  WindowsSecurityContextOptions,
} from './pod-spec.ts';

/** Of a container. `report` stands at `securityContext`. */
export function validateSecurityContext(context: SecurityContext | undefined, spec: PodSpec, report: Report): void {
  if (!context) return;
  const { runAsUser, runAsGroup, procMount, privileged } = context;
  if (runAsUser !== undefined) checkMessages(isUserId(runAsUser), runAsUser, report.at('runAsUser'));
  if (runAsGroup !== undefined) checkMessages(isGroupId(runAsGroup), runAsGroup, report.at('runAsGroup'));
  if (procMount !== undefined) {
    checkOneOf(procMount, ['Default', 'Unmasked'], report.at('procMount'));
    if (procMount === 'Unmasked' && spec.hostUsers !== false)
      report.at('procMount').invalid(procMount, '`hostUsers` must be false to use `Unmasked`');
  }
  validateSeccomp(context.seccompProfile, report.at('seccompProfile'));
  if (context.allowPrivilegeEscalation === false) {
    if (privileged) report.invalid(context, 'cannot set `allowPrivilegeEscalation` to false and `privileged` to true');
    if (context.capabilities?.add?.includes('CAP_SYS_ADMIN'))
      report.invalid(context, 'cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN');
  }
  validateWindowsOptions(context.windowsOptions, report.at('windowsOptions'));
  validateAppArmor(context.appArmorProfile, report.at('appArmorProfile'));
}

/** Of a pod. `report` stands at `securityContext`. */
export function validatePodSecurityContext(spec: PodSpec, report: Report): void {
  const context: PodSecurityContext = spec.securityContext ?? {};
  const { fsGroup, runAsUser, runAsGroup, fsGroupChangePolicy, supplementalGroupsPolicy, seLinuxChangePolicy } =
    context;
  if (fsGroup !== undefined) checkMessages(isGroupId(fsGroup), fsGroup, report.at('fsGroup'));
  if (runAsUser !== undefined) checkMessages(isUserId(runAsUser), runAsUser, report.at('runAsUser'));
  if (runAsGroup !== undefined) checkMessages(isGroupId(runAsGroup), runAsGroup, report.at('runAsGroup'));
  for (const [index, group] of (context.supplementalGroups ?? []).entries())
    checkMessages(isGroupId(group), group, report.at('supplementalGroups').index(index));
  if (spec.shareProcessNamespace && spec.hostPID)
    report.at('shareProcessNamespace').invalid(true, 'ShareProcessNamespace and HostPID cannot both be enabled');
  validateSysctls(context.sysctls ?? [], spec, report.at('sysctls'));
  if (fsGroupChangePolicy !== undefined)
    checkOneOf(fsGroupChangePolicy, ['Always', 'OnRootMismatch'], report.at('fsGroupChangePolicy'));
  validateSeccomp(context.seccompProfile, report.at('seccompProfile'));
  validateWindowsOptions(context.windowsOptions, report.at('windowsOptions'));
  validateAppArmor(context.appArmorProfile, report.at('appArmorProfile'));
  if (supplementalGroupsPolicy !== undefined)
    checkOneOf(supplementalGroupsPolicy, ['Merge', 'Strict'], report.at('supplementalGroupsPolicy'));
  if (seLinuxChangePolicy !== undefined)
    // `MountOption` goes with SELinuxMount, which is off by default.
    checkOneOf(seLinuxChangePolicy, ['Recursive'], report.at('seLinuxChangePolicy'));
}

const sysctlSegment = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?';
const sysctlMessage = `must have at most 253 characters and match regex ^(${sysctlSegment}[\\./])*${sysctlSegment}$`;

function validateSysctls(sysctls: readonly Sysctl[], spec: PodSpec, report: Report): void {
  const names = new Set<string>();
  for (const [index, { name = '' }] of sysctls.entries()) {
    const at = report.index(index).at('name');
    if (name === '') at.required();
    else if (!isSysctlName(name)) at.invalid(name, sysctlMessage);
    else if (names.has(name)) at.duplicate(name);
    names.add(name);
    const dotted = name.includes('/') && !name.split('/')[0]?.includes('.') ? name.replaceAll('/', '.') : name;
    if (spec.hostNetwork && dotted.startsWith('net.'))
      at.invalid(name, "may not be specified when 'hostNetwork' is true");
    else if (spec.hostIPC && /^(?:kernel\.shm|kernel\.msg|fs\.mqueue\.|kernel\.sem$)/.test(dotted))
      at.invalid(name, "may not be specified when 'hostIPC' is true");
  }
}

function isSysctlName(name: string): boolean {
  if (name.length > 253) return false;
  return name.split(/[./]/).every(part => /^[a-z0-9][-_a-z0-9]*$/.test(part) && /[a-z0-9]$/.test(part));
}

function validateSeccomp(profile: SeccompProfile | undefined, report: Report): void {
  if (!profile) return;
  const { type, localhostProfile } = profile;
  if (!type) report.at('type').required('type is required when seccompProfile is set');
  else checkOneOf(type, ['Localhost', 'RuntimeDefault', 'Unconfined'], report.at('type'));
  const at = report.at('localhostProfile');
  if (type === 'Localhost') {
    if (localhostProfile === undefined) at.required('must be set when seccomp type is Localhost');
    else checkDescendingPath(localhostProfile, at);
  } else if (localhostProfile !== undefined) at.invalid(profile, 'can only be set when seccomp type is Localhost');
}

function validateAppArmor(profile: AppArmorProfile | undefined, report: Report): void {
  if (!profile) return;
  const { type, localhostProfile } = profile;
  const at = report.at('localhostProfile');
  if (!type) report.at('type').required('type is required when appArmorProfile is set');
  else if (type === 'Localhost') {
    if (localhostProfile === undefined) {
      at.required('must be set when AppArmor type is Localhost');
      return;
    }
    if (localhostProfile !== localhostProfile.trim())
      at.invalid(localhostProfile, 'must not be padded with whitespace');
    else if (localhostProfile === '') at.required('must be set when AppArmor type is Localhost');
    if (byteLength(localhostProfile) > 4095) at.tooLong(4095);
  } else if (type === 'RuntimeDefault' || type === 'Unconfined') {
    if (localhostProfile !== undefined) at.invalid(localhostProfile, 'can only be set when AppArmor type is Localhost');
  } else report.at('type').notSupported(type, ['Localhost', 'RuntimeDefault', 'Unconfined']);
}

function validateWindowsOptions(options: WindowsSecurityContextOptions | undefined, report: Report): void {
  if (!options) return;
  const { gmsaCredentialSpecName, gmsaCredentialSpec, runAsUserName } = options;
  if (gmsaCredentialSpecName !== undefined)
    checkMessages(
      isDNS1123Subdomain(gmsaCredentialSpecName),
      gmsaCredentialSpecName,
      report.at('gmsaCredentialSpecName'),
    );
  if (gmsaCredentialSpec !== undefined) {
    const at = report.at('gmsaCredentialSpec');
    if (gmsaCredentialSpec === '') at.invalid(gmsaCredentialSpec, 'gmsaCredentialSpec cannot be an empty string');
    else if (byteLength(gmsaCredentialSpec) > 64 * 1024)
      at.invalid(gmsaCredentialSpec, 'gmsaCredentialSpec size must be under 64 KiB');
  }
  if (runAsUserName !== undefined)
    for (const message of windowsUserMessages(runAsUserName))
      report.at('runAsUserName').invalid(runAsUserName, message);
}

function windowsUserMessages(name: string): readonly string[] {
  if (name === '') return ['runAsUserName cannot be an empty string'];
  if (/[\x00-\x1f\x7f]/.test(name)) return ['runAsUserName cannot contain control characters'];
  const parts = name.split('\\');
  if (parts.length > 2) return ['runAsUserName cannot contain more than one backslash'];
  const user = parts.at(-1) ?? '';
  const domain = parts.length === 2 ? parts[0] : undefined;
  const messages: string[] = [];
  if (domain !== undefined) {
    if (byteLength(domain) >= 256) messages.push("runAsUserName's Domain length must be under 256 characters");
    const isDns = domain.split('.').every(part => /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(part));
    if (!isDns && !/^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$/.test(domain))
      messages.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
  }
  if (user === '') messages.push("runAsUserName's User cannot be empty");
  else if (byteLength(user) > 104) messages.push("runAsUserName's User length must not be longer than 104 characters");
  if (/^[. ]+$/.test(user)) messages.push("runAsUserName's User cannot contain only periods or spaces");
  if (/["/\\:;|=,+*?<>@[\]]/.test(user))
    messages.push(`runAsUserName's User cannot contain the following characters: "/\\:;|=,+*?<>@[]`);
  return messages;
}
