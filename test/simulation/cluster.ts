import { admissionChain } from '#admission/chain.ts';
import type { Kind } from '#api/machinery/kind.ts';
import { ensureBootstrapObjects } from '#apiserver/bootstrap.ts';
import { discoveryPaths } from '#apiserver/discovery/discovery.ts';
import { ensureFlowControlConfiguration } from '#apiserver/flow-control/ensure-configuration.ts';
import { subjectAccessReview } from '#apiserver/reviews/access-review.ts';
import { startApiServer, type ApiServer } from '#apiserver/server.ts';
import { mastersAuthorizer } from '#auth/authorization/always-allow.ts';
import { union } from '#auth/authorization/authorizer.ts';
import { rbacEscalationCheck } from '#auth/authorization/escalation.ts';
import { followRoles } from '#auth/authorization/follow.ts';
import { reconcileBootstrapPolicy } from '#auth/authorization/policy/bootstrap-policy.ts';
import { rbacAuthorizer } from '#auth/authorization/rbac.ts';
import { loopbackAdmin, serviceAccountUser, type User } from '#auth/user.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { Client } from '#client/client.ts';
import { openEventRecorder } from '#client/events.ts';
import { inProcessClient } from '#client/in-process.ts';
import { openInformers } from '#client/informers.ts';
import { leadWhileHolding } from '#client/lease.ts';
import { startControllers, type StartControllersOptions } from '#controllers/controllers.ts';
import { hollowNames, startHollowNodes } from '#kubelet/hollow.ts';
import { startScheduler } from '#scheduler/scheduler.ts';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';
import type { Storage } from '#storage/storage.ts';
import { chanceFor } from './chance.ts';
import { calmDisk, sharedStoreOf, type DiskFaults } from './disk.ts';
import { SimulatedFiles } from './files.ts';
import { History } from './history.ts';
import { calm, Network, type NetworkFaults } from './network.ts';
import { Life, VirtualTime } from './virtual-time.ts';

export interface SimulatedOptions {
  readonly seed: number;
  readonly apiServers: number;
  readonly nodes: number;
  /** Served instead of what a default server serves. */
  readonly kinds?: readonly Kind[];
  /** Changes the world for the worse, in a test that shows that it is noticed. */
  readonly planted?: Planted;
}

/** Bugs that a test puts in. */
export interface Planted {
  /** Between the API servers and the store. */
  storage?(storage: Storage): Storage;
  /** Between a component (`controllers`, `scheduler`, `node`) and the network. */
  client?(component: string, client: Client): Client;
}

export interface ChosenControllers extends Pick<StartControllersOptions, 'only' | 'except' | 'settings'> {
  /** Stands between the controllers and the network. */
  readonly through?: (client: Client) => Client;
}

interface Process {
  readonly life: Life;
  readonly random: Random;
  readonly log: Log;
}

type Component = 'controllers' | 'scheduler' | 'node';

export const storeName = 'store';

/**
 * One API server with its store inside itself (the real SQLite back end), or two that share one. Controllers and schedulers
 * stand twice where there are two API servers: one of each leads. Every node is a process.
 */
export class SimulatedCluster implements Disposable {
  readonly time = new VirtualTime();
  readonly history: History;
  readonly network: Network;
  readonly networkFaults: NetworkFaults = { ...calm };
  readonly diskFaults: DiskFaults = { ...calmDisk };
  /** What runs, by its name. */
  readonly lives = new Map<string, Life>();
  readonly nodeNames: readonly string[];
  readonly #options: SimulatedOptions;
  readonly #incarnations = new Map<string, number>();
  readonly #files: SimulatedFiles;
  /** What all servers share, where there are several. */
  readonly #shared = openMemoryStorage();
  /** As the server of this moment has it. */
  #storage: Storage | undefined;
  readonly user: Client;

  constructor(options: SimulatedOptions) {
    this.#options = options;
    this.history = new History(this.time);
    const note = (line: string) => this.history.note(line);
    this.#files = new SimulatedFiles({ time: this.time, faults: this.diskFaults, note });
    this.network = new Network({
      time: this.time,
      random: chanceFor(options.seed, 'network'),
      faults: this.networkFaults,
      observeWatch: (server, client, request) => this.history.watchObserver(server, client, request),
    });
    this.nodeNames = hollowNames(options.nodes);
    this.user = this.network.clientOf(new Life('user'), {
      name: 'user',
      groups: ['system:masters', 'system:authenticated'],
    });
  }

