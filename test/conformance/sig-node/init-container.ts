import assert from 'node:assert/strict';
import { Pod } from '#api/core/v1/pod.ts';
import { conformance, type Trial } from '../conformance.ts';
import { createPod, finishedPod, readyPod } from '../pods.ts';
import { until } from '../waiting.ts';

const invoke = '[sig-node] InitContainer should';
const initialized = ({ status }: Pod) => status?.conditions?.find(({ type }) => type === 'Initialized');

conformance(it => {
  it(`${invoke} invoke init containers on a RestartNever pod [Conformance] [NodeConformance]`, async t => {
    const { pod } = await finishedPod(t, {
      script: 'true',
      initContainers: [init(t, 'init1', 'true'), init(t, 'init2', 'true')],
    });
    assert.equal(pod.status?.phase, 'Succeeded');
    assertInitialized(pod);
  });

  it(`${invoke} invoke init containers on a RestartAlways pod [Conformance] [NodeConformance]`, async t => {
    const pod = await readyPod(t, { initContainers: [init(t, 'init1', 'true'), init(t, 'init2', 'true')] });
    assert.equal(pod.status?.phase, 'Running');
    assertInitialized(pod);
  });

  it(`${invoke} not start app containers if init containers fail on a RestartAlways pod [Conformance] [NodeConformance]`, async t => {
    const { metadata } = await createPod(t, { initContainers: [init(t, 'init1', 'false'), init(t, 'init2', 'true')] });
    const { status } = await until(
      t,
      Pod,
      metadata.name,
      'it is tried again',
      each => (each.status?.initContainerStatuses?.[0]?.restartCount ?? 0) >= 3,
      { withinMs: 120_000 },
    );
    assert.equal(status?.phase, 'Pending');
    assert.deepEqual(
      [initialized({ status } as Pod)?.status, initialized({ status } as Pod)?.reason],
      ['False', 'ContainersNotInitialized'],
    );
    assert.match(initialized({ status } as Pod)?.message ?? '', /containers with incomplete status: \[init1 init2\]/);
    assert.equal(status?.containerStatuses?.[0]?.state?.waiting?.reason, 'PodInitializing');
  });

  it(`${invoke} not start app containers and fail the pod if init containers fail on a RestartNever pod [Conformance] [NodeConformance]`, async t => {
    const { metadata } = await createPod(t, {
      restartPolicy: 'Never',
      initContainers: [init(t, 'init1', 'true'), init(t, 'init2', 'false')],
    });
    const pod = await until(t, Pod, metadata.name, 'it has failed', ({ status }) => status?.phase === 'Failed');
    assert.equal(initialized(pod)?.status, 'False');
    assert.match(initialized(pod)?.message ?? '', /containers with incomplete status: \[init2\]/);
    assert.ok(pod.status?.containerStatuses?.[0]?.state?.waiting);
  });
});

function init(t: Trial, name: string, script: string) {
  return { name, image: t.image('busybox:latest'), command: ['sh', '-c', script] };
}

function assertInitialized(pod: Pod): void {
  assert.equal(initialized(pod)?.status, 'True');
  for (const { name, ready, state } of pod.status?.initContainerStatuses ?? []) {
    assert.equal(ready, true, name);
    assert.equal(state?.terminated?.exitCode, 0, name);
  }
}
