import type {
  ContainerStatus as ApiContainerStatus,
  ContainerState,
  Pod,
  PodCondition,
  PodStatus,
} from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import { qosClass } from '#api/core/v1/pod-resources.ts';
import { formatTime } from '#api/machinery/time.ts';
import type { ContainerStatus, PodSandboxStatus } from '#runtime/runtime.ts';
import { allContainers, asContainer, type Failure, type Waiting } from '../pods/decide.ts';
import { isSidecar } from '../pods/names.ts';
import { restarts } from '../pods/restarts.ts';

/** What the status of a pod is made from. */
export interface StatusView {
  readonly pod: Pod;
  readonly sandbox: PodSandboxStatus | undefined;
  readonly podIps: readonly string[];
  readonly hostIps: readonly string[];
  /** By name; the newest attempt first. */
  readonly containers: ReadonlyMap<string, readonly ContainerStatus[]>;
  readonly waiting: ReadonlyMap<string, Waiting>;
  readonly initialized: boolean;
  readonly health: (containerId: string) => { readonly started: boolean; readonly ready: boolean };
  readonly messageOf: (containerId: string) => string;
  readonly startTimeMs: number;
  /** Nothing of the pod runs any more, nor will. */
  readonly over: boolean;
  /** The agent itself has ended the pod: rejected, evicted, past its deadline. */
  readonly failure: Failure | undefined;
  /** More was asked for than the node has. */
  readonly resizePending?: Waiting | undefined;
  /** What was granted is being given. */
  readonly resizing?: Waiting | undefined;
  /** The container has what it was granted. Absent: it does. */
  readonly isResized?: (container: Container, status: ContainerStatus) => boolean;
}

export const runtimeScheme = 'windlass';

/** The status of a pod as upstream's kubelet writes it. Pure. */
export function podStatus(view: StatusView, nowMs: number): PodStatus {
  const { pod, failure, hostIps, podIps } = view;
  const initContainerStatuses = pod.spec?.initContainers?.map(each => containerStatus(view, each, 'init'));
  const containerStatuses = (pod.spec?.containers ?? []).map(each => containerStatus(view, each, 'main'));
  const ephemeralContainerStatuses = pod.spec?.ephemeralContainers?.map(each =>
    containerStatus(view, asContainer(each), 'ephemeral'),
  );
  const phase = failure && view.over ? 'Failed' : phaseOf(view, containerStatuses, initContainerStatuses ?? []);
  const { generation } = pod.metadata;
  return {
    phase,
    ...(generation !== undefined && { observedGeneration: generation }),
    conditions: conditions(view, phase, containerStatuses, initContainerStatuses ?? [], nowMs),
    ...(failure && { reason: failure.reason, message: failure.message }),
    ...(hostIps[0] && { hostIP: hostIps[0], hostIPs: hostIps.map(ip => ({ ip })) }),
    ...(podIps[0] && { podIP: podIps[0], podIPs: podIps.map(ip => ({ ip })) }),
    startTime: pod.status?.startTime ?? formatTime(view.startTimeMs),
    ...(initContainerStatuses?.length && { initContainerStatuses }),
    containerStatuses,
    ...(ephemeralContainerStatuses?.length && { ephemeralContainerStatuses }),
    ...(pod.spec && { qosClass: pod.status?.qosClass ?? qosClass(pod.spec) }),
  };
}

