import { chmod, lstat, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Container, VolumeMount } from '#api/core/v1/pod-spec.ts';
import type { Mount } from '#runtime/runtime.ts';
import type { PodVolumes } from '#volumes/pod-volumes.ts';
import { bindSubPath } from '#volumes/sub-path.ts';
import { expand } from '../env/expansion.ts';
import { hostsFile } from './hosts-file.ts';

export interface MountParts {
  readonly pod: Pod;
  readonly container: Container;
  readonly attempt: number;
  readonly directory: string;
  readonly volumes: PodVolumes;
  readonly environment: ReadonlyMap<string, string>;
  readonly podIps: readonly string[];
  readonly clusterDomain: string;
}

/** Everything that is mounted into a container, in the order of the pod. Throws with upstream's words. */
export async function mountsOf(parts: MountParts): Promise<Mount[]> {
  const { container, pod, directory, podIps, clusterDomain } = parts;
  const mounts: Mount[] = [];
  for (const [index, mount] of (container.volumeMounts ?? []).entries())
    mounts.push(await mountOf(parts, mount, index));
  const has = (path: string) => mounts.some(({ containerPath }) => containerPath === path);
  if (!has('/etc/hosts')) {
    const hostPath = join(directory, 'etc-hosts');
    await mkdir(directory, { recursive: true, mode: 0o750 });
    await writeFile(hostPath, hostsFile(pod, podIps, clusterDomain));
    mounts.push({
      containerPath: '/etc/hosts',
      hostPath,
      readonly: container.securityContext?.readOnlyRootFilesystem ?? false,
    });
  }
  if (container.terminationMessagePath) mounts.push(await terminationLog(parts));
  return mounts;
}

async function mountOf(parts: MountParts, mount: VolumeMount, index: number): Promise<Mount> {
  const { container, pod, directory, volumes, environment } = parts;
  const volume = volumes.get(mount.name);
  if (!volume)
    throw new Error(
      `cannot find volume ${JSON.stringify(mount.name)} to mount into container ${JSON.stringify(container.name)}`,
    );
  const subPath = subPathOf(mount, environment);
  const containerPath = mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`;
  if (volume.kind === 'image') {
    const image = { image: volume.reference, userSpecifiedImage: volume.reference };
    return { containerPath, hostPath: '', readonly: true, image, ...(subPath !== '' && { imageSubPath: subPath }) };
  }
  let hostPath = volume.path;
  if (subPath !== '') {
    hostPath = join(directory, 'volume-subpaths', mount.name, container.name, String(index));
    await bindSubPath(volume.path, subPath, hostPath);
  } else if (!(await exists(hostPath)) && pod.spec?.volumes?.some(each => each.name === mount.name && each.hostPath)) {
    // A hostPath without a type comes to be with the first container, as a directory.
    await mkdir(hostPath, { recursive: true, mode: 0o755 });
  }
  const propagation =
    mount.mountPropagation === 'Bidirectional'
      ? ('bidirectional' as const)
      : mount.mountPropagation === 'HostToContainer'
        ? ('hostToContainer' as const)
        : ('private' as const);
  const isReadonly = volume.readonly || (mount.readOnly ?? false);
  const isRecursive = isReadonly && (mount.recursiveReadOnly === 'Enabled' || mount.recursiveReadOnly === 'IfPossible');
  return {
    containerPath,
    hostPath,
    readonly: isReadonly,
    propagation,
    ...(pod.spec?.hostUsers === false && { idMapped: true }),
    ...(isRecursive && { recursiveReadOnly: true }),
  };
}

function subPathOf({ subPath = '', subPathExpr }: VolumeMount, environment: ReadonlyMap<string, string>): string {
  if (!subPathExpr) return subPath;
  const missing: string[] = [];
  const path = expand(subPathExpr, name => {
    const value = environment.get(name);
    if (value === undefined) missing.push(name);
    return value;
  });
  if (missing.length > 0) throw new Error(`missing value for ${JSON.stringify(missing[0])}`);
  if (path.startsWith('/') || path.split('/').includes('..'))
    throw new Error(`subPath ${JSON.stringify(path)} must be a relative path without '..'`);
  return path;
}

/** A file of its own for each attempt, writable by whatever user the container runs as. */
async function terminationLog({ container, attempt, directory }: MountParts): Promise<Mount> {
  const parent = join(directory, 'containers', container.name);
  await mkdir(parent, { recursive: true, mode: 0o750 });
  const hostPath = join(parent, String(attempt));
  await writeFile(hostPath, '');
  await chmod(hostPath, 0o666);
  return { containerPath: container.terminationMessagePath, hostPath };
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}
