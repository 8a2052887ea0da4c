import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '#base/clock.ts';
import { releaseRanges } from './addresses.ts';
import type { Flags } from './commands.ts';
import { dataDirFrom, livePid, readConfig, removePid, type ClusterConfig, type DataDir } from './data-dir.ts';

/** `windlass down`: stops the cluster through its supervisor, and cleans up by itself after one that was killed. */
export async function down(flags: Flags): Promise<number> {
  const dir = dataDirFrom(flags);
  if (!existsSync(dir.config)) {
    process.stdout.write(`windlass: there is no cluster in ${dir.path}\n`);
    return 0;
  }
  const supervisor = livePid(dir, 'supervisor');
  if (supervisor !== undefined) await end(supervisor, () => livePid(dir, 'supervisor') === undefined);
  const left = await endOrphans(dir);
  cleanNodes(dir, readConfig(dir));
  releaseRanges(dir);
  const stopped = supervisor !== undefined || left > 0;
  process.stdout.write(
    stopped
      ? `windlass: stopped the cluster in ${dir.path}\n`
      : `windlass: the cluster in ${dir.path} was not running\n`,
  );
  if (flags.has('delete')) {
    rmSync(dir.path, { recursive: true, force: true });
    process.stdout.write(`windlass: deleted ${dir.path}\n`);
  }
  return 0;
}

/** Roles outlive a supervisor that was killed. */
async function endOrphans(dir: DataDir): Promise<number> {
  const names = existsSync(dir.run) ? readdirSync(dir.run).filter(name => name.endsWith('.pid')) : [];
  let ended = 0;
  for (const name of names.map(each => each.slice(0, -'.pid'.length))) {
    const pid = livePid(dir, name);
    if (pid !== undefined) {
      await end(pid, () => livePid(dir, name) === undefined);
      ended++;
    }
    removePid(dir, name);
  }
  return ended;
}

/** Containers, networks and mounts outlive a node agent that was killed. */
function cleanNodes(dir: DataDir, config: ClusterConfig | undefined): void {
  if (!config || config.runtime !== 'oci' || config.nodes === 0 || process.getuid?.() !== 0) return;
  const args = [
    ...process.execArgv,
    join(import.meta.dirname, 'cli.ts'),
    'node-agent',
    '--data-dir',
    dir.path,
    '--clean',
  ];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cannot clean up this machine: ${stderr.trim()}`);
}

const graceMs = 60_000;

async function end(pid: number, gone: () => boolean): Promise<void> {
  process.kill(pid, 'SIGTERM');
  const startMs = systemClock.monotonic();
  while (!gone()) {
    if (systemClock.monotonic() - startMs > graceMs) process.kill(pid, 'SIGKILL');
    await systemClock.sleep(25);
  }
}
