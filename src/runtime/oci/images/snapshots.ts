import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { unmountTree } from '#base/kernel/mount.ts';
import { RuntimeError, type RuntimeErrorCode } from '../../runtime.ts';
import { SharedWork } from './shared.ts';
import type { UnpackReply, UnpackRequest } from './unpack-worker.ts';

/** Unpacked layers, one directory for each chain of layers; images that share a chain share the directories. */
export class Snapshots implements AsyncDisposable {
  readonly #directory: string;
  readonly #unpacking = new SharedWork();
  readonly #workers = new Set<Worker>();
  readonly #idle: Worker[] = [];

  constructor(directory: string) {
    this.#directory = join(directory, 'snapshots');
  }

  /** Half-made ones of an earlier process go away. */
  async prepare(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.#directory)) if (name.endsWith('.new')) await this.#remove(name);
  }

  /** The files of a snapshot, for an overlay's lower directory. */
  directory(name: string): string {
    return join(this.#directory, name, 'fs');
  }

  async has(name: string): Promise<boolean> {
    return stat(this.directory(name)).then(
      () => true,
      () => false,
    );
  }

  /**
   * Unpacks the layers that are not there yet, the lowest first. `blob` answers the file of a layer, and is only asked
   * for those.
   */
  async unpack(
    diffIds: readonly string[],
    blob: (index: number, signal: AbortSignal) => Promise<string>,
    signal?: AbortSignal,
  ): Promise<void> {
    const names = snapshotNames(diffIds);
    for (const [index, name] of names.entries()) {
      if (await this.has(name)) continue;
      const lower = names.slice(0, index).toReversed();
      const work = async (stop: AbortSignal) => {
        const file = await blob(index, stop);
        await this.#unpackOne({
          blob: file,
          diffId: diffIds[index] as string,
          lower: lower.map(below => this.directory(below)),
          snapshot: join(this.#directory, name),
        });
      };
      await this.#unpacking.run(name, work, signal);
    }
  }

  async sweep(kept: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(this.#directory))
      if (!kept.has(name) && !name.endsWith('.new')) await this.#remove(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#workers].map(worker => worker.terminate()));
  }

  async #remove(name: string): Promise<void> {
    const directory = join(this.#directory, name);
    await unmountTree(directory);
    await rm(directory, { recursive: true, force: true });
  }

  /** Ends the threads that wait for more layers. */
  async rest(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map(worker => worker.terminate()));
  }

  async #unpackOne(request: UnpackRequest): Promise<void> {
    const worker = this.#idle.pop() ?? this.#startWorker();
    try {
      const reply = await answerOf(worker, request);
      if ('done' in reply) return;
      const what = `failed to extract layer ${request.diffId}: ${reply.message}`;
      throw new RuntimeError(reply.code as RuntimeErrorCode, what);
    } finally {
      if (this.#workers.has(worker)) this.#idle.push(worker);
    }
  }

  #startWorker(): Worker {
    const worker = new Worker(new URL('./unpack-worker.ts', import.meta.url), { trackUnmanagedFds: false });
    this.#workers.add(worker);
    worker.on('exit', () => this.#workers.delete(worker));
    // Whoever waits for its answer hears of it as well.
    worker.on('error', () => this.#workers.delete(worker));
    return worker;
  }
}

function answerOf(worker: Worker, request: UnpackRequest): Promise<UnpackReply> {
  return new Promise((resolve, reject) => {
    const settle = (run: () => void) => {
      worker.off('message', answered).off('error', failed).off('exit', ended);
      run();
    };
    const answered = (reply: UnpackReply) => settle(() => resolve(reply));
    const failed = (cause: unknown) =>
      settle(() => reject(new RuntimeError('Internal', 'failed to extract a layer: its thread failed', { cause })));
    const ended = () =>
      settle(() => reject(new RuntimeError('Internal', 'failed to extract a layer: its thread has ended')));
    worker.on('message', answered).on('error', failed).on('exit', ended);
    worker.postMessage(request);
  });
}

/** OCI's chain ids, shortened: overlayfs takes many of them in one line. The lowest first. */
export function snapshotNames(diffIds: readonly string[]): string[] {
  let chain = '';
  return diffIds.map(diffId => {
    chain = chain === '' ? diffId : `sha256:${createHash('sha256').update(`${chain} ${diffId}`).digest('hex')}`;
    return (chain.split(':')[1] ?? '').slice(0, 32);
  });
}
