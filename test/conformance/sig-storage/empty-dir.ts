import assert from 'node:assert/strict';
import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Secret } from '#api/core/v1/secret.ts';
import { conformance } from '../conformance.ts';
import { execIn, isReady, outputOf, readyPod } from '../pods.ts';
import { podsOf, templateOf } from '../workloads.ts';

const end = '[Conformance] [NodeConformance]';
const mounted = { volumeMounts: [{ name: 'volume', mountPath: '/volume' }] };

conformance(it => {
  for (const [medium, emptyDir, kind] of [
    ['default', {}, /^(?!tmpfs)/],
    ['tmpfs', { medium: 'Memory' }, /^tmpfs$/],
  ] as const) {
    const volumes = [{ name: 'volume', emptyDir }];
    it(`[sig-storage] EmptyDir volumes volume on ${medium === 'tmpfs' ? 'tmpfs' : 'default medium'} should have the correct mode [LinuxOnly] ${end}`, async t => {
      const script = 'stat -c %A /volume; awk \'$2 == "/volume" { print $3 }\' /proc/mounts';
      const [mode = '', type = ''] = (await outputOf(t, { script, container: mounted, volumes })).split('\n');
      assert.equal(mode, 'drwxrwxrwx');
      assert.match(type, kind);
    });
    for (const [user, securityContext] of [
      ['root', {}],
      ['non-root', { runAsUser: 1001 }],
    ] as const)
      for (const mode of ['0644', '0666', '0777'])
        it(`[sig-storage] EmptyDir volumes should support (${user},${mode},${medium}) [LinuxOnly] ${end}`, async t => {
          const script = `echo mount-tester > /volume/file && chmod ${mode} /volume/file && stat -c '%a %u' /volume/file && cat /volume/file`;
          const output = await outputOf(t, { script, container: mounted, volumes, securityContext });
          assert.equal(output, `${Number(mode)} ${user === 'root' ? 0 : 1001}\nmount-tester\n`);
        });
  }

  it('[sig-storage] EmptyDir volumes pod should support shared volumes between containers [Conformance]', async t => {
    const writer = {
      name: 'writer',
      image: t.image('busybox:latest'),
      command: ['sh', '-c', "echo 'Hello from the busy-box sub-container' > /volume/message; sleep 600"],
      ...mounted,
    };
    const { metadata } = await readyPod(t, {
      container: mounted,
      beside: [writer],
      volumes: [{ name: 'volume', emptyDir: {} }],
    });
    await t.eventually('the other container reads it', async () =>
      (await execIn(t, metadata.name, 'cat', '/volume/message')).includes('Hello from'),
    );
  });

  it('[sig-storage] EmptyDir wrapper volumes should not conflict [Conformance]', async t => {
    await t.client.create<Secret>(
      Secret,
      { metadata: { name: 'secret' }, stringData: { 'data-1': 'value-1' } },
      { namespace: t.namespace },
    );
    await t.client.create<ConfigMap>(
      ConfigMap,
      { metadata: { name: 'map' }, data: { 'data-1': 'value-2' } },
      { namespace: t.namespace },
    );
    const { metadata } = await readyPod(t, {
      container: {
        volumeMounts: [
          { name: 'secret', mountPath: '/etc/secret-volume', readOnly: true },
          { name: 'map', mountPath: '/etc/configmap-volume' },
        ],
      },
      volumes: [
        { name: 'secret', secret: { secretName: 'secret' } },
        { name: 'map', configMap: { name: 'map' } },
      ],
    });
    assert.equal(
      await execIn(t, metadata.name, 'cat', '/etc/secret-volume/data-1', '/etc/configmap-volume/data-1'),
      'value-1value-2',
    );
  });

  it('[sig-storage] EmptyDir wrapper volumes should not cause race condition when used for configmaps [Conformance] [Serial]', async t => {
    const names = Array.from({ length: 50 }, (_, index) => `racey-${index}`);
    await Promise.all(
      names.map(name =>
        t.client.create<ConfigMap>(
          ConfigMap,
          { metadata: { name }, data: { 'data-1': 'value-1' } },
          { namespace: t.namespace },
        ),
      ),
    );
    const labels = { name: 'wrapped' };
    const template = templateOf(t, labels, {
      container: { volumeMounts: names.map(name => ({ name, mountPath: `/etc/config-${name}` })) },
      volumes: names.map(name => ({ name, configMap: { name, items: [{ key: 'data-1', path: 'data-1' }] } })),
    });
    const spec = { replicas: 5, selector: { matchLabels: labels }, template };
    await t.client.create<ReplicaSet>(ReplicaSet, { metadata: { name: 'wrapped' }, spec }, { namespace: t.namespace });
    const pods = await t.eventually(
      'all five run',
      async () => {
        const all = await podsOf(t);
        return all.length === 5 && all.every(isReady) && all;
      },
      120_000,
    );
    for (const { metadata } of pods)
      assert.equal(
        (await execIn(t, metadata.name, 'sh', '-c', 'cat /etc/config-racey-*/data-1')).length,
        50 * 'value-1'.length,
      );
  });

  for (const [what, volume, path, expected] of [
    ['configmap pod', { configMap: { name: 'map' } }, 'file', 'from a map'],
    ['secret pod', { secret: { secretName: 'secret' } }, 'file', 'from a secret'],
    [
      'downward pod',
      { downwardAPI: { items: [{ path: 'downward/podname', fieldRef: { fieldPath: 'metadata.name' } }] } },
      'downward/podname',
      'subpath',
    ],
    [
      'projected pod',
      { projected: { sources: [{ configMap: { name: 'map', items: [{ key: 'file', path: 'projected/file' }] } }] } },
      'projected/file',
      'from a map',
    ],
    ['configmap pod with mountPath of existing file', { configMap: { name: 'map' } }, 'file', 'from a map'],
  ] as const)
    it(`[sig-storage] Subpath Atomic writer volumes should support subpaths with ${what} [Conformance]`, async t => {
      await t.client.create<ConfigMap>(
        ConfigMap,
        { metadata: { name: 'map' }, data: { file: 'from a map' } },
        { namespace: t.namespace },
      );
      await t.client.create<Secret>(
        Secret,
        { metadata: { name: 'secret' }, stringData: { file: 'from a secret' } },
        { namespace: t.namespace },
      );
      const mountPath = what.endsWith('existing file') ? '/etc/passwd' : '/test-file';
      const output = await outputOf(t, {
        name: 'subpath',
        script: `cat ${mountPath}`,
        container: { volumeMounts: [{ name: 'volume', mountPath, subPath: path }] },
        volumes: [{ name: 'volume', ...volume } as never],
      });
      assert.equal(output, expected);
    });
});