function containerStatus(
  view: StatusView,
  container: Container,
  kind: 'init' | 'main' | 'ephemeral',
): ApiContainerStatus {
  const { pod, waiting } = view;
  const attempts = view.containers.get(container.name) ?? [];
  const [newest, former] = attempts;
  const wait = waiting.get(container.name);
  const health = newest ? view.health(newest.id) : { started: false, ready: false };
  const isRunning = newest?.state === 'running';
  const willRestart =
    newest?.state === 'exited' && !view.over && restarts(pod, container, newest.exitCode, kind === 'init');
  const isWaiting =
    newest === undefined || newest.state === 'created' || (newest.state === 'exited' && wait !== undefined);
  // Before its first attempt.
  const fallback: Waiting = {
    reason: pod.spec?.initContainers?.length ? 'PodInitializing' : 'ContainerCreating',
    message: '',
  };
  // An init container that is no sidecar is ready when it has done its work.
  const isStep = kind === 'init' && !isSidecar(container);
  const isDone = newest?.state === 'exited' && newest.exitCode === 0;
  const state: ContainerState = isWaiting ? { waiting: worded(wait ?? fallback) } : stateOf(view, newest);
  const lastOf = isWaiting && newest?.state === 'exited' ? newest : former;
  const previous = pod.status?.[statusesField[kind]]?.find(({ name }) => name === container.name);
  const restartCount = Math.max(newest ? newest.metadata.attempt : 0, willRestart ? 0 : (previous?.restartCount ?? 0));
  const granted = container.resources;
  const isGiven = !isRunning || kind === 'ephemeral' || (view.isResized?.(container, newest) ?? true);
  const resources = isGiven ? granted : (previous?.resources ?? granted);
  return {
    name: container.name,
    state,
    lastState: lastOf?.state === 'exited' ? stateOf(view, lastOf) : {},
    ready: isStep ? isDone : isRunning && health.ready,
    restartCount,
    image: newest?.image.userSpecifiedImage ?? container.image ?? '',
    imageID: newest?.imageRef ?? '',
    ...(newest && { containerID: `${runtimeScheme}://${newest.id}` }),
    started: isRunning && health.started,
    ...(granted?.requests && { allocatedResources: granted.requests }),
    ...(newest && (resources?.requests || resources?.limits)
      ? { resources: withoutClaims(resources) }
      : newest
        ? { resources: {} }
        : {}),
    ...(newest && container.volumeMounts?.length && { volumeMounts: container.volumeMounts.map(mountStatus) }),
    ...(isRunning && newest.user && { user: { linux: userOf(newest.user) } }),
    ...(isRunning &&
      container.lifecycle?.stopSignal && { stopSignal: newest.stopSignal as ApiContainerStatus['stopSignal'] }),
  };
}

const statusesField = {
  init: 'initContainerStatuses',
  main: 'containerStatuses',
  ephemeral: 'ephemeralContainerStatuses',
} as const;

function worded({ reason, message }: Waiting) {
  return { reason, ...(message !== '' && { message }) };
}

function stateOf(view: StatusView, status: ContainerStatus): ContainerState {
  if (status.state === 'running') return { running: { startedAt: formatTime(status.startedAtMs) } };
  const message = view.messageOf(status.id) || status.message;
  return {
    terminated: {
      exitCode: status.exitCode,
      reason: status.reason || (status.exitCode === 0 ? 'Completed' : 'Error'),
      ...(message !== '' && { message }),
      ...(status.startedAtMs > 0 && { startedAt: formatTime(status.startedAtMs) }),
      finishedAt: formatTime(status.finishedAtMs),
      containerID: `${runtimeScheme}://${status.id}`,
    },
  };
}

function withoutClaims(resources: Container['resources']) {
  const { limits, requests } = resources ?? {};
  return { ...(limits && { limits }), ...(requests && { requests }) };
}

function mountStatus({ name, mountPath, readOnly, recursiveReadOnly }: NonNullable<Container['volumeMounts']>[number]) {
  return {
    name,
    mountPath,
    ...(readOnly && { readOnly }),
    ...(readOnly && { recursiveReadOnly: recursiveReadOnly === 'Enabled' ? 'Enabled' : 'Disabled' }),
  };
}

function userOf({ uid, gid, supplementalGroups }: NonNullable<ContainerStatus['user']>) {
  return { uid, gid, supplementalGroups };
}

type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

function phaseOf(view: StatusView, mains: readonly ApiContainerStatus[], inits: readonly ApiContainerStatus[]): Phase {
  const { pod, over } = view;
  const old = pod.status?.phase;
  if (old === 'Succeeded' || old === 'Failed') return old;
  const spec = pod.spec;
  if (!spec) return 'Pending';
  const hasMains = mains.some(({ state, lastState }) => !state?.waiting || lastState?.terminated);
  if (!hasMains) {
    if (initFailed(view, inits)) return 'Failed';
    // Stopped before anything of it had run.
    if (over && view.pod.metadata.deletionTimestamp !== undefined) return 'Failed';
    return 'Pending';
  }
  const isWaiting = mains.some(({ state, lastState }) => state?.waiting && !lastState?.terminated);
  const isRunning = mains.some(({ state }) => state?.running);
  if (isWaiting && !over) return 'Pending';
  if (isRunning) return 'Running';
  const ends = mains.map(({ state, lastState }) => state?.terminated ?? lastState?.terminated);
  const failed = ends.some(end => end === undefined || end.exitCode !== 0);
  if (over) return failed ? 'Failed' : 'Succeeded';
  const restarting = spec.containers.some((container, at) => restarts(pod, container, ends[at]?.exitCode ?? 0));
  if (restarting || sidecarRuns(view, inits)) return 'Running';
  return failed ? 'Failed' : 'Succeeded';
}

