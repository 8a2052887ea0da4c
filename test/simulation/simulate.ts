import { watchAlways } from './always.ts';
import { between, chanceFor } from './chance.ts';
import { SimulatedCluster, type Planted } from './cluster.ts';
import { unfinished } from './converged.ts';
import { Faults } from './faults.ts';
import { Workload } from './workload.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** Simulated, of trouble and rest in turn. */
  readonly minutes: number;
  readonly planted?: Planted;
  /** How long everything may take to come to rest when nothing is broken any more. */
  readonly restMinutes?: number;
  /** Without faults only the order of events is left to chance. */
  readonly faults?: boolean;
}

export interface Simulated {
  readonly seed: number;
  readonly problems: readonly string[];
  /** Of every line of the run: the same for two runs of one seed. */
  readonly digest: string;
  readonly lines: number;
  readonly tail: readonly string[];
  readonly minutes: number;
  readonly revisions: number;
  readonly acknowledged: number;
}

const restStepMs = 5_000;
/** More than twice the longest pause between a controller's tries (1,000 s), such as of pods that a quota refused for long. */
const restMinutesDefault = 40;

/** One run. Everything in it follows from the seed. */
export async function simulate(options: SimulationOptions): Promise<Simulated> {
  const { seed, minutes, planted, faults: isFaulty = true, restMinutes = restMinutesDefault } = options;
  const restMsMax = restMinutes * 60_000;
  const chance = chanceFor(seed, 'course');
  using cluster = new SimulatedCluster({
    seed,
    apiServers: between(chance, 1, 2),
    nodes: between(chance, 3, 6),
    ...(planted && { planted }),
  });
  const { history, time } = cluster;
  watchAlways(history);
  let acknowledged = 0;
  try {
    await cluster.start();
    await time.runFor(20_000);
    for (let round = 0; time.elapsedMs < minutes * 60_000 && history.problems.length === 0; round++) {
      const workload = new Workload(cluster, chanceFor(seed, `workload/${round}`));
      const faults = new Faults(cluster, chanceFor(seed, `faults/${round}`));
      workload.start(between(chance, 500, 5_000));
      if (isFaulty) faults.start(between(chance, 3_000, 30_000));
      for (
        let leftMs = between(chance, 60_000, 4 * 60_000);
        leftMs > 0 && history.problems.length === 0;
        leftMs -= 5_000
      )
        await time.runFor(Math.min(5_000, leftMs));
      if (history.problems.length > 0) break;
      workload.stop();
      faults.stop();
      await time.runFor(60_000);
      await time.runUntil('giving nodes back', workload.restoreNodes(), restMsMax);
      await rest(cluster, restMsMax);
      acknowledged += workload.acknowledged.length;
    }
  } catch (error) {
    history.problem(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  const result: Simulated = {
    seed,
    problems: history.problems,
    digest: history.digest,
    lines: history.lines,
    tail: history.tail,
    minutes: time.elapsedMs / 60_000,
    revisions: history.revision,
    acknowledged,
  };
  return result;
}

/** Waits until nothing is left to be done; what is left when the time is over is a problem. */
async function rest(cluster: SimulatedCluster, restMsMax: number): Promise<void> {
  const { history, time } = cluster;
  let left: readonly string[] = [];
  for (let waitedMs = 0; waitedMs < restMsMax; waitedMs += restStepMs) {
    left = unfinished(history);
    if (left.length === 0 || history.problems.length > 0) return;
    await time.runFor(restStepMs);
  }
  for (const each of left) history.problem(`after ${restMsMax / 60_000} quiet minutes: ${each}`);
}
