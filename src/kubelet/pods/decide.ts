import type { Pod } from '#api/core/v1/pod.ts';
import type { Container, EphemeralContainer } from '#api/core/v1/pod-spec.ts';
import type { ContainerStatus, PodSandboxStatus } from '#runtime/runtime.ts';
import { annotations, containerHash, durationText, isSidecar, podText } from './names.ts';
import { restarts, type RestartBackoff } from './restarts.ts';

/** What is known about a pod on this node at one moment. */
export interface PodView {
  readonly pod: Pod;
  /** The newest first. */
  readonly sandboxes: readonly PodSandboxStatus[];
  /** By name; the newest attempt first. */
  readonly containers: ReadonlyMap<string, readonly ContainerStatus[]>;
  readonly health: (containerId: string) => Health;
  readonly backoff: Pick<RestartBackoff, 'until'>;
  readonly volumesReady: boolean;
  /** The pod is to stop, and since when. */
  readonly stopping: Stopping | undefined;
}

export interface Health {
  /** Past its post-start hook and its startup probe. */
  readonly started: boolean;
  readonly failed: 'startup' | 'liveness' | 'postStart' | 'resize' | undefined;
}

export interface Stopping {
  readonly sinceMs: number;
  readonly graceSeconds: number;
}

export type ContainerKind = 'init' | 'main' | 'ephemeral';

export type Action =
  | { readonly do: 'createSandbox'; readonly attempt: number }
  | {
      readonly do: 'start';
      readonly container: Container;
      readonly kind: ContainerKind;
      readonly attempt: number;
      /** When the former attempt ended. */
      readonly afterMs: number | undefined;
    }
  | {
      readonly do: 'kill';
      readonly id: string;
      readonly container: Container;
      readonly why: 'stop' | 'startup' | 'liveness' | 'postStart' | 'resize' | 'changed';
      readonly graceSeconds: number;
    }
  | { readonly do: 'stopSandbox'; readonly id: string }
  /** `name` when the container was never started: not while it is about to be. */
  | { readonly do: 'removeContainer'; readonly id: string; readonly name?: string }
  | { readonly do: 'removeSandbox'; readonly id: string };

export interface Waiting {
  readonly reason: string;
  readonly message: string;
}

/** Why the agent itself has ended a pod. */
export interface Failure extends Waiting {
  /** The reason of the condition DisruptionTarget, when the pod is ended for the node's sake. */
  readonly disruption?: string;
}

export interface Decision {
  readonly actions: readonly Action[];
  /** Why containers that do not run wait, by name. */
  readonly waiting: ReadonlyMap<string, Waiting>;
  /** Decide again then, when nothing has happened before. */
  readonly wakeAtMs: number | undefined;
  /** All init containers have done their work. */
  readonly initialized: boolean;
  /** Every container has ended for good. */
  readonly completed: boolean;
  /** Nothing runs any more. */
  readonly stopped: boolean;
}

const forever = 2 ** 31;
/** Even without any grace left, a container gets this long. */
const graceSecondsMin = 2;

/** What to do next for a pod. Pure: the same view and time give the same actions. */
export function decide(view: PodView, nowMs: number): Decision {
  const draft: Draft = { actions: [], waiting: new Map(), wakeAtMs: undefined, initialized: false, completed: false };
  if (view.stopping) stop(view, view.stopping, draft, nowMs);
  else run(view, draft, nowMs);
  removeDead(view, draft);
  const { actions, waiting, wakeAtMs, initialized, completed } = draft;
  return { actions, waiting, wakeAtMs, initialized, completed, stopped: isStopped(view) };
}

interface Draft {
  actions: Action[];
  waiting: Map<string, Waiting>;
  wakeAtMs: number | undefined;
  initialized: boolean;
  completed: boolean;
}

function isStopped({ sandboxes, containers }: PodView): boolean {
  const alive = [...containers.values()].flat().some(each => each.state === 'running' || each.state === 'created');
  return !alive && !sandboxes.some(({ state }) => state === 'ready');
}

