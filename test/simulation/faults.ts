import type { Random } from '#base/random.ts';
import { staleMsMax } from './always.ts';
import { between, happens, pick } from './chance.ts';
import type { SimulatedCluster } from './cluster.ts';
import { calm } from './network.ts';

/** The faults below that make watches late. */
const lateness = [3, 4, 5, 11, 12, 13];

/** Breaks things by chance, each for a while, until it is stopped. */
export class Faults {
  readonly #cluster: SimulatedCluster;
  readonly #random: Random;
  #stopped = false;

  constructor(cluster: SimulatedCluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
  }

  start(everyMs: number): void {
    this.#cluster.time.after(this.#random.next() * 2 * everyMs, () => {
      if (this.#stopped) return;
      this.#one();
      this.start(everyMs);
    });
  }

  /** Everything works again from now on. */
  stop(): void {
    const { network, networkFaults, diskFaults, processNames, lost, history, lives } = this.#cluster;
    this.#stopped = true;
    history.note('faults stop');
    network.heal();
    Object.assign(networkFaults, calm);
    Object.assign(diskFaults, { slowMs: 2, fails: 0, failsAfterwards: 0 });
    for (const life of lives.values()) life.skewMs = 0;
    for (const name of processNames) this.#cluster.startProcess(name);
    for (const name of lost) this.#cluster.findNode(name);
  }

  #one(): void {
    const { network, networkFaults, diskFaults, processNames, serverNames, nodeNames, lives, time, storage, history } =
      this.#cluster;
    const random = this.#random;
    const forMs = between(random, 500, 60_000);
    const meanwhile = (what: string, begin: () => void, end: () => void) => {
      history.note(`fault ${what} for ${forMs}`);
      begin();
      time.after(forMs, () => {
        if (!this.#stopped) end();
      });
    };
    const disturb = (name: keyof typeof networkFaults, value: number) =>
      meanwhile(
        `${name} ${value}`,
        () => {
          networkFaults[name] = value;
        },
        () => {
          networkFaults[name] = calm[name];
        },
      );
    const choice = between(random, 0, 15);
    // What is late, and not lost, lets whole components act by what was true long ago.
    if (lateness.includes(choice))
      history.staleUntilMs = Math.max(history.staleUntilMs, time.nowMs + forMs + staleMsMax);
    switch (choice) {
      case 0:
      case 1: {
        const name = pick(random, processNames) ?? '';
        return meanwhile(
          `crash of ${name}`,
          () => this.#cluster.kill(name),
          () => this.#cluster.startProcess(name),
        );
      }
      case 2: {
        const name = pick(random, nodeNames) ?? '';
        return meanwhile(
          `loss of ${name}`,
          () => this.#cluster.loseNode(name),
          () => this.#cluster.findNode(name),
        );
      }
      case 3: {
        const client = pick(random, [...processNames.filter(name => !name.startsWith('server-')), 'user']) ?? '';
        const server = pick(random, serverNames) ?? '';
        return meanwhile(
          `cut between ${client} and ${server}`,
          () => network.cut(client, server),
          () => network.heal(),
        );
      }
      case 4:
        history.note('fault all watches break');
        return network.breakWatches();
      case 5:
        return disturb('slowMs', between(random, 10, 3_000));
      case 6:
        return disturb('loses', random.next() * 0.2);
      case 7:
        return disturb('losesAnswer', random.next() * 0.2);
      case 8:
        return disturb('doubles', random.next() * 0.5);
      case 9:
        return disturb('refuses', random.next() * 0.5);
      case 10:
        return disturb('failsAfterwards', random.next() * 0.3);
      case 11:
        return disturb('breaksWatch', random.next() * 0.1);
      case 12:
        return disturb('stallsWatch', random.next() * 0.1);
      case 13: {
        const [slowMs, fails, failsAfterwards] = [between(random, 2, 2_000), 0, 0];
        const bad = happens(random, 0.5)
          ? { slowMs, fails, failsAfterwards }
          : { slowMs: 5, fails: random.next() * 0.2, failsAfterwards: random.next() * 0.1 };
        return meanwhile(
          `disk ${JSON.stringify(bad)}`,
          () => void Object.assign(diskFaults, bad),
          () => void Object.assign(diskFaults, { slowMs: 2, fails: 0, failsAfterwards: 0 }),
        );
      }
      case 14: {
        const life = pick(random, [...lives.values()]);
        if (!life) return;
        const skewMs = between(random, -120_000, 120_000);
        return meanwhile(
          `clock of ${life.name} off by ${skewMs}`,
          () => {
            life.skewMs = skewMs;
          },
          () => {
            life.skewMs = 0;
          },
        );
      }
      default:
        history.note('fault compaction');
        void storage.compact(history.revision - between(random, 0, 20)).catch(() => undefined);
    }
  }
}
