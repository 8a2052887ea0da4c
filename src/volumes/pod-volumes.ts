import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Volume } from '#api/core/v1/pod-spec.ts';
import { listMounts, unmountTree } from '#base/kernel/mount.ts';
import type { MountedVolume, VolumeObjects } from './plugin.ts';
import { volumePlugins } from './plugins.ts';

/** Why a pod cannot start yet, with the volume it is about. */
export class VolumeError extends Error {
  override readonly name = 'VolumeError';
}

export type PodVolumes = ReadonlyMap<string, MountedVolume>;

/** Mounts every volume of the pod, all at once, or brings what is mounted up to date. Idempotent. */
export async function setUpVolumes(
  pod: Pod,
  podDirectory: string,
  objects: VolumeObjects,
  nowMs: number,
): Promise<PodVolumes> {
  const volumes = pod.spec?.volumes ?? [];
  const mounted = await Promise.all(volumes.map(volume => setUp(pod, volume, podDirectory, objects, nowMs)));
  return new Map(volumes.map((volume, index) => [volume.name, mounted[index] as MountedVolume]));
}

async function setUp(
  pod: Pod,
  volume: Volume,
  podDirectory: string,
  objects: VolumeObjects,
  nowMs: number,
): Promise<MountedVolume> {
  const failed = (why: string, cause?: unknown) =>
    new VolumeError(`MountVolume.SetUp failed for volume ${JSON.stringify(volume.name)} : ${why}`, { cause });
  const plugin = volumePlugins.find(each => each.handles(volume));
  if (!plugin) throw failed(`no volume plugin matched: ${kindOf(volume)} is not supported by this node`);
  const parent = join(podDirectory, 'volumes', plugin.name);
  try {
    await mkdir(parent, { recursive: true, mode: 0o750 });
    return await plugin.setUp({ pod, volume, directory: join(parent, volume.name), objects, nowMs });
  } catch (error) {
    throw failed(error instanceof Error ? error.message : String(error), error);
  }
}

function kindOf(volume: Volume): string {
  return Object.keys(volume).find(key => key !== 'name') ?? 'an empty source';
}

/** Takes back everything that was mounted for a pod, and removes its directory. Never deletes what is mounted. */
export async function tearDownVolumes(podDirectory: string): Promise<void> {
  await unmountTree(podDirectory);
  if (listMounts().some(({ target }) => target.startsWith(`${podDirectory}/`)))
    throw new Error(`cannot remove ${podDirectory}: something is still mounted in it`);
  await rm(podDirectory, { recursive: true, force: true });
}
