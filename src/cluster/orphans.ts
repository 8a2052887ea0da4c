import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { livePid, removePid, type ClusterConfig, type DataDir } from './data-dir.ts';

/** Ends the roles that outlive a supervisor that was killed; their containers run on. Returns how many there were. */
export async function endOrphans(dir: DataDir): Promise<number> {
  const names = existsSync(dir.run) ? readdirSync(dir.run).filter(name => name.endsWith('.pid')) : [];
  let ended = 0;
  for (const name of names.map(each => each.slice(0, -'.pid'.length))) {
    if (name === 'supervisor') continue;
    const pid = livePid(dir, name);
    if (pid !== undefined) {
      await endProcess(pid, () => livePid(dir, name) === undefined);
      ended++;
    }
    removePid(dir, name);
  }
  return ended;
}

const graceMs = 60_000;

/** Asks a process to end, and waits until it has. */
export async function endProcess(pid: number, gone: () => boolean): Promise<void> {
  const startMs = systemClock.monotonic();
  for (let signal: NodeJS.Signals | 0 = 'SIGTERM'; !gone(); ) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      // It ended between the two looks.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    signal = systemClock.monotonic() - startMs > graceMs ? 'SIGKILL' : 0;
    await systemClock.sleep(25);
  }
}

/** Containers, networks and mounts outlive a node agent that was killed: this takes them off the machine. */
export async function cleanNodes(dir: DataDir, config: ClusterConfig | undefined): Promise<void> {
  if (!config || config.runtime === 'hollow' || config.nodes === 0 || process.getuid?.() !== 0) return;
  const args = ['node-agent', '--data-dir', dir.path, '--clean'];
  const child = spawn(process.execPath, [...process.execArgv, join(import.meta.dirname, 'cli.ts'), ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // As for every role, a Ctrl-C is not meant for it.
    detached: true,
  });
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => {
    words = `${words}${chunk.toString()}`.slice(-wordsMax);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code !== 0) throw new Error(`cannot clean up this machine: ${words.trim()}`);
}

const wordsMax = 4096;