  get serverNames(): readonly string[] {
    return Array.from({ length: this.#options.apiServers }, (_, index) => `server-${index}`);
  }

  /** Names of everything that can be killed. */
  get processNames(): readonly string[] {
    const copies = this.serverNames.map((_, index) => index);
    return [
      ...this.serverNames,
      ...copies.map(index => `controllers-${index}`),
      ...copies.map(index => `scheduler-${index}`),
      ...this.nodeNames,
    ];
  }

  get isShared(): boolean {
    return this.#options.apiServers > 1;
  }

  async start(others: readonly string[] = this.processNames): Promise<void> {
    if (this.isShared) await this.history.follow(this.#shared);
    for (const name of this.serverNames) await this.time.runUntil(name, this.#startServer(name));
    for (const name of others) if (!name.startsWith('server-')) this.startProcess(name);
  }

  /** Some of the controllers as a process of their own, which need not lead first. */
  startSomeControllers(name: string, chosen: ChosenControllers): void {
    const { through = client => client, settings, ...which } = chosen;
    const { life, random, log } = this.#begin(name);
    const clock = this.time.clockOf(life);
    const clientFor = (account: string) => through(this.#client('controllers', life, accountOf(account)));
    const client = through(this.#client('controllers', life, loopbackAdmin));
    startControllers({
      client,
      clientFor,
      informers: openInformers(client, { clock, random, log }),
      clock,
      random,
      log,
      settings: { caCertPem: 'certificate', ...settings },
      serves: () => true,
      ...which,
    });
  }

  /** Ends a process as by SIGKILL. */
  kill(name: string): void {
    this.history.note(`kill ${name}`);
    this.lives.get(name)?.end();
    this.lives.delete(name);
  }

  /** Ends everything, and leaves nothing behind. */
  [Symbol.dispose](): void {
    for (const life of this.lives.values()) life.end();
    this.#files[Symbol.dispose]();
  }

  /** Forgets what happened long ago, at a moment that no server has chosen. */
  compact(revision: number): void {
    const storage = this.isShared ? this.#shared : this.#storage;
    storage?.compact(revision).catch((error: unknown) => this.history.note(`no compaction: ${messageOf(error)}`));
  }

  /** Starts a process that is not running. What it does when it cannot is like a container that is started again. */
  startProcess(name: string): void {
    if (this.lives.has(name)) return;
    this.history.note(`start ${name}`);
    if (name.startsWith('server-')) this.#startServer(name).catch((error: unknown) => this.#failedToStart(name, error));
    else {
      const component = this.nodeNames.includes(name) ? 'node' : (name.replace(/-\d+$/, '') as Component);
      this.#startComponent(component, name).catch((error: unknown) => this.#failedToStart(name, error));
    }
  }

  #failedToStart(name: string, error: unknown): void {
    this.history.note(`${name} did not start: ${messageOf(error)}`);
    this.kill(name);
    this.time.after(2_000, () => this.startProcess(name));
  }

  #begin(name: string): Process {
    const incarnation = (this.#incarnations.get(name) ?? 0) + 1;
    this.#incarnations.set(name, incarnation);
    const life = new Life(name);
    this.lives.set(name, life);
    return { life, random: chanceFor(this.#options.seed, `${name}/${incarnation}`), log: this.#logOf(name) };
  }

  async #startServer(name: string): Promise<void> {
    const { life, random, log } = this.#begin(name);
    const clock = this.time.clockOf(life);
    const { planted, apiServers } = this.#options;
    const seen = await this.#openStore(name, life);
    const storage = planted?.storage?.(seen) ?? seen;
    const started = Promise.withResolvers<ApiServer>();
    started.promise.catch(() => undefined);
    const client = inProcessClient<User>(
      async (as, request) => (await started.promise).handleAs(as, request),
      loopbackAdmin,
    );
    const informers = openInformers(client, { clock, random, log });
    const roles = followRoles(informers);
    const authorizer = union([mastersAuthorizer, rbacAuthorizer(roles.index)]);
    const checkEscalation = rbacEscalationCheck(roles.index, authorizer);
    const server = await startApiServer({
      storage,
      authenticate: () => loopbackAdmin,
      authorizer,
      admission: admissionChain({ informers, client, clock, random, authorizer, checkEscalation }),
      clock,
      random,
      log,
      serviceCIDR: '10.96.0.0/16',
      handlers: { 'subjectaccessreviews.authorization.k8s.io': subjectAccessReview },
      // So few that a crowd can fill them.
      inFlight: { readOnlyMax: 60, mutatingMax: 30, fair: true },
      freezes: true,
      ...(this.#options.kinds && { kinds: this.#options.kinds }),
      rawPaths: registry =>
        discoveryPaths({
          kinds: () => registry.kinds,
          onChange: listener => void registry.onChange(listener),
          serverAddress: 'localhost',
        }),
    });
    started.resolve(server);
    await ensureBootstrapObjects(client, server.seed, {
      serviceCIDR: '10.96.0.0/16',
      serviceIP: '10.96.0.1',
      advertise: undefined,
      isAlone: apiServers === 1,
    });
    await Promise.all([
      reconcileBootstrapPolicy(client, server.seed),
      ensureFlowControlConfiguration(client, server.seed),
    ]);
    await Promise.all([roles.synced, informers.synced]);
    this.network.attach({ name, life, handle: (user, request) => server.handleAs(user, request) });
  }

  async #openStore(name: string, life: Life): Promise<Storage> {
    const random = chanceFor(this.#options.seed, `disk of ${name}/${this.#incarnations.get(name)}`);
    if (this.isShared)
      return sharedStoreOf(life, {
        storage: this.#shared,
        time: this.time,
        random,
        faults: this.diskFaults,
        isCut: () => this.network.isCut(name, storeName),
      });
    try {
      this.#storage = await this.#files.open(life, random);
      await this.history.follow(this.#storage);
    } catch (error) {
      // Whatever the disk was left with, the store has to open it.
      this.history.problem(`the store does not open: ${messageOf(error)}`);
      throw error;
    }
    return this.#storage;
  }

  async #startComponent(component: Component, name: string): Promise<void> {
    const process = this.#begin(name);
    if (component === 'node') return this.#startNode(process);
    const candidate = this.#client(component, process.life, {
      name: component === 'controllers' ? 'system:kube-controller-manager' : 'system:kube-scheduler',
      groups: ['system:authenticated'],
    });
    const act = component === 'controllers' ? this.#startControllers : this.#startScheduler;
    const acting = new AbortController();
    const clock = this.time.clockOf(process.life);
    await leadWhileHolding(
      {
        client: candidate,
        namespace: 'kube-system',
        name: component === 'controllers' ? 'kube-controller-manager' : 'kube-scheduler',
        identity: `${name}_${process.random.uuid()}`,
        clock,
        random: process.random,
        log: process.log,
      },
      async leading => {
        await act.call(this, process, candidate, leading);
        if (!leading.aborted)
          await new Promise<void>(resolve => leading.addEventListener('abort', () => resolve(), { once: true }));
      },
      acting.signal,
    );
  }

  async #startControllers({ life, random, log }: Process): Promise<void> {
    const clock = this.time.clockOf(life);
    const client = this.#client('controllers', life, loopbackAdmin);
    startControllers({
      client,
      clientFor: account => this.#client('controllers', life, accountOf(account)),
      informers: openInformers(client, { clock, random, log }),
      clock,
      random,
      log,
      settings: { caCertPem: 'certificate' },
    });
  }

  async #startScheduler({ life, random, log }: Process, client: Client, signal: AbortSignal): Promise<void> {
    const clock = this.time.clockOf(life);
    await startScheduler({
      client,
      informers: openInformers(client, { clock, random, log }),
      eventsOf: component => openEventRecorder({ client, component, clock, log }),
      clock,
      random,
      log,
      signal,
    });
  }

  async #startNode({ life, random, log }: Process): Promise<void> {
    await startHollowNodes({
      client: this.#client('node', life, loopbackAdmin),
      names: [life.name],
      firstIndex: this.nodeNames.indexOf(life.name),
      clock: this.time.clockOf(life),
      random,
      log,
      capacity: { cpu: '8', memory: '32Gi', pods: '40', 'ephemeral-storage': '100Gi' },
      labels: (_, index) => ({ 'topology.kubernetes.io/zone': `zone-${index % 3}` }),
      behaviour: [
        { ownerKind: 'Job', startMs: 500, runMs: 5_000, stopMs: 1_000 },
        { startMs: 500, readyMs: 1_000, stopMs: 2_000 },
      ],
    });
  }

  #client(component: Component, life: Life, user: User): Client {
    const client = this.network.clientOf(life, user);
    return this.#options.planted?.client?.(component, client) ?? client;
  }

  /** What is logged as an error is a line of the run; most is there because of the faults. */
  #logOf(name: string): Log {
    const line = (level: string) => (message: string, fields?: Readonly<Record<string, unknown>>) => {
      if (process.env.SIMULATION_LOG) this.history.note(`${name} ${level} ${message} ${textOf(fields)}`);
    };
    const log: Log = {
      debug() {},
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
      child: component => this.#logOf(`${name}/${component}`),
    };
    return log;
  }
}

/** As the control plane gives them out. */
function accountOf(name: string): User {
  return name === 'kube-controller-manager'
    ? { name: 'system:kube-controller-manager', groups: ['system:authenticated'] }
    : serviceAccountUser('kube-system', name);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function textOf(fields: Readonly<Record<string, unknown>> | undefined): string {
  return Object.entries(fields ?? {})
    .map(([key, value]) => `${key}=${value instanceof Error ? value.message : String(value)}`)
    .join(' ');
}