function sidecarRuns({ pod }: StatusView, inits: readonly ApiContainerStatus[]): boolean {
  return (pod.spec?.initContainers ?? []).some((container, at) => isSidecar(container) && inits[at]?.state?.running);
}

function initFailed({ pod }: StatusView, inits: readonly ApiContainerStatus[]): boolean {
  return (pod.spec?.initContainers ?? []).some((container, at) => {
    const end = inits[at]?.state?.terminated;
    return end !== undefined && end.exitCode !== 0 && !restarts(pod, container, end.exitCode, true);
  });
}

function conditions(
  view: StatusView,
  phase: Phase,
  mains: readonly ApiContainerStatus[],
  inits: readonly ApiContainerStatus[],
  nowMs: number,
): PodCondition[] {
  const { pod, sandbox } = view;
  const terminal = phase === 'Succeeded' ? 'PodCompleted' : phase === 'Failed' ? 'PodFailed' : undefined;
  const condition = (type: string, isTrue: boolean, reason?: string, message?: string): PodCondition => {
    const status = isTrue ? 'True' : 'False';
    const old = pod.status?.conditions?.find(each => each.type === type);
    const { generation } = pod.metadata;
    return {
      type,
      status,
      lastProbeTime: null as unknown as undefined,
      lastTransitionTime: (old?.status === status ? old.lastTransitionTime : undefined) ?? formatTime(nowMs),
      ...(generation !== undefined && { observedGeneration: generation }),
      ...(reason && { reason }),
      ...(message && { message }),
    };
  };
  const incomplete = (pod.spec?.initContainers ?? [])
    .filter((container, at) => (isSidecar(container) ? !inits[at]?.started : inits[at]?.ready !== true))
    .map(({ name }) => name);
  const initialized = view.initialized || incomplete.length === 0;
  const unready = [
    ...(pod.spec?.initContainers ?? [])
      .filter((each, at) => isSidecar(each) && !inits[at]?.ready)
      .map(({ name }) => name),
    ...mains.filter(({ ready }) => !ready).map(({ name }) => name),
  ];
  const containersReady = !terminal && unready.length === 0 && initialized;
  const notReady: [string, string] = terminal
    ? [terminal, '']
    : ['ContainersNotReady', `containers with unready status: [${unready.join(' ')}]`];
  const gates = containersReady ? closedGates(pod) : [];
  const hasNetwork = sandbox?.state === 'ready' && (pod.spec?.hostNetwork || view.podIps.length > 0);
  return [
    condition('PodReadyToStartContainers', hasNetwork === true),
    initialized
      ? condition('Initialized', true, phase === 'Succeeded' ? 'PodCompleted' : undefined)
      : condition(
          'Initialized',
          false,
          'ContainersNotInitialized',
          `containers with incomplete status: [${incomplete.join(' ')}]`,
        ),
    gates.length > 0
      ? condition('Ready', false, 'ReadinessGatesNotReady', gates.join(', '))
      : condition('Ready', containersReady, ...(containersReady ? [] : notReady)),
    condition('ContainersReady', containersReady, ...(containersReady ? [] : notReady)),
    ...(view.resizePending
      ? [condition('PodResizePending', true, view.resizePending.reason, view.resizePending.message)]
      : []),
    ...(view.resizing ? [condition('PodResizeInProgress', true, view.resizing.reason, view.resizing.message)] : []),
    ...(view.failure?.disruption === undefined
      ? []
      : [condition('DisruptionTarget', true, view.failure.disruption, view.failure.message)]),
  ];
}

function closedGates(pod: Pod): string[] {
  return (pod.spec?.readinessGates ?? []).flatMap(({ conditionType }) => {
    const found = pod.status?.conditions?.find(({ type }) => type === conditionType);
    const quoted = JSON.stringify(conditionType);
    if (!found) return [`corresponding condition of pod readiness gate ${quoted} does not exist.`];
    if (found.status === 'True') return [];
    return [`the status of pod readiness gate ${quoted} is not "True", but ${found.status}`];
  });
}

/** Every container of the pod, for what only needs names. */
export function containerNames(pod: Pod): readonly string[] {
  return allContainers(pod).map(({ container }) => container.name);
}
