import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { userNamespacesLack } from '#base/kernel/mount.ts';
import { missingForOci } from '#runtime/oci/runtime.ts';
import { eventually } from '../scenarios/eventually.ts';
import { startRealNode, type RealNode } from './cluster.ts';

const missing = [...(await missingForOci()), userNamespacesLack()].filter(each => each !== undefined);
const namespace = 'default';

describe('users of a pod’s own', { skip: missing.length > 0 && missing.join(', ') }, () => {
  let node: RealNode;

  before(async () => {
    node = await startRealNode();
  });
  after(() => node?.[Symbol.asyncDispose]());

  const shell = (script: string, more: object = {}) => ({
    name: 'main',
    image: 'busybox',
    imagePullPolicy: 'IfNotPresent',
    command: ['sh', '-c', script],
    ...more,
  });
  const forever = 'trap exit TERM; while :; do sleep 1000 & wait; done';
  const create = (name: string, spec: object) =>
    node.client.create(
      Pod,
      { metadata: { name, namespace }, spec: { terminationGracePeriodSeconds: 1, ...spec } as object },
      { namespace },
    );
  const get = (name: string) => node.client.get(Pod, name, { namespace });
  const running = (name: string) =>
    eventually(`${name} runs`, async () => {
      const pod = await get(name);
      const isReady = pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
      return isReady === true && pod;
    });
  const exec = async (name: string, script: string) => {
    const { exitCode, stdout, stderr } = await node.kubectl(['exec', name, '--', 'sh', '-c', script]);
    assert.equal(exitCode, 0, stderr);
    return stdout.trim();
  };
  const remove = async (name: string) => {
    await node.client.delete(Pod, name, { namespace });
    await eventually(`${name} is gone`, () =>
      get(name).then(
        () => false,
        () => true,
      ),
    );
  };
  const processOf = (pod: Pod) => {
    const [id] = [pod.status?.containerStatuses?.[0]?.containerID?.split('://')[1] ?? ''];
    return readFileSync(join(node.directory, 'runtime', 'containers', id, 'pid'), 'utf8').trim();
  };

  test('root in the pod is nobody on the host; files, volumes and exec are as without', async () => {
    await node.client.create(
      ConfigMap,
      { metadata: { name: 'settings', namespace }, data: { colour: 'blue' } },
      { namespace },
    );
    await create('own-users', {
      hostUsers: false,
      securityContext: { fsGroup: 3000 },
      volumes: [
        { name: 'scratch', emptyDir: {} },
        { name: 'memory', emptyDir: { medium: 'Memory' } },
        { name: 'settings', configMap: { name: 'settings' } },
        { name: 'image', image: { reference: 'busybox', pullPolicy: 'IfNotPresent' } },
      ],
      containers: [
        shell(`touch /made /scratch/made; ${forever}`, {
          resources: { limits: { cpu: '100m', memory: '64Mi' } },
          volumeMounts: [
            { name: 'scratch', mountPath: '/scratch' },
            { name: 'scratch', mountPath: '/part', subPath: 'inner' },
            { name: 'memory', mountPath: '/memory' },
            { name: 'settings', mountPath: '/settings' },
            { name: 'image', mountPath: '/image' },
          ],
        }),
      ],
    });
    const pod = await running('own-users');
    const { uid = '' } = pod.metadata;
    const { uidMappings } = JSON.parse(await readFile(join(node.directory, 'node', 'pods', uid, 'userns'), 'utf8')) as {
      uidMappings: { hostId: number; containerId: number; length: number }[];
    };
    const [{ hostId = 0, length = 0 } = {}] = uidMappings;
    assert.ok(hostId >= 65_536 && hostId % 65_536 === 0 && length === 65_536);
    assert.deepEqual((await exec('own-users', 'cat /proc/self/uid_map')).split(/\s+/).map(Number), [0, hostId, length]);
    assert.equal(await exec('own-users', 'id -u'), '0');
    // Root of the pod, an ordinary user of the host.
    const pid = processOf(pod);
    assert.equal(statSync(`/proc/${pid}`).uid, hostId);
    const upper = globSync(join(node.directory, 'runtime', 'containers', '*', 'upper', 'made'))[0] ?? '';
    assert.equal(statSync(upper).uid, hostId);
    const owner = (path: string) => exec('own-users', `stat -c %u:%g ${path}`);
    assert.equal(await owner('/bin/busybox'), '0:0');
    assert.equal(await owner('/made'), '0:0');
    assert.equal(await owner('/scratch'), '0:3000');
    assert.equal(await owner('/settings/..data/colour'), '0:3000');
    assert.equal(await owner('/image/bin/busybox'), '0:0');
    assert.equal(
      await exec('own-users', 'cat /settings/colour; echo x > /memory/y; echo z > /part/z; cat /memory/y /part/z'),
      'bluex\nz',
    );
    // What is in a volume belongs to the pod's ids as they are in the pod.
    const volume = join(node.directory, 'node', 'pods', uid, 'volumes', 'kubernetes.io~empty-dir', 'scratch');
    assert.equal(statSync(join(volume, 'made')).uid, 0);
    assert.equal(statSync(join(volume, 'made')).gid, 3000);
    // Rights end at the pod's borders.
    assert.notEqual((await node.kubectl(['exec', 'own-users', '--', 'sh', '-c', 'mknod /tmp/disk b 8 0'])).exitCode, 0);
    assert.equal(
      await exec('own-users', 'hostname; cat /proc/sys/kernel/ns_last_pid >/dev/null; ip link show lo | grep -c UP'),
      'own-users\n1',
    );

    // A second pod has other users, and a killed agent forgets neither.
    await create('others', { hostUsers: false, containers: [shell(forever)] });
    await running('others');
    assert.notEqual(Number((await exec('others', 'cat /proc/self/uid_map')).split(/\s+/)[1]), hostId);
    await node.restartAgent();
    assert.equal((await get('own-users')).status?.containerStatuses?.[0]?.restartCount, 0);
    await create('thirds', { hostUsers: false, containers: [shell(forever)] });
    await running('thirds');
    const third = Number((await exec('thirds', 'cat /proc/self/uid_map')).split(/\s+/)[1]);
    assert.ok(third !== hostId && third !== Number((await exec('others', 'cat /proc/self/uid_map')).split(/\s+/)[1]));
    for (const name of ['own-users', 'others', 'thirds']) await remove(name);
    assert.equal(existsSync(join(node.directory, 'node', 'pods', uid)), false);
    assert.doesNotMatch(readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(`windlass-roots|${uid}`));
  });

  test('containers that share a process namespace, init containers, restarts and pods that end', async () => {
    await create('shared', {
      hostUsers: false,
      restartPolicy: 'OnFailure',
      shareProcessNamespace: true,
      volumes: [{ name: 'scratch', emptyDir: {} }],
      initContainers: [
        shell('echo first > /scratch/said', {
          name: 'first',
          volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }],
        }),
      ],
      containers: [
        shell('cat /scratch/said; test -e /scratch/again || { touch /scratch/again; exit 1; }', {
          volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }],
        }),
        shell('sleep 1; ps -o args | grep -c /pause', { name: 'other' }),
      ],
    });
    await eventually('it has ended', async () => (await get('shared')).status?.phase === 'Succeeded');
    assert.equal((await get('shared')).status?.containerStatuses?.find(({ name }) => name === 'main')?.restartCount, 1);
    await remove('shared');
  });

  test('what is impossible is refused by the API', async () => {
    await assert.rejects(
      create('both', { hostUsers: false, hostNetwork: true, containers: [shell('true')] }),
      /hostNetwork|hostUsers/,
    );
  });
});
