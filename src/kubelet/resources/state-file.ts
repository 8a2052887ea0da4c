import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** What a former agent has written; `undefined` when there is nothing. Throws when it is there and cannot be read. */
export function readState<State>(file: string): State | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new Error(`cannot read the checkpoint ${file}`, { cause });
  }
  try {
    return JSON.parse(text) as State;
  } catch (cause) {
    throw new Error(`cannot read the checkpoint ${file}: it is damaged; drain the node and remove the file`, { cause });
  }
}

/** Replaces the whole file. */
export function writeState(file: string, state: object): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o750 });
  writeFileSync(`${file}.new`, JSON.stringify(state), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

export function removeState(file: string): void {
  rmSync(file, { force: true });
}
