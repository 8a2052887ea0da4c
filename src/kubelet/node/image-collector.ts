import { statfsSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Image, Runtime } from '#runtime/runtime.ts';
import type { PodWorker } from '../pods/worker.ts';

export interface ImageCollectorOptions {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Log;
  readonly workers: ReadonlyMap<string, PodWorker>;
  readonly rootDir: string;
}

/** Upstream's: looks every five minutes, begins above 85 % of the disk, frees down to 80 %, spares young images. */
const everyMs = 300_000;
const highShare = 0.85;
const lowShare = 0.8;
const ageMsMin = 120_000;

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

  async #collect(): Promise<void> {
    const { runtime, clock, rootDir, log } = this.#options;
    const nowMs = clock.now();
    const [images, containers] = await Promise.all([runtime.listImages(), runtime.listContainers()]);
    const used = new Set(containers.map(({ imageId }) => imageId));
    for (const { id } of images) if (used.has(id) || !this.#lastUsedMs.has(id)) this.#lastUsedMs.set(id, nowMs);
    const disk = statfsSync(rootDir);
    const usedShare = 1 - disk.bavail / disk.blocks;
    if (usedShare < highShare) return;
    const unused = images.filter(({ id, pinned }) => !pinned && !used.has(id));
    for (const { id, sizeBytes } of toRemove(
      unused,
      this.#lastUsedMs,
      (usedShare - lowShare) * disk.blocks * disk.bsize,
      nowMs,
    )) {
      log.info('removing an unused image', { image: id, sizeBytes });
      await runtime.removeImage({ image: id });
      this.#lastUsedMs.delete(id);
    }
  }
}

/** Which images to remove to free so many bytes. Pure. */
export function toRemove(
  unused: readonly Image[],
  lastUsedMs: ReadonlyMap<string, number>,
  bytes: number,
  nowMs: number,
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
