import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { ContainerEvents } from '../events.ts';
import {
  type Container,
  type ContainerEvent,
  type ContainerEventType,
  type ContainerState,
  type ContainerStatus,
  isRuntimeError,
  type PodSandbox,
  type PodSandboxState,
  type PodSandboxStatus,
} from '../runtime.ts';

/** What is asked of the runtime to find out what has changed. */
export interface Observed {
  /** Everything, or one pod. */
  list(podSandboxId: string | undefined, signal: AbortSignal): Promise<Listing>;
  /** The pod as it is now; `undefined` when it is gone. */
  look(podSandboxId: string, signal: AbortSignal): Promise<Look | undefined>;
  /** Calls back with a pod in which something has happened; ends or fails when the runtime says no more. */
  hints(hint: (podSandboxId: string) => void, signal: AbortSignal): Promise<void>;
}

export interface Listing {
  readonly sandboxes: readonly Pick<PodSandbox, 'id' | 'state'>[];
  readonly containers: readonly Pick<Container, 'id' | 'podSandboxId' | 'state'>[];
}

export interface Look {
  readonly status: PodSandboxStatus;
  readonly containers: readonly ContainerStatus[];
}

/** Upstream's period of asking a runtime that has no events (PLEG), and of asking one that has, for safety. */
const relistPeriodMs = 1_000;
const relistPeriodWithEventsMs = 30_000;

interface Change {
  readonly type: ContainerEventType;
  readonly containerId: string;
  readonly podSandboxId: string;
}

/**
 * Turns what is seen of a runtime into the contract's events: each change once and in order, whoever tells of it first:
 * our own calls, the runtime's event stream where it has one, or the list that is compared with the last one. It rests
 * while nobody reads.
 */
export class Changes {
  readonly #observed: Observed;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #events = new ContainerEvents();
  readonly #abort = new AbortController();
  #sandboxes = new Map<string, PodSandboxState>();
  #containers = new Map<string, { readonly state: ContainerState; readonly podSandboxId: string }>();
  /** One thing at a time: what was seen earlier is told earlier. */
  #queue: Promise<void> = Promise.resolve();
  #awaited = new Set<string>();
  #following: Promise<void> | undefined;
  #hasEvents = false;
  #reachable = true;

  constructor(observed: Observed, clock: Clock, log: Log) {
    this.#observed = observed;
    this.#clock = clock;
    this.#log = log;
  }

  subscribe(signal: AbortSignal): AsyncIterable<ContainerEvent> {
    const events = this.#events.subscribe(signal);
    this.#start();
    return events;
  }

