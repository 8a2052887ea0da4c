import { existsSync, rmSync } from 'node:fs';
import { systemClock } from '#base/clock.ts';
import { releaseRanges } from './addresses.ts';
import type { Flags } from './commands.ts';
import { dataDirFrom, livePid, readConfig, removePid } from './data-dir.ts';
import { endGateway } from './gateway.ts';
import { cleanNodes, endOrphans, endProcess } from './orphans.ts';

/** `windlass down`: stops the cluster through its supervisor, and cleans up by itself after one that was killed. */
export async function down(flags: Flags): Promise<number> {
  const dir = dataDirFrom(flags);
  if (!existsSync(dir.config)) {
    process.stdout.write(`windlass: there is no cluster in ${dir.path}\n`);
    return 0;
  }
  const supervisor = livePid(dir, 'supervisor');
  if (supervisor !== undefined) await endProcess(supervisor, () => livePid(dir, 'supervisor') === undefined);
  const left = await endOrphans(dir);
  try {
    await endGateway(dir, systemClock);
    await cleanNodes(dir, readConfig(dir));
  } finally {
    removePid(dir, 'supervisor');
    releaseRanges(dir);
  }
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
