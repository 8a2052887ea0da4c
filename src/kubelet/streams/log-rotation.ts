import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { wholeValue } from '#api/machinery/quantity.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Runtime } from '#runtime/runtime.ts';
import type { KubeletConfiguration } from '../configuration.ts';
import type { PodWorker } from '../pods/worker.ts';

export interface LogRotationOptions {
  readonly runtime: Pick<Runtime, 'reopenContainerLog'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly workers: ReadonlyMap<string, PodWorker>;
  readonly configuration: Pick<KubeletConfiguration, 'containerLogMaxSize' | 'containerLogMaxFiles'>;
}

const everyMs = 10_000;

/** Keeps a container's logs at so many files of such a size: the kernel tells nobody of a file's size, so they are looked at. */
export class LogRotation implements Disposable {
  readonly #options: LogRotationOptions;
  #cancel = () => {};
  #closed = false;

  constructor(options: LogRotationOptions) {
    this.#options = options;
    this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#cancel();
  }

  #schedule(): void {
    if (this.#closed) return;
    const { clock } = this.#options;
    this.#cancel = clock.after(everyMs, () => void this.#rotateAll().finally(() => this.#schedule()));
  }

  async #rotateAll(): Promise<void> {
    const { workers, runtime, clock, log, configuration } = this.#options;
    const limits = {
      sizeBytes: wholeValue(configuration.containerLogMaxSize),
      files: configuration.containerLogMaxFiles,
    };
    for (const worker of workers.values())
      for (const { id, logPath } of worker.running) {
        try {
          await rotateLog(logPath, limits, clock.now(), () => runtime.reopenContainerLog(id));
        } catch (error) {
          log.warn('cannot rotate a log', { path: logPath, error });
        }
      }
  }
}

/** Moves a log away when it is big: the newest old one stays as it is, for readers that follow; older ones are packed. */
export async function rotateLog(
  path: string,
  limits: { readonly sizeBytes: number; readonly files: number },
  nowMs: number,
  reopen: () => Promise<void>,
): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!found || found.size < limits.sizeBytes) return;
  const old = await rotatedLogs(path);
  for (const name of old) if (!name.endsWith('.gz')) await pack(name);
  const packed = await rotatedLogs(path);
  for (const name of packed.slice(0, Math.max(0, packed.length - (limits.files - 2)))) await rm(name, { force: true });
  const stamp = new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  await rename(path, `${path}.${stamp}`);
  await reopen();
}

/** The oldest first. */
export async function rotatedLogs(path: string): Promise<string[]> {
  const names = await readdir(dirname(path)).catch(() => []);
  const prefix = `${basename(path)}.`;
  return names
    .filter(name => name.startsWith(prefix) && !name.endsWith('.tmp'))
    .toSorted()
    .map(name => join(dirname(path), name));
}

async function pack(path: string): Promise<void> {
  await pipeline(createReadStream(path), createGzip(), createWriteStream(`${path}.tmp`));
  await rename(`${path}.tmp`, `${path}.gz`);
  await rm(path);
}