  /** A call of ours has made this state; it is told even when it is over before anybody could see it. */
  sandboxIs(id: string, state: PodSandboxState): void {
    this.#enqueue(async () => {
      if (!this.#sandboxes.has(id)) await this.#tell(this.#noteSandbox(id, state));
    });
  }

  containerIs(id: string, podSandboxId: string, state: ContainerState): void {
    this.#enqueue(async () => {
      const known = this.#containers.get(id);
      if (!known || rank[known.state] < rank[state]) await this.#tell(this.#noteContainer(id, podSandboxId, state));
    });
  }

  /** Something has happened in the pod. */
  happenedIn(podSandboxId: string): void {
    if (!this.#events.hasReaders || this.#awaited.has(podSandboxId)) return;
    this.#awaited.add(podSandboxId);
    this.#enqueue(async signal => {
      this.#awaited.delete(podSandboxId);
      await this.#tell(this.#compare(await this.#observed.list(podSandboxId, signal), podSandboxId));
    });
  }

  async end(): Promise<void> {
    this.#abort.abort(new Error('the container runtime was closed'));
    this.#events.end();
    await this.#following;
    await this.#queue;
  }

  #start(): void {
    if (!this.#events.hasReaders || this.#following || this.#abort.signal.aborted) return;
    this.#following = this.#follow().finally(() => {
      this.#following = undefined;
      // Somebody may have come while the last one was leaving.
      this.#start();
    });
  }

  async #follow(): Promise<void> {
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#abort.signal]);
    const hints = this.#followHints(signal);
    try {
      // What was there before is no change.
      await this.#enqueue(async each => {
        this.#compare(await this.#observed.list(undefined, each), undefined);
      });
      let listedMs = this.#clock.monotonic();
      while (this.#events.hasReaders && !signal.aborted) {
        await this.#clock.sleep(relistPeriodMs, signal);
        if (this.#hasEvents && this.#clock.monotonic() - listedMs < relistPeriodWithEventsMs) continue;
        listedMs = this.#clock.monotonic();
        await this.#enqueue(async each => {
          await this.#tell(this.#compare(await this.#observed.list(undefined, each), undefined));
        });
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      stop.abort(new Error('nobody reads the events'));
      await hints;
    }
  }

  async #followHints(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#observed.hints(podSandboxId => {
          this.#hasEvents = true;
          this.happenedIn(podSandboxId);
        }, signal);
      } catch (error) {
        if (isRuntimeError(error, 'Unimplemented')) return;
        if (!signal.aborted) this.#log.debug('the runtime has ended its events', { error });
      }
      this.#hasEvents = false;
      await this.#clock.sleep(relistPeriodMs, signal).catch(() => undefined);
    }
  }

  #enqueue(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (!this.#events.hasReaders) return Promise.resolve();
    const { signal } = this.#abort;
    this.#queue = this.#queue.then(async () => {
      if (signal.aborted) return;
      try {
        await run(signal);
        this.#reachable = true;
      } catch (error) {
        if (signal.aborted) return;
        // The next list finds what this one has missed.
        if (this.#reachable) this.#log.warn('cannot see what the container runtime does', { error });
        this.#reachable = false;
      }
    });
    return this.#queue;
  }

  /** Takes the list as what is known from now on and answers how it differs: first what stopped, last what is gone. */
  #compare({ sandboxes, containers }: Listing, podSandboxId: string | undefined): Change[] {
    const inScope = (pod: string) => podSandboxId === undefined || pod === podSandboxId;
    const foundSandboxes = new Set(sandboxes.map(({ id }) => id));
    const foundContainers = new Set(containers.map(({ id }) => id));
    const goneContainers = [...this.#containers].filter(
      ([id, { podSandboxId: pod }]) => inScope(pod) && !foundContainers.has(id),
    );
    const goneSandboxes = [...this.#sandboxes].filter(([id]) => inScope(id) && !foundSandboxes.has(id));
    const seen = [
      ...goneContainers.flatMap(([id, { podSandboxId: pod }]) => this.#noteContainer(id, pod, 'exited', true)),
      ...containers.flatMap(({ id, podSandboxId: pod, state }) => this.#noteContainer(id, pod, state)),
      ...goneSandboxes.flatMap(([id]) => this.#noteSandbox(id, 'notReady')),
      ...sandboxes.flatMap(({ id, state }) => this.#noteSandbox(id, state)),
    ];
    for (const [id, { podSandboxId: pod }] of goneContainers) {
      this.#containers.delete(id);
      seen.push({ type: 'deleted', containerId: id, podSandboxId: pod });
    }
    for (const [id] of goneSandboxes) {
      this.#sandboxes.delete(id);
      seen.push({ type: 'deleted', containerId: id, podSandboxId: id });
    }
    // A pod that came up in the same list starts before what is in it.
    const isStart = ({ type, containerId, podSandboxId: pod }: Change) => type === 'started' && containerId === pod;
    return [...seen.filter(isStart), ...seen.filter(change => !isStart(change))];
  }

  #noteSandbox(id: string, state: PodSandboxState): Change[] {
    const known = this.#sandboxes.get(id);
    if (known === state) return [];
    this.#sandboxes.set(id, state);
    return [{ type: state === 'ready' ? 'started' : 'stopped', containerId: id, podSandboxId: id }];
  }

  #noteContainer(id: string, podSandboxId: string, state: ContainerState, onlyWhenItRan = false): Change[] {
    const known = this.#containers.get(id);
    if (known?.state === state || (onlyWhenItRan && known?.state !== 'running')) return [];
    this.#containers.set(id, { state, podSandboxId });
    const type = eventOf[state];
    return type ? [{ type, containerId: id, podSandboxId }] : [];
  }

  async #tell(changes: readonly Change[]): Promise<void> {
    const looks = new Map<string, Look | undefined>();
    for (const { podSandboxId } of changes)
      if (!looks.has(podSandboxId))
        looks.set(podSandboxId, await this.#observed.look(podSandboxId, this.#abort.signal));
    for (const change of changes) {
      const look = looks.get(change.podSandboxId);
      this.#events.publish({
        ...change,
        createdAtMs: this.#clock.now(),
        podSandboxStatus: look?.status,
        containersStatuses: look?.containers ?? [],
      });
    }
  }
}

/** A container never goes back. */
const rank: Readonly<Record<ContainerState, number>> = { created: 0, unknown: 1, running: 1, exited: 2 };

const eventOf: Readonly<Record<ContainerState, ContainerEventType | undefined>> = {
  created: 'created',
  running: 'started',
  exited: 'stopped',
  unknown: undefined,
};
