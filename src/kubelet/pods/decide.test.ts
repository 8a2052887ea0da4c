import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pod } from '#api/core/v1/pod.ts';
import type { ContainerStatus, PodSandboxStatus } from '#runtime/runtime.ts';
import { decide, type Decision, type PodView } from './decide.ts';
import { annotations, containerHash } from './names.ts';
import { RestartBackoff, restarts } from './restarts.ts';

/*
 * One line says where the pod stands: `name=state` for each container, `running`, `exited:<code>`, `created`, with `!` for
 * one that has not started (startup probe) and `?` for one whose liveness probe has failed. The answer is the actions.
 */

const containers = (...names: string[]) => names.map(name => ({ name, image: 'x' }));

interface Case {
  readonly spec?: object;
  readonly sandbox?: 'none' | 'ready' | 'notReady';
  readonly at: string;
  readonly stopping?: number;
  readonly volumes?: boolean;
  readonly backoff?: number;
  readonly expect: string;
}

function view({ spec = {}, sandbox = 'ready', at, stopping, volumes = true, backoff }: Omit<Case, 'expect'>): PodView {
  const pod = {
    metadata: { name: 'a', namespace: 'default', uid: 'u' },
    spec: { restartPolicy: 'Always', terminationGracePeriodSeconds: 30, containers: containers('main'), ...spec },
  } as unknown as Pod;
  const statuses = at
    .split(' ')
    .filter(Boolean)
    .map(word => containerAt(word));
  const marks = new Map(at.split(' ').map(word => [word.split('=')[0] ?? '', word.at(-1)]));
  const name = (id: string) => id.replace(/^id-/, '');
  return {
    pod,
    sandboxes:
      sandbox === 'none'
        ? []
        : [{ id: 'box', state: sandbox, metadata: { attempt: 0 } } as unknown as PodSandboxStatus],
    containers: new Map(statuses.map(status => [status.metadata.name, [status]])),
    health: id => ({
      started: marks.get(name(id)) !== '!',
      failed: marks.get(name(id)) === '?' ? 'liveness' : undefined,
    }),
    backoff: { until: () => (backoff === undefined ? undefined : { atMs: backoff, delayMs: 10_000 }) },
    volumesReady: volumes,
    stopping: stopping === undefined ? undefined : { sinceMs: 1000, graceSeconds: stopping },
  };
}

function containerAt(word: string): ContainerStatus {
  const [name = '', rest = ''] = word.replace(/[!?]$/, '').split('=');
  const [state = '', code = '0'] = rest.split(':');
  return {
    id: `id-${name}`,
    podSandboxId: 'box',
    metadata: { name, attempt: 0 },
    state,
    exitCode: Number(code),
    finishedAtMs: 1000,
    annotations: { [annotations.hash]: containerHash({ name, image: 'x' } as never) },
  } as unknown as ContainerStatus;
}

function text({ actions, waiting, completed, stopped }: Decision): string {
  const words = actions.map(action => {
    switch (action.do) {
      case 'start':
        return `start ${action.container.name}#${action.attempt}`;
      case 'kill':
        return `kill ${action.container.name} ${action.why} ${action.graceSeconds}s`;
      case 'createSandbox':
        return `createSandbox#${action.attempt}`;
      default:
        return action.do;
    }
  });
  for (const [name, { reason }] of waiting) words.push(`${name} waits: ${reason}`);
  if (completed) words.push('completed');
  if (stopped) words.push('stopped');
  return words.join(', ');
}

const sidecar = { name: 'side', image: 'x', restartPolicy: 'Always' };
const init = { initContainers: containers('one', 'two') };

