import type { Random } from '#base/random.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { errors } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import type { Client } from '#client/client.ts';
import type { ControllerSettings } from '#controllers/controller.ts';
import { watchAlways, staleMsMax } from './always.ts';
import { chanceFor, happens } from './chance.ts';
import { messageOf, SimulatedCluster } from './cluster.ts';
import { unfinished } from './converged.ts';
import { calm, silenceMsMax } from './network.ts';

/** What goes wrong with the one controller that is on trial; all others are well. */
export type Ordeal =
  /** Its process dies at every write: first before it is sent, then when it is done and not yet answered, then by chance. */
  | 'restarts at every write'
  /** Its writes meet other writers, its watches are late, break, fall silent and say things twice. */
  | 'conflicts, stale caches and lost watches';

export const ordeals: readonly Ordeal[] = ['restarts at every write', 'conflicts, stale caches and lost watches'];

/** One thing after the other: what is done, and when it is as it should be. */
export interface Step {
  act(trial: Trial): Promise<unknown> | void;
  /** What is missing; undefined: nothing. */
  missing(trial: Trial): string | undefined;
}

export interface Scenario {
  readonly steps: readonly Step[];
  /** The clock of the controller is so far ahead, in a world where things take days. */
  readonly aheadMs?: number;
  /** What is not in the namespace and has to go again. */
  readonly leaves?: readonly (readonly [kind: Kind, name: (trial: Trial) => string, namespace?: string])[];
}

const subject = 'subject';
const stepMsMax = 5 * 60_000;
const ordealMs = 60_000;

/** A small cluster in which one controller after the other has a hard time. */
export class Trial implements Disposable {
  readonly cluster: SimulatedCluster;
  readonly #settings: Partial<ControllerSettings>;
  readonly #random: Random;
  namespace = '';
  /** How often something was done to the controller of this moment. */
  blows = 0;
  #strikes: Ordeal | undefined;
  /** How often each write was tried. */
  readonly #seen = new Map<string, number>();

  constructor(
    seed: number,
    options: { readonly kinds?: readonly Kind[]; readonly settings: Partial<ControllerSettings> },
  ) {
    this.cluster = new SimulatedCluster({
      seed,
      apiServers: 1,
      nodes: 3,
      ...(options.kinds && { kinds: options.kinds }),
    });
    this.#settings = options.settings;
    this.#random = chanceFor(seed, 'trial');
    watchAlways(this.cluster.history);
  }

  [Symbol.dispose](): void {
    this.cluster[Symbol.dispose]();
  }

  get user(): Client {
    return this.cluster.user;
  }

  async start(): Promise<void> {
    await this.cluster.start([...this.cluster.nodeNames, 'scheduler-0']);
    await this.cluster.time.runFor(5_000);
  }

  /** Lets a controller's account do everything. */
  async permit(account: string): Promise<void> {
    const binding = {
      metadata: { name: account },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', namespace: 'kube-system', name: account }],
    };
    await this.#until('a permission', this.user.create(ClusterRoleBinding, binding));
  }

  of<Type extends ApiObject>(resource: string): readonly Type[] {
    return [...this.cluster.history.of<Type>(resource).values()].filter(
      ({ metadata }) => (metadata.namespace ?? this.namespace) === this.namespace,
    );
  }

  one<Type extends ApiObject>(resource: string, name: string): Type | undefined {
    return this.of<Type>(resource).find(({ metadata }) => metadata.name === name);
  }

  /** Runs one scenario; the answer is what went wrong. */
  async run(controller: string, scenario: Scenario, ordeal: Ordeal, namespace: string): Promise<readonly string[]> {
    const { cluster } = this;
    const { history, time } = cluster;
    this.namespace = namespace;
    this.blows = 0;
    this.#seen.clear();
    const others = `all but ${controller}`;
    cluster.startSomeControllers(others, { except: [controller], settings: this.#settings });
    try {
      await this.#until('the namespace', this.#ensureNamespace());
      this.#strikes = ordeal;
      this.#startSubject(controller, scenario, ordeal);
      for (const [index, step] of scenario.steps.entries()) {
        await this.#until(`step ${index}`, Promise.resolve(step.act(this)));
        if (ordeal !== 'restarts at every write') await this.#trouble();
        const left = await this.#settled(() => step.missing(this));
        if (left !== undefined) return [`after step ${index}: ${left}`, ...history.problems];
      }
      this.#strikes = undefined;
      await this.#until('leaving', this.#leave(scenario));
      const left = await this.#settled(() => unfinished(history)[0]);
      return left === undefined ? history.problems : [`at the end: ${left}`, ...history.problems];
    } catch (error) {
      return [messageOf(error), ...history.problems];
    } finally {
      this.#strikes = undefined;
      cluster.kill(subject);
      cluster.kill(others);
      await time.runFor(1_000);
    }
  }

  async #ensureNamespace(): Promise<void> {
    await this.user.create(Namespace, { metadata: { name: this.namespace } });
  }

  async #leave({ leaves = [] }: Scenario): Promise<void> {
    for (const [kind, name, namespace] of leaves)
      await this.user.delete(kind, name(this), namespace === undefined ? {} : { namespace }).catch(() => undefined);
    await this.user.delete(Namespace, this.namespace).catch(() => undefined);
    while (this.cluster.history.of('namespaces').has(this.namespace)) await this.cluster.time.sleep(500);
  }