/** Everything but sidecars at once; then the sidecars, the last one first; then the sandbox. */
function stop(view: PodView, stopping: Stopping, draft: Draft, nowMs: number): void {
  const { pod, sandboxes } = view;
  const leftSeconds = stopping.graceSeconds - Math.floor((nowMs - stopping.sinceMs) / 1000);
  const graceSeconds = stopping.graceSeconds === 0 ? 0 : Math.max(graceSecondsMin, leftSeconds);
  const sidecars = (pod.spec?.initContainers ?? []).filter(isSidecar);
  const others = allContainers(pod).filter(({ container }) => !sidecars.includes(container));
  const kill = (container: Container) => {
    const alive = (view.containers.get(container.name) ?? []).filter(isAlive);
    for (const { id } of alive) draft.actions.push({ do: 'kill', id, container, why: 'stop', graceSeconds });
    return alive.length > 0;
  };
  if (others.filter(({ container }) => kill(container)).length > 0) return;
  if (sidecars.toReversed().some(kill)) return;
  const strangers = [...view.containers.values()].flat().filter(isAlive);
  const unknown = { name: strangers[0]?.metadata.name ?? '' } as Container;
  for (const { id } of strangers) draft.actions.push({ do: 'kill', id, container: unknown, why: 'stop', graceSeconds });
  if (strangers.length > 0) return;
  for (const { id, state } of sandboxes) if (state === 'ready') draft.actions.push({ do: 'stopSandbox', id });
}

function isAlive({ state }: ContainerStatus): boolean {
  return state === 'running' || state === 'created';
}

function run(view: PodView, draft: Draft, nowMs: number): void {
  const { pod, sandboxes } = view;
  const [sandbox] = sandboxes;
  if (sandbox?.state !== 'ready') {
    if (sandbox && wasAllDone(view)) draft.completed = true;
    else renewSandbox(view, draft);
    return;
  }
  for (const { id, state } of sandboxes.slice(1)) if (state === 'ready') draft.actions.push({ do: 'stopSandbox', id });
  const here = inSandbox(view, sandbox.id);
  const mains = pod.spec?.containers ?? [];
  const hasStarted = mains.some(({ name }) => here(name) !== undefined);
  for (const container of pod.spec?.ephemeralContainers ?? [])
    if (!here(container.name)) start(view, asContainer(container), 'ephemeral', undefined, draft);
  draft.initialized = runInit(view, here, hasStarted, draft, nowMs);
  if (!draft.initialized) return;
  const ended = mains.map(container => runOne(view, container, 'main', here, draft, nowMs) === 'ended');
  if (!ended.every(Boolean)) return;
  draft.completed = true;
  finish(view, draft);
}

/** The work is done: sidecars are stopped, the last one first, then the sandbox. */
function finish(view: PodView, draft: Draft): void {
  draft.actions = draft.actions.filter(action => action.do !== 'start');
  draft.waiting.clear();
  draft.wakeAtMs = undefined;
  const graceSeconds = view.pod.spec?.terminationGracePeriodSeconds ?? 30;
  const rest = [
    ...(view.pod.spec?.initContainers ?? []),
    ...(view.pod.spec?.ephemeralContainers ?? []).map(asContainer),
  ];
  for (const container of rest.toReversed()) {
    const alive = view.containers.get(container.name)?.find(isAlive);
    if (!alive) continue;
    draft.actions.push({ do: 'kill', id: alive.id, container, why: 'stop', graceSeconds });
    return;
  }
  for (const { id, state } of view.sandboxes) if (state === 'ready') draft.actions.push({ do: 'stopSandbox', id });
}

/** The sandbox is gone after every container had ended for good: nothing to make anew. */
function wasAllDone(view: PodView): boolean {
  const { pod, containers } = view;
  const mains = pod.spec?.containers ?? [];
  const endedForGood = (container: Container, asInit: boolean) => {
    const last = containers.get(container.name)?.[0];
    return last !== undefined && last.state === 'exited' && !restarts(pod, container, last.exitCode, asInit);
  };
  if (mains.every(container => endedForGood(container, false))) return true;
  const inits = (pod.spec?.initContainers ?? []).filter(container => !isSidecar(container));
  return inits.some(each => endedForGood(each, true) && containers.get(each.name)?.[0]?.exitCode !== 0);
}

function renewSandbox(view: PodView, draft: Draft): void {
  const old = [...view.containers.values()].flat().filter(isAlive);
  const attempt = (view.sandboxes[0]?.metadata.attempt ?? -1) + 1;
  for (const { id, metadata } of old) {
    const container = allContainers(view.pod).find(each => each.container.name === metadata.name)?.container;
    const graceSeconds = view.pod.spec?.terminationGracePeriodSeconds ?? 30;
    draft.actions.push({
      do: 'kill',
      id,
      container: container ?? ({ name: metadata.name } as Container),
      why: 'stop',
      graceSeconds,
    });
  }
  if (old.length === 0) draft.actions.push({ do: 'createSandbox', attempt });
}

type Here = (name: string) => ContainerStatus | undefined;

/** Containers of a former sandbox say nothing about this one. */
function inSandbox(view: PodView, sandboxId: string): Here {
  return name => view.containers.get(name)?.find(each => each.podSandboxId === sandboxId);
}

