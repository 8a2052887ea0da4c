import assert from 'node:assert/strict';
import { RuntimeClass } from '#api/node/v1/runtime-class.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { createPod, finishedPod, isReady, readyPod, type PodWish } from '../pods.ts';
import { refusal, until } from '../waiting.ts';

const terminated =
  '[sig-node] Container Runtime blackbox test on terminated container should report termination message';

conformance(it => {
  it(`${terminated} if TerminationMessagePath is set as non-root user and at a non-default path [Conformance] [NodeConformance]`, t =>
    says(t, 'DONE', {
      script: 'printf DONE > /dev/termination-custom-log',
      container: { terminationMessagePath: '/dev/termination-custom-log', securityContext: { runAsUser: 1000 } },
    }));
  it(`${terminated} from log output if TerminationMessagePolicy FallbackToLogsOnError is set [Conformance] [NodeConformance]`, t =>
    says(t, 'DONE', {
      script: 'printf DONE; exit 1',
      container: { terminationMessagePolicy: 'FallbackToLogsOnError' },
    }));
  it(`${terminated} as empty when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set [Conformance] [NodeConformance]`, t =>
    says(t, undefined, { script: 'printf DONE', container: { terminationMessagePolicy: 'FallbackToLogsOnError' } }));
  it(`${terminated} from file when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set [Conformance] [NodeConformance]`, t =>
    says(t, 'OK', {
      script: 'printf DONE; printf OK > /dev/termination-log',
      container: { terminationMessagePolicy: 'FallbackToLogsOnError' },
    }));

  it('[sig-node] Container Runtime blackbox test when starting a container that exits should run with the expected status [Conformance] [NodeConformance]', async t => {
    // Fails the first time it is run, runs the second.
    const script = 'if test -e /data/again; then exec sleep 600; fi; touch /data/again; exit 1';
    const volume = {
      container: { volumeMounts: [{ name: 'data', mountPath: '/data' }] },
      volumes: [{ name: 'data', emptyDir: {} }],
    };
    const always = await createPod(t, { name: 'always', restartPolicy: 'Always', script, ...volume });
    const again = await until(
      t,
      Pod,
      always.metadata.name,
      'it runs again',
      pod => isReady(pod) && pod.status?.containerStatuses?.[0]?.restartCount === 1,
    );
    assert.equal(again.status?.phase, 'Running');
    const succeeds = 'if test -e /data/again; then exit 0; fi; touch /data/again; exit 1';
    const onFailure = await createPod(t, {
      name: 'on-failure',
      restartPolicy: 'OnFailure',
      script: succeeds,
      ...volume,
    });
    const ended = await until(
      t,
      Pod,
      onFailure.metadata.name,
      'it succeeds',
      ({ status }) => status?.phase === 'Succeeded',
    );
    assert.equal(ended.status?.containerStatuses?.[0]?.restartCount, 1);
    const never = await finishedPod(t, { name: 'never', restartPolicy: 'Never', script: 'exit 1' });
    assert.deepEqual([never.pod.status?.phase, never.pod.status?.containerStatuses?.[0]?.restartCount], ['Failed', 0]);
    assert.equal(isReady(never.pod), false);
  });

  it('[sig-node] RuntimeClass should reject a Pod requesting a non-existent RuntimeClass [Conformance] [NodeConformance]', async t => {
    const status = await refusal(createPod(t, { runtimeClassName: t.unique('nonexistent') }));
    assert.equal(status.code, 403);
  });

  it('[sig-node] RuntimeClass should reject a Pod requesting a deleted RuntimeClass [Conformance] [NodeConformance]', async t => {
    const runtimeClassName = await runtimeClass(t);
    await t.client.delete(RuntimeClass, runtimeClassName);
    await t.eventually(
      'it is refused',
      async () =>
        (
          await refusal(
            t.client.create<Pod>(Pod, (await import('../pods.ts')).podOf(t, { runtimeClassName }), {
              namespace: t.namespace,
              dryRun: true,
            }),
          )
        ).code === 403,
    );
  });

  it('[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass without PodOverhead [Conformance] [NodeConformance]', async t => {
    const { spec } = await readyPod(t, { runtimeClassName: await runtimeClass(t) });
    assert.equal(spec?.overhead, undefined);
  });

  it('[sig-node] RuntimeClass should schedule a Pod requesting a RuntimeClass and initialize its Overhead [Conformance] [NodeConformance]', async t => {
    const podFixed = { cpu: '10m', memory: '1Mi' };
    const { spec } = await readyPod(t, { runtimeClassName: await runtimeClass(t, { overhead: { podFixed } }) });
    assert.deepEqual(spec?.overhead, podFixed);
  });

  it('[sig-node] RuntimeClass should support RuntimeClasses API operations [Conformance]', t =>
    apiOperations(t, { kind: RuntimeClass, object: { handler: 'e2e' } }));
});

async function says(t: Trial, message: string | undefined, wish: PodWish): Promise<void> {
  const { pod } = await finishedPod(t, wish);
  assert.equal(pod.status?.containerStatuses?.[0]?.state?.terminated?.message, message);
}

/** With the handler that every runtime has. */
async function runtimeClass(t: Trial, more: object = {}): Promise<string> {
  const name = t.unique('runtimeclass');
  await t.client.create<RuntimeClass>(RuntimeClass, { metadata: { name }, handler: await handlerOf(t), ...more });
  t.defer(() => t.client.delete(RuntimeClass, name).catch(() => undefined));
  return name;
}

async function handlerOf(t: Trial): Promise<string> {
  const handlers = await t.kubectl('get', 'nodes', '--output=jsonpath={.items[0].status.runtimeHandlers[*].name}');
  return handlers.trim().split(' ')[0] || 'runc';
}