  #until<Value>(what: string, work: Promise<Value>): Promise<Value> {
    return this.cluster.time.runUntil(what, work, stepMsMax);
  }

  async #settled(missing: () => string | undefined): Promise<string | undefined> {
    const { time, history } = this.cluster;
    for (let waitedMs = 0; waitedMs < stepMsMax; waitedMs += 1_000) {
      if (missing() === undefined || history.problems.length > 0) return undefined;
      await time.runFor(1_000);
    }
    return missing();
  }

  #startSubject(controller: string, scenario: Scenario, ordeal: Ordeal): void {
    const { cluster } = this;
    const { time } = cluster;
    const restart = () => this.#startSubject(controller, scenario, ordeal);
    const life = { isOver: false };
    const die = () => {
      if (life.isOver) return;
      life.isOver = true;
      this.blows++;
      cluster.kill(subject);
      time.after(200, restart);
    };
    cluster.startSomeControllers(subject, {
      only: [controller],
      settings: this.#settings,
      through: client => (ordeal === 'restarts at every write' ? this.#deadly(client, die) : this.#disputed(client)),
    });
    const process = cluster.lives.get(subject);
    if (process) process.skewMs = scenario.aheadMs ?? 0;
  }

  /** Every write is the last thing that its process does. */
  #deadly(client: Client, die: () => void): Client {
    return writing(client, async (key, write) => {
      if (this.#strikes === undefined) return write();
      const count = (this.#seen.get(key) ?? 0) + 1;
      this.#seen.set(key, count);
      if (count === 1) {
        die();
        return new Promise<never>(() => undefined);
      }
      // What is done twice for the same end may get on to what comes behind it.
      if (count > 2 && happens(this.#random, 0.5)) return write();
      // The answer finds nobody any more; what made it true is done all the same.
      const done = write();
      done.then(die, die);
      await done;
      return new Promise<never>(() => undefined);
    });
  }

  /** Somebody else is faster, the first time always and later by chance. */
  #disputed(client: Client): Client {
    return writing(client, async (key, write) => {
      if (this.#strikes === undefined) return write();
      const isFirst = !this.#seen.has(key);
      this.#seen.set(key, 1);
      const refuses = isFirst || happens(this.#random, 0.3);
      if (!refuses) return write();
      this.blows++;
      if (!key.startsWith('create'))
        throw errors.conflict({ group: '', plural: 'simulated' }, key, 'somebody else was faster');
      // Not done: what was done and not answered is the other ordeal's, whose caches know of it afterwards.
      throw errors.timeout('the server was too busy');
    });
  }

  async #trouble(): Promise<void> {
    const { network, networkFaults, time, history } = this.cluster;
    history.staleUntilMs = time.nowMs + ordealMs + staleMsMax;
    Object.assign(networkFaults, { stallsWatch: 0.15, silencesWatch: 0.02, doublesEvent: 0.3, breaksWatch: 0.05 });
    for (let leftMs = ordealMs; leftMs > 0; leftMs -= 5_000) {
      await time.runFor(5_000);
      network.breakWatches(subject);
    }
    Object.assign(networkFaults, calm);
    // What was silent is noticed: the next step meets caches that know of this one. Upstream's collector, too, lets only
    // those go free that it knows of.
    await time.runFor(silenceMsMax + ordealMs);
  }
}

/** A client whose writes go through somebody; Events and questions are no writes that anything depends on. */
function writing(client: Client, through: <Value>(key: string, write: () => Promise<Value>) => Promise<Value>): Client {
  const isWritten = (kind: Kind) => kind.kind !== 'Event' && !kind.kind.endsWith('Review');
  const pass = <Value>(verb: string, kind: Kind, name: string | undefined, write: () => Promise<Value>) =>
    isWritten(kind) ? through(`${verb} ${kind.plural} ${name ?? ''}`, write) : write();
  return {
    ...client,
    create: (kind, object, options) =>
      pass('create', kind as unknown as Kind, object.metadata?.name, () => client.create(kind, object, options)),
    update: (kind, object, options) =>
      pass('update', kind as unknown as Kind, object.metadata.name, () => client.update(kind, object, options)),
    patch: (kind, name, patch, options) =>
      pass('patch', kind as unknown as Kind, name, () => client.patch(kind, name, patch, options)),
    delete: (kind, name, options) =>
      pass('delete', kind as unknown as Kind, name, () => client.delete(kind, name, options)),
    deleteCollection: (kind, options) =>
      pass('deleteCollection', kind as unknown as Kind, options?.namespace, () =>
        client.deleteCollection(kind, options),
      ),
    createSubresource: (kind, name, subresource, body, options) =>
      pass(`create ${subresource}`, kind, name, () => client.createSubresource(kind, name, subresource, body, options)),
  };
}
