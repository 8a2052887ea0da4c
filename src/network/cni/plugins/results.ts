import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LeasedPod } from '../pod-network.ts';
import type { Attachment, CniResult } from './chain.ts';
import type { NetworkList } from './configuration.ts';

/** What a sandbox was given, by which configuration: it is taken back by the same, whatever the directory says then. */
export interface Cached {
  readonly kind: 'cniCacheV1';
  readonly list: NetworkList;
  readonly attachment: Attachment;
  /** Absent: the plugins have not all said yes yet. */
  readonly result?: CniResult;
  readonly pod?: LeasedPod;
}

/** A file a sandbox, written before the first plugin runs and removed after the last one has given everything back. */
export class Results {
  readonly #directory: string;
  readonly #cached = new Map<string, Cached>();

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      if (name.endsWith('.json')) {
        const cached = JSON.parse(readFileSync(path, 'utf8')) as Cached;
        this.#cached.set(cached.attachment.containerId, cached);
      } else rmSync(path, { force: true });
    }
  }

  get(containerId: string): Cached | undefined {
    return this.#cached.get(containerId);
  }

  all(): readonly Cached[] {
    return [...this.#cached.values()];
  }

  put(cached: Cached): void {
    const path = this.#pathOf(cached.attachment.containerId);
    writeFileSync(`${path}.new`, JSON.stringify(cached), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    this.#cached.set(cached.attachment.containerId, cached);
  }

  delete(containerId: string): void {
    rmSync(this.#pathOf(containerId), { force: true });
    this.#cached.delete(containerId);
  }

  #pathOf(containerId: string): string {
    if (!/^[\w.-]+$/.test(containerId))
      throw new Error(`cannot keep what sandbox ${JSON.stringify(containerId)} has: not a name for a file`);
    return join(this.#directory, `${containerId}.json`);
  }
}
