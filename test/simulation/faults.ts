import type { Random } from '#base/random.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { kinds } from '#api/kinds.ts';
import { resourceNameOf, type ApiObject } from '#api/machinery/kind.ts';
import { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import type { Client } from '#client/client.ts';
import { staleMsMax } from './always.ts';
import { between, happens, pick } from './chance.ts';
import { messageOf, storeName, type SimulatedCluster } from './cluster.ts';
import { calmDisk } from './disk.ts';
import { calm, type NetworkFaults } from './network.ts';
import { Life } from './virtual-time.ts';

/** Something that breaks. Begun, it says what it is; called again, it is over. */
interface Fault {
  readonly what: string;
  /** Makes watches late, and not lost: lets whole components act by what was true long ago. */
  readonly isLate?: boolean;
  begin(): void;
  end(): void;
}

const crowdSize = 120;
const crowdEveryMs = 5_000;

/** Breaks things by chance, each for a while, until it is stopped. */
export class Faults {
  readonly #cluster: SimulatedCluster;
  readonly #random: Random;
  readonly #rival: Client;
  readonly #crowd: Client;
  #stopped = false;
  /** Writers and readers that are there for a while. */
  #rivalUntilMs = 0;
  #crowdUntilMs = 0;

  constructor(cluster: SimulatedCluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
    const groups = ['system:masters', 'system:authenticated'];
    this.#rival = cluster.network.clientOf(new Life('rival'), { name: 'rival', groups });
    this.#crowd = cluster.network.clientOf(new Life('crowd'), { name: 'crowd', groups: ['system:authenticated'] });
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
    const { network, networkFaults, diskFaults, processNames, history, lives } = this.#cluster;
    this.#stopped = true;
    this.#rivalUntilMs = 0;
    this.#crowdUntilMs = 0;
    history.note('faults stop');
    network.heal();
    Object.assign(networkFaults, calm);
    Object.assign(diskFaults, calmDisk);
    for (const life of lives.values()) life.skewMs = 0;
    for (const name of processNames) this.#cluster.startProcess(name);
  }

  #one(): void {
    const { time, history } = this.#cluster;
    const random = this.#random;
    const choices = Object.values(this.#sorts);
    const fault = (pick(random, choices) as (typeof choices)[number])();
    if (!fault) return;
    const { what, isLate = false, begin, end } = fault;
    const forMs = between(random, 500, 60_000);
    if (isLate) history.staleUntilMs = Math.max(history.staleUntilMs, time.nowMs + forMs + staleMsMax);
    history.note(`fault ${what} for ${forMs}`);
    begin();
    time.after(forMs, () => {
      if (!this.#stopped) end();
    });
  }

  /** Each draws what it needs, and is as likely as the others. */
  readonly #sorts: Readonly<Record<string, () => Fault | undefined>> = {
    crash: () => this.#crash(pick(this.#random, this.#cluster.processNames) ?? ''),
    crashOfServer: () => this.#crash(pick(this.#random, this.#cluster.serverNames) ?? ''),
    lossOfNode: () => this.#crash(pick(this.#random, this.#cluster.nodeNames) ?? ''),
    partition: () => this.#partition(),
    partitionOneWay: () => this.#partition(true),
    allWatchesBreak: () => ({
      what: 'all watches break',
      isLate: true,
      begin: () => this.#cluster.network.breakWatches(),
      end: () => undefined,
    }),
    slow: () => this.#disturb('slowMs', between(this.#random, 10, 3_000), true),
    loses: () => this.#disturb('loses', this.#random.next() * 0.2),
    losesAnswer: () => this.#disturb('losesAnswer', this.#random.next() * 0.2),
    doubles: () => this.#disturb('doubles', this.#random.next() * 0.5),
    refuses: () => this.#disturb('refuses', this.#random.next() * 0.5),
    failsAfterwards: () => this.#disturb('failsAfterwards', this.#random.next() * 0.3),
    breaksWatch: () => this.#disturb('breaksWatch', this.#random.next() * 0.1, true),
    stallsWatch: () => this.#disturb('stallsWatch', this.#random.next() * 0.1, true),
    silencesWatch: () => this.#disturb('silencesWatch', this.#random.next() * 0.05, true),
    doublesEvent: () => this.#disturb('doublesEvent', this.#random.next() * 0.5),
    disk: () => this.#disk(),
    clock: () => this.#clock(),
    compaction: () => this.#compaction(),
    rival: () => this.#rivalry(),
    overload: () => this.#overload(),
  };

  #crash(name: string): Fault {
    return {
      what: `crash of ${name}`,
      begin: () => this.#cluster.kill(name),
      end: () => this.#cluster.startProcess(name),
    };
  }

  /** Between a client and a server, or between a server and the store that it shares. */
  #partition(isOneWay = false): Fault {
    const { network, processNames, serverNames, isShared } = this.#cluster;
    const random = this.#random;
    const server = pick(random, serverNames) ?? '';
    const others = [...processNames.filter(name => !serverNames.includes(name)), 'user'];
    const other = (isShared && happens(random, 0.3) ? storeName : pick(random, others)) ?? '';
    const isToldNothing = happens(random, 0.5);
    return {
      what: `${isOneWay ? (isToldNothing ? 'deaf' : 'mute') : 'cut'} ${other} at ${server}`,
      isLate: true,
      begin() {
        if (!isOneWay) network.cut(other, server);
        else if (isToldNothing) network.deafen(server, other);
        else network.deafen(other, server);
      },
      end: () => network.mend(other, server),
    };
  }

  #disturb(name: keyof NetworkFaults, value: number, isLate = false): Fault {
    const { networkFaults } = this.#cluster;
    return {
      what: `${name} ${value}`,
      isLate,
      begin() {
        networkFaults[name] = value;
      },
      end() {
        networkFaults[name] = calm[name];
      },
    };
  }

  #disk(): Fault {
    const { diskFaults } = this.#cluster;
    const random = this.#random;
    const bad = happens(random, 0.5)
      ? { slowMs: between(random, 2, 2_000), fails: 0, failsAfterwards: 0 }
      : { slowMs: 5, fails: random.next() * 0.2, failsAfterwards: random.next() * 0.1 };
    return {
      what: `disk ${JSON.stringify(bad)}`,
      isLate: true,
      begin: () => void Object.assign(diskFaults, bad),
      end: () => void Object.assign(diskFaults, calmDisk),
    };
  }

  /** Jumps away, and back. */
  #clock(): Fault | undefined {
    const life = pick(this.#random, [...this.#cluster.lives.values()]);
    if (!life) return undefined;
    const skewMs = between(this.#random, -120_000, 120_000);
    return {
      what: `clock of ${life.name} off by ${skewMs}`,
      begin() {
        life.skewMs = skewMs;
      },
      end() {
        life.skewMs = 0;
      },
    };
  }

  #compaction(): Fault {
    const { history } = this.#cluster;
    const back = between(this.#random, 0, 20);
    return {
      what: `compaction but for ${back}`,
      begin: () => this.#cluster.compact(history.revision - back),
      end: () => undefined,
    };
  }

  /** Somebody writes to what others write to. */
  #rivalry(): Fault {
    const { time } = this.#cluster;
    const everyMs = between(this.#random, 50, 2_000);
    return {
      what: `rival every ${everyMs}`,
      begin: () => {
        this.#rivalUntilMs = Number.POSITIVE_INFINITY;
        const next = () => {
          if (this.#rivalUntilMs <= time.nowMs) return;
          this.#interfere();
          time.after(everyMs, next);
        };
        next();
      },
      end: () => {
        this.#rivalUntilMs = 0;
      },
    };
  }

  #interfere(): void {
    const { history } = this.#cluster;
    const resources = [...history.resources].filter(resource => written.has(resource));
    const resource = pick(this.#random, resources) ?? '';
    const object = pick(this.#random, [...history.of<ApiObject>(resource).values()]);
    const kind = written.get(resource);
    const { name = '', namespace } = object?.metadata ?? {};
    if (!object || !kind || !(namespace ?? name).startsWith('sim-')) return;
    const patch = { metadata: { annotations: { 'example.com/rival': String(between(this.#random, 0, 99)) } } };
    this.#rival
      .patch(kind, name, { type: 'merge', patch }, namespace === undefined ? {} : { namespace })
      .catch((error: unknown) => history.note(`rival: ${messageOf(error)}`));
  }

  /** More requests at once than the server takes. */
  #overload(): Fault {
    const { time, history } = this.#cluster;
    return {
      what: `overload by ${crowdSize}`,
      begin: () => {
        this.#crowdUntilMs = Number.POSITIVE_INFINITY;
        const next = () => {
          if (this.#crowdUntilMs <= time.nowMs) return;
          let refused = 0;
          const asks = Array.from({ length: crowdSize }, (_, index) => this.#press(index).catch(() => refused++));
          void Promise.all(asks).then(() => history.note(`${refused} of the crowd were refused`));
          time.after(crowdEveryMs, next);
        };
        this.#rival
          .create(ClusterRoleBinding, {
            metadata: { name: 'crowd' },
            roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
            subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'crowd' }],
          })
          .catch((error: unknown) => history.note(`crowd: ${messageOf(error)}`))
          .finally(next);
      },
      end: () => {
        this.#crowdUntilMs = 0;
      },
    };
  }

  /** All want the same few objects. */
  async #press(index: number): Promise<void> {
    const where = { namespace: 'default' };
    if (index % 2 === 0) {
      await this.#crowd.list(Pod, { limit: 1 });
      return;
    }
    const name = `crowd-${index % 10}`;
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { value: String(index) } };
    const how = { ...where, fieldManager: 'crowd', force: true };
    await this.#crowd.patch(ConfigMap, name, { type: 'apply', object }, how);
  }
}

/** Kinds that controllers write to while others do. */
const written = new Map(
  kinds
    .filter(kind => kind.served && kind.plural !== '' && !['events', 'leases'].includes(kind.plural))
    .map(kind => [resourceNameOf(kind), kind]),
);
