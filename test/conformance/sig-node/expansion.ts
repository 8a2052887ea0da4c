import assert from 'node:assert/strict';
import { Pod } from '#api/core/v1/pod.ts';
import { conformance, type Trial } from '../conformance.ts';
import { createPod, execIn, isReady, outputOf, readyPod, type PodWish } from '../pods.ts';
import { until } from '../waiting.ts';

const expansion = '[sig-node] Variable Expansion';

conformance(it => {
  it(`${expansion} should allow composing env vars into new env vars [Conformance] [NodeConformance]`, async t => {
    const env = [
      { name: 'FOO', value: 'foo-value' },
      { name: 'BAR', value: 'bar-value' },
      { name: 'FOOBAR', value: '$(FOO);;$(BAR)' },
      { name: 'ESCAPED', value: '$$(FOO) $(NONE)' },
    ];
    const output = await outputOf(t, { script: 'env', container: { env } });
    assert.match(output, /^FOOBAR=foo-value;;bar-value$/m);
    assert.match(output, /^ESCAPED=\$\(FOO\) \$\(NONE\)$/m);
  });

  it(`${expansion} should allow substituting values in a container's command [Conformance] [NodeConformance]`, async t => {
    const container = {
      env: [{ name: 'TEST_VAR', value: 'test-value' }],
      command: ['sh', '-c', 'TEST_VAR=wrong echo "$(TEST_VAR)"'],
    };
    assert.equal(await outputOf(t, { container }), 'test-value\n');
  });

  it(`${expansion} should allow substituting values in a container's args [Conformance] [NodeConformance]`, async t => {
    const container = {
      env: [{ name: 'TEST_VAR', value: 'test-value' }],
      command: ['sh', '-c'],
      args: ['TEST_VAR=wrong echo "$(TEST_VAR)"'],
    };
    assert.equal(await outputOf(t, { container }), 'test-value\n');
  });

  it(`${expansion} should allow substituting values in a volume subpath [Conformance]`, async t => {
    const wish = subPath('$(POD_NAME)', 'metadata.name', 'test -d /testcontainer/$POD_NAME; echo $?');
    assert.equal((await outputOf(t, { name: 'expanded', ...wish })).trim(), '0');
  });

  it(`${expansion} should fail substituting values in a volume subpath with backticks [Conformance]`, t =>
    refused(t, '..'));
  it(`${expansion} should fail substituting values in a volume subpath with absolute path [Conformance]`, t =>
    refused(t, '/tmp'));

  it(`${expansion} should verify that a failing subpath expansion can be modified during the lifecycle of a container [Conformance] [Slow]`, async t => {
    const { metadata } = await createPod(t, { annotations: { notmysubpath: 'mypath' }, ...mounting() });
    await until(
      t,
      Pod,
      metadata.name,
      'it waits',
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CreateContainerConfigError',
    );
    await annotate(t, metadata.name, { mysubpath: 'mypath' });
    await until(t, Pod, metadata.name, 'it is ready', isReady, { withinMs: 120_000 });
  });

  it(`${expansion} should succeed in writing subpaths in container [Conformance]`, async t => {
    const { metadata } = await readyPod(t, { annotations: { mysubpath: 'mypath' }, ...mounting() });
    await execIn(t, metadata.name, 'touch', '/volume_mount/mypath/foo/test.log');
    await execIn(t, metadata.name, 'test', '-f', '/subpath_mount/test.log');
    await annotate(t, metadata.name, { mysubpath: 'mynewpath' });
    const { status } = await t.client.get(Pod, metadata.name, { namespace: t.namespace });
    assert.equal(status?.containerStatuses?.[0]?.restartCount, 0);
    await execIn(t, metadata.name, 'test', '-f', '/subpath_mount/test.log');
  });
});

function subPath(subPathExpr: string, fieldPath: string, script: string): PodWish {
  return {
    script,
    container: {
      env: [{ name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath } } }],
      volumeMounts: [
        { name: 'workdir', mountPath: '/logscontainer', subPathExpr },
        { name: 'workdir', mountPath: '/testcontainer' },
      ],
    },
    volumes: [{ name: 'workdir', emptyDir: {} }],
  };
}

function mounting(): PodWish {
  return {
    container: {
      env: [{ name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: "metadata.annotations['mysubpath']" } } }],
      volumeMounts: [
        { name: 'workdir', mountPath: '/subpath_mount', subPathExpr: '$(POD_NAME)/foo' },
        { name: 'workdir', mountPath: '/volume_mount' },
      ],
    },
    volumes: [{ name: 'workdir', emptyDir: {} }],
  };
}

async function refused(t: Trial, value: string): Promise<void> {
  const wish = subPath('$(POD_NAME)', 'metadata.name', 'true');
  const env = [{ name: 'POD_NAME', value }];
  const { metadata } = await createPod(t, { ...wish, container: { ...wish.container, env } });
  await until(t, Pod, metadata.name, 'it does not start', ({ status }) => {
    const { state } = status?.containerStatuses?.[0] ?? {};
    return state?.waiting?.reason === 'CreateContainerConfigError';
  });
}

function annotate(t: Trial, name: string, annotations: Readonly<Record<string, string>>): Promise<unknown> {
  return t.client.patch(Pod, name, { type: 'merge', patch: { metadata: { annotations } } }, { namespace: t.namespace });
}
