import { statfsSync } from 'node:fs';
import { parseGoDuration } from '#api/machinery/duration.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Image, Runtime } from '#runtime/runtime.ts';
import type { KubeletConfiguration } from '../configuration.ts';

export interface ImageCollectorOptions {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Log;
  readonly configuration: KubeletConfiguration;
  readonly rootDir: string;
  /** The ids of all images that there are. */
  readonly known?: (ids: ReadonlySet<string>) => void;
}

/** Upstream's. */
const everyMs = 300_000;

/** Removes images that no container uses when the disk gets full, those unused for longest first. */
export class ImageCollector implements Disposable {
  readonly #options: ImageCollectorOptions;
  readonly #lastUsedMs = new Map<string, number>();
  #cancel = () => {};

  constructor(options: ImageCollectorOptions) {
    this.#options = options;
    this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }

  #schedule(): void {
    const { clock, log } = this.#options;
    this.#cancel = clock.after(everyMs, () => {
      this.#collect()
        .catch((error: unknown) => log.warn('cannot remove unused images', { error }))
        .finally(() => this.#schedule());
    });
  }

  /** All of them, because the disk is full; answers whether there was one. */
  async removeUnused(): Promise<boolean> {
    const unused = await this.#unused();
    await this.#remove(unused);
    return unused.length > 0;
  }

  async #unused(): Promise<readonly Image[]> {
    const { runtime, clock } = this.#options;
    const nowMs = clock.now();
    const [images, containers] = await Promise.all([runtime.listImages(), runtime.listContainers()]);
    this.#options.known?.(new Set(images.map(({ id }) => id)));
    const used = new Set(containers.map(({ imageId }) => imageId));
    for (const { id } of images) if (used.has(id) || !this.#lastUsedMs.has(id)) this.#lastUsedMs.set(id, nowMs);
    return images.filter(({ id, pinned }) => !pinned && !used.has(id));
  }

  async #remove(images: readonly Image[]): Promise<void> {
    const { runtime, log } = this.#options;
    for (const { id, sizeBytes } of images) {
      log.info('removing an unused image', { image: id, sizeBytes });
      await runtime.removeImage({ image: id });
      this.#lastUsedMs.delete(id);
    }
  }

  async #collect(): Promise<void> {
    const { clock, rootDir, configuration } = this.#options;
    const { imageGCHighThresholdPercent, imageGCLowThresholdPercent } = configuration;
    const ageMsMin = parseGoDuration(configuration.imageMinimumGCAge);
    const ageMsMax = parseGoDuration(configuration.imageMaximumGCAge);
    const nowMs = clock.now();
    const unused = await this.#unused();
    if (ageMsMax > 0)
      await this.#remove(unused.filter(({ id }) => nowMs - (this.#lastUsedMs.get(id) ?? nowMs) > ageMsMax));
    const left = unused.filter(({ id }) => this.#lastUsedMs.has(id));
    const disk = statfsSync(rootDir);
    const usedShare = 1 - disk.bavail / disk.blocks;
    if (usedShare * 100 < imageGCHighThresholdPercent) return;
    const bytes = (usedShare - imageGCLowThresholdPercent / 100) * disk.blocks * disk.bsize;
    await this.#remove(toRemove(left, this.#lastUsedMs, bytes, nowMs, ageMsMin));
  }
}

/** Which images to remove to free so many bytes. Pure. */
export function toRemove(
  unused: readonly Image[],
  lastUsedMs: ReadonlyMap<string, number>,
  bytes: number,
  nowMs: number,
  ageMsMin: number,
): readonly Image[] {
  const chosen: Image[] = [];
  let freed = 0;
  const since = ({ id }: Image) => lastUsedMs.get(id) ?? nowMs;
  for (const image of unused.toSorted((a, b) => since(a) - since(b))) {
    if (freed >= bytes || nowMs - since(image) < ageMsMin) break;
    chosen.push(image);
    freed += image.sizeBytes;
  }
  return chosen;
}
