import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LeasedPod, PortMapping } from './pod-network.ts';

/** What a sandbox has been given. */
export interface Lease {
  readonly sandboxId: string;
  readonly ips: readonly string[];
  readonly portMappings: readonly PortMapping[];
  /** Whose sandbox it is, for the network policies. */
  readonly pod?: LeasedPod;
}

/**
 * The leases of a node, a file each: written before anything is made in the kernel and removed after all of it is gone,
 * so that an agent killed at any moment finds out what it has to give back. A file is whole or not there.
 */
export class Leases {
  readonly #directory: string;
  readonly #leases = new Map<string, Lease>();

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
    for (const name of readdirSync(directory)) {
      const path = join(directory, name);
      if (name.endsWith('.json')) {
        const lease = JSON.parse(readFileSync(path, 'utf8')) as Lease;
        this.#leases.set(lease.sandboxId, lease);
      } else if (name.endsWith(unfinished)) rmSync(path, { force: true });
    }
  }

  get(sandboxId: string): Lease | undefined {
    return this.#leases.get(sandboxId);
  }

  all(): readonly Lease[] {
    return [...this.#leases.values()];
  }

  put(lease: Lease): void {
    const path = this.#pathOf(lease.sandboxId);
    // Renaming is all or nothing against a killed agent; against a lost machine no lease needs to survive.
    writeFileSync(path + unfinished, JSON.stringify(lease));
    renameSync(path + unfinished, path);
    this.#leases.set(lease.sandboxId, lease);
  }

  delete(sandboxId: string): void {
    rmSync(this.#pathOf(sandboxId), { force: true });
    this.#leases.delete(sandboxId);
  }

  #pathOf(sandboxId: string): string {
    if (!/^[\w.-]{1,128}$/.test(sandboxId) || sandboxId.startsWith('.'))
      throw new Error(`cannot keep a lease for sandbox ${JSON.stringify(sandboxId)}: not a name for a file`);
    return join(this.#directory, `${sandboxId}.json`);
  }
}

const unfinished = '.new';