const cases: Readonly<Record<string, Case>> = {
  'a new pod gets a sandbox': { sandbox: 'none', at: '', expect: 'createSandbox#0, stopped' },
  'containers wait for volumes': { at: '', volumes: false, expect: '' },
  'containers start in a ready sandbox': {
    spec: { containers: containers('a', 'b') },
    at: '',
    expect: 'start a#0, start b#0',
  },
  'nothing to do': { at: 'main=running', expect: '' },
  'a container that was made but never started is made anew': { at: 'main=created', expect: 'removeContainer' },
  'an unhealthy container is killed': { at: 'main=running?', expect: 'kill main liveness 30s' },
  'an ended container is started again': { at: 'main=exited:1', expect: 'start main#1' },
  'not before its time': { at: 'main=exited:1', backoff: 5000, expect: 'main waits: CrashLoopBackOff' },
  'never: it has ended for good': {
    spec: { restartPolicy: 'Never' },
    at: 'main=exited:1',
    expect: 'stopSandbox, completed',
  },
  'on failure: after a failure': { spec: { restartPolicy: 'OnFailure' }, at: 'main=exited:1', expect: 'start main#1' },
  'on failure: not after success': {
    spec: { restartPolicy: 'OnFailure' },
    at: 'main=exited:0',
    expect: 'stopSandbox, completed',
  },
  'one of two has ended for good': {
    spec: { restartPolicy: 'Never', containers: containers('a', 'b') },
    at: 'a=exited:0 b=running',
    expect: '',
  },
  'the first init container first': { spec: init, at: '', expect: 'start one#0' },
  'init containers wait for the one before': { spec: init, at: 'one=running', expect: '' },
  'the next init container': { spec: init, at: 'one=exited:0', expect: 'start two#0' },
  'a failed init container again': { spec: init, at: 'one=exited:1', expect: 'start one#1' },
  'a failed init container of a pod that never restarts': {
    spec: { ...init, restartPolicy: 'Never' },
    at: 'one=exited:1',
    expect: 'stopSandbox, completed',
  },
  'after the init containers': { spec: init, at: 'one=exited:0 two=exited:0', expect: 'start main#0' },
  'a sidecar first': { spec: { initContainers: [sidecar] }, at: '', expect: 'start side#0' },
  'not before the sidecar has started': { spec: { initContainers: [sidecar] }, at: 'side=running!', expect: '' },
  'once the sidecar has started': { spec: { initContainers: [sidecar] }, at: 'side=running', expect: 'start main#0' },
  'a sidecar is restarted beside running containers': {
    spec: { initContainers: [sidecar] },
    at: 'side=exited:1 main=running',
    expect: 'start side#1',
  },
  'a sidecar ends with the work': {
    spec: { initContainers: [sidecar], restartPolicy: 'Never' },
    at: 'side=running main=exited:0',
    expect: 'kill side stop 30s, completed',
  },
  'init containers do not run again beside running containers': { spec: init, at: 'main=running', expect: '' },
  'a dead sandbox is replaced': { sandbox: 'notReady', at: 'main=exited:0', expect: 'createSandbox#1, stopped' },
  'not before what ran in it is stopped': { sandbox: 'notReady', at: 'main=running', expect: 'kill main stop 30s' },
  'not when the work is done': {
    sandbox: 'notReady',
    spec: { restartPolicy: 'Never' },
    at: 'main=exited:0',
    expect: 'completed, stopped',
  },
  'stopping: containers first': { stopping: 10, at: 'main=running', expect: 'kill main stop 10s' },
  'stopping: sidecars after them': {
    stopping: 10,
    spec: { initContainers: [sidecar] },
    at: 'side=running main=running',
    expect: 'kill main stop 10s',
  },
  'stopping: then the sidecars': {
    stopping: 10,
    spec: { initContainers: [sidecar] },
    at: 'side=running main=exited:0',
    expect: 'kill side stop 10s',
  },
  'stopping: at once without grace': { stopping: 0, at: 'main=running', expect: 'kill main stop 0s' },
  'stopping: then the sandbox': { stopping: 10, at: 'main=exited:0', expect: 'stopSandbox' },
  'stopping: done': { stopping: 10, sandbox: 'notReady', at: 'main=exited:0', expect: 'stopped' },
  'ephemeral containers start and are not restarted': {
    spec: { ephemeralContainers: containers('debug') },
    at: 'main=running',
    expect: 'start debug#0',
  },
  'ephemeral containers end': {
    spec: { ephemeralContainers: containers('debug') },
    at: 'main=running debug=exited:1',
    expect: '',
  },
};

describe('decide', () => {
  for (const [name, each] of Object.entries(cases))
    test(name, () => assert.equal(text(decide(view(each), 1000)), each.expect));

  test('a changed image replaces the container', () => {
    const changed = view({ at: 'main=running', spec: { containers: [{ name: 'main', image: 'other' }] } });
    assert.equal(text(decide(changed, 0)), 'kill main changed 30s');
  });

  test('the grace that is left shrinks, down to two seconds', () => {
    const stopping = view({ stopping: 10, at: 'main=running' });
    const grace = (nowMs: number) => text(decide(stopping, nowMs));
    assert.equal(grace(5000), 'kill main stop 6s');
    assert.equal(grace(60_000), 'kill main stop 2s');
  });
});

test('back-off doubles up to five minutes, and is forgotten after ten quiet ones', () => {
  const backoff = new RestartBackoff();
  let nowMs = 1_000_000;
  const delays: (number | undefined)[] = [];
  for (let round = 0; round < 8; round++) {
    const endedMs = nowMs;
    const until = backoff.until('c', endedMs, nowMs);
    delays.push(until?.delayMs);
    nowMs = until?.atMs ?? nowMs;
    assert.equal(backoff.until('c', endedMs, nowMs), undefined);
    backoff.next('c', endedMs, nowMs);
  }
  assert.deepEqual(delays, [undefined, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  assert.equal(backoff.until('c', nowMs + 600_001, nowMs + 600_001), undefined);
});

test('a container has rules of its own', () => {
  const pod = { metadata: {}, spec: { restartPolicy: 'Never', containers: [] } } as unknown as Pod;
  const rules = [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }];
  const container = { name: 'c', restartPolicy: 'Never', restartPolicyRules: rules } as never;
  assert.equal(restarts(pod, container, 42), true);
  assert.equal(restarts(pod, container, 1), false);
});
