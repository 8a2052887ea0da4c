import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Allocation } from './resize.ts';

/** What a former agent has granted; `undefined` when nothing was ever changed. */
export function readAllocation(file: string): Allocation | undefined {
  try {
    return new Map(Object.entries(JSON.parse(readFileSync(file, 'utf8')) as object));
  } catch {
    // Not there, or torn by a crash of the machine: then nothing runs either.
    return undefined;
  }
}

export function writeAllocation(file: string, allocation: Allocation): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o750 });
  writeFileSync(`${file}.new`, JSON.stringify(Object.fromEntries(allocation)), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
