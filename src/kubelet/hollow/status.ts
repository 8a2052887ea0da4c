import type { Pod, PodCondition, PodStatus, ContainerStatus } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import { formatTime } from '#api/machinery/time.ts';

/** How far a pretended pod has come. */
export interface HollowState {
  readonly podIp: string;
  readonly hostIp: string;
  readonly startedMs: number;
  readonly ready: boolean;
  readonly ended?: { readonly atMs: number; readonly exitCode: number };
}

/** The status of a pod as a node agent would have written it. Pure. */
export function hollowStatus(pod: Pod, state: HollowState, nowMs: number): PodStatus {
  const { ended, ready, podIp, hostIp } = state;
  const containersReady = ready && !ended;
  const now = formatTime(nowMs);
  const reason = ended ? (ended.exitCode === 0 ? 'PodCompleted' : 'PodFailed') : undefined;
  const notReady = reason ? { reason } : { reason: 'ContainersNotReady', message: notReadyMessage(pod) };
  const conditionsMet = containersReady && gatesOpen(pod);
  const generation = pod.metadata.generation;
  const condition = (type: string, status: boolean, more: Partial<PodCondition> = {}): PodCondition => ({
    type,
    status: status ? 'True' : 'False',
    lastProbeTime: null as unknown as undefined,
    lastTransitionTime: sinceOf(pod, type, status) ?? now,
    ...(generation !== undefined && { observedGeneration: generation }),
    ...more,
  });
  const failedGate = { reason: 'ReadinessGatesNotReady', message: 'the status of pod readiness gate is not "True"' };
  return {
    phase: ended ? (ended.exitCode === 0 ? 'Succeeded' : 'Failed') : 'Running',
    ...(generation !== undefined && { observedGeneration: generation }),
    conditions: [
      condition('PodReadyToStartContainers', !ended),
      condition('Initialized', true, ended && reason ? { reason } : {}),
      condition('Ready', conditionsMet, conditionsMet ? {} : containersReady ? failedGate : notReady),
      condition('ContainersReady', containersReady, containersReady ? {} : notReady),
    ],
    hostIP: hostIp,
    hostIPs: [{ ip: hostIp }],
    podIP: podIp,
    podIPs: [{ ip: podIp }],
    startTime: pod.status?.startTime ?? formatTime(state.startedMs),
    containerStatuses: pod.spec?.containers.map(container => containerStatus(pod, container, state)) ?? [],
    ...(pod.spec?.initContainers?.length && {
      initContainerStatuses: pod.spec.initContainers.map(container => initStatus(pod, container, state)),
    }),
  };
}

function notReadyMessage(pod: Pod): string {
  const names = pod.spec?.containers.map(({ name }) => name) ?? [];
  return `containers with unready status: [${names.join(' ')}]`;
}

/** Whether the Ready condition no longer says what the readiness gates say. */
export function gateMoved(pod: Pod): boolean {
  if (!pod.spec?.readinessGates?.length) return false;
  const ready = pod.status?.conditions?.find(({ type }) => type === 'Ready');
  return (ready?.status === 'True') !== gatesOpen(pod);
}

function gatesOpen(pod: Pod): boolean {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return true;
  const isTrue = (type: string) => pod.status?.conditions?.some(each => each.type === type && each.status === 'True');
  return gates.every(gate => isTrue(gate.conditionType));
}

function sinceOf(pod: Pod, type: string, status: boolean): string | undefined {
  const old = pod.status?.conditions?.find(each => each.type === type);
  return old?.status === (status ? 'True' : 'False') ? old.lastTransitionTime : undefined;
}

function containerStatus(pod: Pod, container: Container, state: HollowState): ContainerStatus {
  return {
    ...identity(pod, container),
    ready: state.ready && !state.ended,
    started: !state.ended,
    state: state.ended ? terminated(pod, container, state) : running(state),
    lastState: {},
    restartCount: 0,
  };
}

function initStatus(pod: Pod, container: Container, state: HollowState): ContainerStatus {
  if (container.restartPolicy === 'Always') return containerStatus(pod, container, state);
  const ended = { atMs: state.startedMs, exitCode: 0 };
  return {
    ...identity(pod, container),
    ready: true,
    started: false,
    state: terminated(pod, container, { ...state, ended }),
    lastState: {},
    restartCount: 0,
  };
}

function identity(pod: Pod, { name, image = '' }: Container) {
  return { name, image, imageID: image, containerID: containerId(pod, name) };
}

function containerId(pod: Pod, name: string): string {
  return `windlass://${pod.metadata.uid ?? ''}-${name}`;
}

function running({ startedMs }: HollowState) {
  return { running: { startedAt: formatTime(startedMs) } };
}

function terminated(pod: Pod, { name }: Container, { startedMs, ended }: HollowState) {
  const exitCode = ended?.exitCode ?? 0;
  return {
    terminated: {
      exitCode,
      reason: exitCode === 0 ? 'Completed' : 'Error',
      startedAt: formatTime(startedMs),
      finishedAt: formatTime(ended?.atMs ?? startedMs),
      containerID: containerId(pod, name),
    },
  };
}
