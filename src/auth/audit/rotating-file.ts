import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { Clock } from '#base/clock.ts';

export interface RotationOptions {
  /** A file that would become larger is put aside; 0: never. */
  readonly bytesMax: number;
  /** Files put aside that are kept; 0: all. */
  readonly backupsMax: number;
  /** How long they are kept; 0: for ever. */
  readonly ageMaxMs: number;
  readonly compress: boolean;
}

/**
 * A file that is appended to and put aside when it is full, under the time at which that was:
 * `audit-2026-01-01T00-00-00.000.log`.
 */
export class RotatingFile implements AsyncDisposable {
  readonly #path: string;
  readonly #options: RotationOptions;
  readonly #clock: Clock;
  #file: FileHandle | undefined;
  #bytes = 0;
  #waiting: { readonly text: string; readonly done: () => void; readonly failed: (error: unknown) => void }[] = [];
  #writing: Promise<void> | undefined;

  private constructor(path: string, options: RotationOptions, clock: Clock) {
    this.#path = path;
    this.#options = options;
    this.#clock = clock;
  }

  /** Makes the file and its folder, for their owner alone. */
  static async open(path: string, options: RotationOptions, clock: Clock): Promise<RotatingFile> {
    const file = new RotatingFile(path, options, clock);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await file.#open();
    await file.#sweep();
    return file;
  }

  /** Resolves when it is written; what comes meanwhile is written together. */
  write(text: string): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ text, done, failed });
      this.#writing ??= this.#writeAll().finally(() => {
        this.#writing = undefined;
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#append(batch.map(({ text }) => text));
        for (const { done } of batch) done();
      } catch (error) {
        for (const { failed } of batch) failed(error);
      }
    }
  }

  async #append(texts: readonly string[]): Promise<void> {
    let piece: Buffer[] = [];
    let pieceBytes = 0;
    const flush = async () => {
      if (pieceBytes === 0) return;
      await this.#file?.appendFile(Buffer.concat(piece));
      this.#bytes += pieceBytes;
      piece = [];
      pieceBytes = 0;
    };
    for (const text of texts) {
      const line = Buffer.from(text);
      const { bytesMax } = this.#options;
      if (bytesMax > 0 && this.#bytes + pieceBytes > 0 && this.#bytes + pieceBytes + line.length > bytesMax) {
        await flush();
        await this.#rotate();
      }
      if (!this.#file) await this.#open();
      piece.push(line);
      pieceBytes += line.length;
    }
    await flush();
  }

  async #open(): Promise<void> {
    this.#file = await open(this.#path, 'a', 0o600);
    this.#bytes = (await this.#file.stat()).size;
  }

  async #rotate(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
    const stamp = new Date(this.#clock.now()).toISOString().slice(0, 23).replaceAll(':', '-');
    const [name, extension] = this.#parts();
    const taken = new Set(await readdir(dirname(this.#path)));
    let backup = `${name}-${stamp}${extension}`;
    // Two in one millisecond: the second one must not replace the first.
    for (let count = 1; taken.has(backup) || taken.has(`${backup}.gz`); count++)
      backup = `${name}-${stamp}-${count}${extension}`;
    await rename(this.#path, join(dirname(this.#path), backup));
    await this.#open();
    await this.#sweep();
  }

  /** Removes what is too old or too much, and compresses what is to be compressed. */
  async #sweep(): Promise<void> {
    const { backupsMax, ageMaxMs, compress } = this.#options;
    const folder = dirname(this.#path);
    const [name, extension] = this.#parts();
    const backups = (await readdir(folder))
      .flatMap(file => {
        const plain = file.endsWith('.gz') ? file.slice(0, -3) : file;
        if (!plain.startsWith(`${name}-`) || !plain.endsWith(extension)) return [];
        const timeMs = timeOf(plain.slice(name.length + 1, plain.length - extension.length));
        return timeMs === undefined ? [] : [{ file, timeMs }];
      })
      .sort((a, b) => b.timeMs - a.timeMs || (a.file < b.file ? 1 : -1));
    const oldestMs = ageMaxMs > 0 ? this.#clock.now() - ageMaxMs : Number.NEGATIVE_INFINITY;
    for (const [index, { file, timeMs }] of backups.entries()) {
      const path = join(folder, file);
      if ((backupsMax > 0 && index >= backupsMax) || timeMs < oldestMs) await rm(path, { force: true });
      else if (compress && !file.endsWith('.gz')) await compressed(path);
    }
  }

  #parts(): readonly [name: string, extension: string] {
    const extension = extname(this.#path);
    return [basename(this.#path, extension), extension];
  }
}

const stampPattern = /^(\d{4}-\d\d-\d\dT\d\d)-(\d\d)-(\d\d\.\d{3})(?:-\d+)?$/;

function timeOf(stamp: string): number | undefined {
  const [, hour, minute, second] = stampPattern.exec(stamp) ?? [];
  return hour === undefined ? undefined : Date.parse(`${hour}:${minute}:${second}Z`);
}

async function compressed(path: string): Promise<void> {
  const temporary = `${path}.gz.partial`;
  await pipeline(createReadStream(path), createGzip(), createWriteStream(temporary, { mode: 0o600 }));
  await rename(temporary, `${path}.gz`);
  await rm(path);
}