/** True once all init containers have succeeded and the sidecars among them have started. */
function runInit(view: PodView, here: Here, hasStarted: boolean, draft: Draft, nowMs: number): boolean {
  const { pod } = view;
  for (const container of pod.spec?.initContainers ?? []) {
    const status = here(container.name);
    if (isSidecar(container)) {
      const state = runOne(view, container, 'init', here, draft, nowMs);
      if (!hasStarted && (state !== 'running' || !view.health(status?.id ?? '').started)) return false;
      continue;
    }
    if (hasStarted || (status?.state === 'exited' && status.exitCode === 0)) continue;
    const state = runOne(view, container, 'init', here, draft, nowMs);
    if (state === 'ended') {
      draft.completed = true;
      finish(view, draft);
    }
    return false;
  }
  return true;
}

/** Brings one container on its way: `ended` is for good. */
function runOne(
  view: PodView,
  container: Container,
  kind: ContainerKind,
  here: Here,
  draft: Draft,
  nowMs: number,
): 'running' | 'ended' | 'waiting' {
  const { pod } = view;
  const status = here(container.name);
  if (!status) {
    const former = view.containers.get(container.name)?.[0];
    const isOver = kind === 'main' && former?.state === 'exited' && !restarts(pod, container, former.exitCode);
    if (isOver) return 'ended';
    start(view, container, kind, former, draft);
    return 'waiting';
  }
  if (status.state === 'running') {
    const why = reasonToKill(view, container, status);
    if (why)
      draft.actions.push({ do: 'kill', id: status.id, container, why, graceSeconds: graceFor(pod, container, why) });
    return 'running';
  }
  // Made but never started: the agent was stopped in between, or the start was refused.
  if (status.state !== 'exited') {
    draft.actions.push({ do: 'removeContainer', id: status.id, name: container.name });
    return 'waiting';
  }
  if (!restarts(pod, container, status.exitCode, kind === 'init')) return 'ended';
  const until = view.backoff.until(container.name, status.finishedAtMs, nowMs);
  if (until) {
    const message = `back-off ${durationText(until.delayMs)} restarting failed container=${container.name} pod=${podText(pod)}`;
    draft.waiting.set(container.name, { reason: 'CrashLoopBackOff', message });
    draft.wakeAtMs = Math.min(draft.wakeAtMs ?? Number.POSITIVE_INFINITY, until.atMs);
    return 'waiting';
  }
  start(view, container, kind, status, draft);
  return 'waiting';
}

function start(
  view: PodView,
  container: Container,
  kind: ContainerKind,
  former: ContainerStatus | undefined,
  draft: Draft,
): void {
  if (!view.volumesReady) return;
  const attempts = (view.containers.get(container.name) ?? []).map(each => each.metadata.attempt);
  const attempt = Math.max(-1, ...attempts) + 1;
  draft.actions.push({ do: 'start', container, kind, attempt, afterMs: former?.finishedAtMs });
}

function reasonToKill(view: PodView, container: Container, status: ContainerStatus) {
  const { failed } = view.health(status.id);
  if (failed) return failed;
  const hash = status.annotations[annotations.hash];
  return hash !== undefined && hash !== containerHash(container) ? 'changed' : undefined;
}

function graceFor(
  pod: Pod,
  container: Container,
  why: Exclude<Extract<Action, { do: 'kill' }>['why'], 'stop'>,
): number {
  const probe = why === 'startup' ? container.startupProbe : why === 'liveness' ? container.livenessProbe : undefined;
  return Math.min(forever, probe?.terminationGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? 30);
}

/** Of each container the last dead attempt stays, for its log; of sandboxes none but the newest. */
function removeDead(view: PodView, draft: Draft): void {
  for (const attempts of view.containers.values()) {
    const dead = attempts.filter(({ state }) => state === 'exited');
    // Beside a running container one dead one stays; without, the newest and the one before it do not both have to.
    for (const { id } of dead.slice(attempts[0]?.state === 'exited' ? 2 : 1))
      draft.actions.push({ do: 'removeContainer', id });
  }
  const held = new Set([...view.containers.values()].flat().map(({ podSandboxId }) => podSandboxId));
  for (const { id, state } of view.sandboxes.slice(1))
    if (state !== 'ready' && !held.has(id)) draft.actions.push({ do: 'removeSandbox', id });
}

export function allContainers(pod: Pod): readonly { readonly kind: ContainerKind; readonly container: Container }[] {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? {};
  return [
    ...initContainers.map(container => ({ kind: 'init' as const, container })),
    ...containers.map(container => ({ kind: 'main' as const, container })),
    ...ephemeralContainers.map(container => ({ kind: 'ephemeral' as const, container: asContainer(container) })),
  ];
}

/** An ephemeral container has a container's fields, without those that make no sense for it. */
export function asContainer(container: EphemeralContainer): Container {
  return container as unknown as Container;
}
