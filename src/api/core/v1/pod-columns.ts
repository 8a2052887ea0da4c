import { ageColumn, nameColumn, text, wide } from '../../machinery/columns.ts';
import { formatAge } from '../../machinery/duration.ts';
import type { Column, WithSpec } from '../../machinery/kind.ts';
import type { PodSpec } from './pod-spec.ts';
import type { ContainerStatus, PodStatus } from './pod.ts';

type PodLike = WithSpec<PodSpec, PodStatus>;

/** What `kubectl get pods` shows. */
export const podColumns: readonly Column<PodLike>[] = [
  nameColumn,
  text('Ready', 'Ready containers of all.', pod => {
    const { ready, total } = summarize(pod);
    return `${ready}/${total}`;
  }),
  text('Status', 'Phase of the pod, or what keeps a container from running.', pod => summarize(pod).reason),
  text('Restarts', 'How often containers were restarted, and when the last time.', (pod, nowMs) => {
    const { restarts, lastRestart } = summarize(pod);
    return restarts > 0 && lastRestart ? `${restarts} (${formatAge(lastRestart, nowMs)} ago)` : String(restarts);
  }),
  ageColumn,
  wide(text('IP', 'Address of the pod.', pod => pod.status.podIPs?.[0]?.ip || '<none>')),
  wide(text('Node', 'Node it runs on.', pod => pod.spec.nodeName || '<none>')),
  wide(
    text('Nominated Node', 'Node on which room is being made for it.', pod => pod.status.nominatedNodeName || '<none>'),
  ),
  wide(text('Readiness Gates', 'Conditions that are true of those it waits for.', readinessGates)),
];

interface Summary {
  readonly ready: number;
  readonly total: number;
  readonly reason: string;
  readonly restarts: number;
  readonly lastRestart: string;
}

function summarize({ metadata, spec, status }: PodLike): Summary {
  const isGated = (status.conditions ?? []).some(
    each => each.type === 'PodScheduled' && each.reason === 'SchedulingGated',
  );
  let reason = isGated ? 'SchedulingGated' : status.reason || status.phase || '';
  const sidecars = new Set(
    (spec.initContainers ?? []).filter(each => each.restartPolicy === 'Always').map(each => each.name),
  );
  const inits = summarizeInits(status.initContainerStatuses ?? [], sidecars, (spec.initContainers ?? []).length);
  let { ready, restarts, lastRestart } = inits;
  if (inits.reason !== '') reason = inits.reason;
  if (inits.reason === '' || hasCondition(status, 'Initialized')) {
    ({ sidecarRestarts: restarts, lastSidecarRestart: lastRestart } = inits);
    let isRunning = false;
    for (const container of (status.containerStatuses ?? []).toReversed()) {
      restarts += container.restartCount;
      lastRestart = later(lastRestart, container);
      const { waiting, terminated, running } = container.state ?? {};
      if (waiting?.reason) ({ reason } = waiting as { reason: string });
      else if (terminated) reason = terminated.reason || exitReason(terminated);
      else if (container.ready && running) {
        isRunning = true;
        ready++;
      }
    }
    if (reason === 'Completed' && isRunning) reason = hasCondition(status, 'Ready') ? 'Running' : 'NotReady';
  }
  if (metadata.deletionTimestamp) {
    if (status.reason === 'NodeLost') reason = 'Unknown';
    else if (status.phase !== 'Succeeded' && status.phase !== 'Failed') reason = 'Terminating';
  }
  return { ready, total: (spec.containers ?? []).length + sidecars.size, reason, restarts, lastRestart };
}

/** `reason` is empty when all init containers are done. */
function summarizeInits(statuses: readonly ContainerStatus[], sidecars: ReadonlySet<string>, total: number) {
  const sum = { ready: 0, restarts: 0, lastRestart: '', sidecarRestarts: 0, lastSidecarRestart: '', reason: '' };
  for (const [index, container] of statuses.entries()) {
    const isSidecar = sidecars.has(container.name);
    sum.restarts += container.restartCount;
    sum.lastRestart = later(sum.lastRestart, container);
    if (isSidecar) {
      sum.sidecarRestarts += container.restartCount;
      sum.lastSidecarRestart = later(sum.lastSidecarRestart, container);
    }
    const { waiting, terminated } = container.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (isSidecar && container.started) {
      if (container.ready) sum.ready++;
      continue;
    }
    if (terminated) sum.reason = `Init:${terminated.reason || exitReason(terminated)}`;
    else if (waiting?.reason && waiting.reason !== 'PodInitializing') sum.reason = `Init:${waiting.reason}`;
    else sum.reason = `Init:${index}/${total}`;
    break;
  }
  return sum;
}

function exitReason({ signal, exitCode }: { readonly signal?: number | undefined; readonly exitCode: number }): string {
  return signal ? `Signal:${signal}` : `ExitCode:${exitCode}`;
}

function later(last: string, { lastState }: ContainerStatus): string {
  const finishedAt = lastState?.terminated?.finishedAt ?? '';
  return finishedAt > last ? finishedAt : last;
}

function hasCondition(status: PodStatus, type: string): boolean {
  return (status.conditions ?? []).some(each => each.type === type && each.status === 'True');
}

function readinessGates({ spec, status }: PodLike): string {
  const gates = spec.readinessGates ?? [];
  if (gates.length === 0) return '<none>';
  return `${gates.filter(gate => hasCondition(status, gate.conditionType)).length}/${gates.length}`;
}
