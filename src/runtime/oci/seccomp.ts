import { RuntimeError } from '../runtime.ts';

/** The OCI form that crun takes. */
export interface OciSeccomp {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly flags?: readonly string[];
  readonly syscalls: readonly OciSyscallRule[];
}

interface OciSyscallRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly unknown[];
}

/** A profile file as Docker, Podman and the security-profiles operator write it: OCI with conditions. */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly archMap?: readonly { readonly architecture: string; readonly subArchitectures?: readonly string[] }[];
  readonly flags?: readonly string[];
  readonly syscalls?: readonly SeccompRule[];
}

interface SeccompRule extends OciSyscallRule {
  readonly name?: string;
  readonly includes?: SeccompCondition;
  readonly excludes?: SeccompCondition;
}

interface SeccompCondition {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
}

/** Resolves a profile's conditions for the capabilities a container has. */
export function compileSeccomp(
  profile: SeccompProfile,
  capabilities: readonly string[],
  architecture: string = process.arch,
): OciSeccomp {
  const own = ociArchitectures[architecture];
  const architectures =
    profile.architectures ??
    profile.archMap
      ?.filter(entry => entry.architecture === own?.[0])
      .flatMap(entry => [entry.architecture, ...(entry.subArchitectures ?? [])]) ??
    own;
  const holds = (condition: SeccompCondition | undefined) =>
    condition !== undefined &&
    ((condition.caps ?? []).some(name => capabilities.includes(name)) ||
      (condition.arches ?? []).some(name => name === goArchitectures[architecture]));
  const isEmpty = (condition: SeccompCondition | undefined) => !condition?.caps?.length && !condition?.arches?.length;
  const syscalls = (profile.syscalls ?? [])
    .filter(rule => (isEmpty(rule.includes) || holds(rule.includes)) && !holds(rule.excludes))
    .map(({ names, name, action, errnoRet, args }) => ({
      names: names ?? (name ? [name] : []),
      action,
      ...(errnoRet === undefined ? {} : { errnoRet }),
      ...(args?.length ? { args } : {}),
    }));
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures?.length ? { architectures } : {}),
    ...(profile.flags?.length ? { flags: profile.flags } : {}),
    syscalls,
  };
}

export function parseSeccompProfile(text: string, path: string): SeccompProfile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new RuntimeError('InvalidArgument', `cannot load seccomp profile "${path}": not JSON`, { cause });
  }
  if (
    typeof value === 'object' &&
    value !== null &&
    'defaultAction' in value &&
    typeof value.defaultAction === 'string'
  )
    return value as SeccompProfile;
  throw new RuntimeError('InvalidArgument', `cannot load seccomp profile "${path}": no defaultAction`);
}

/** The native architecture first, then those whose programs it runs as well. */
const ociArchitectures: Readonly<Record<string, readonly string[] | undefined>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
};

const goArchitectures: Readonly<Record<string, string | undefined>> = { x64: 'amd64', arm64: 'arm64' };
