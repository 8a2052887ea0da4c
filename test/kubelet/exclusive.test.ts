import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { formatCpus, type MachineTopology, readTopology } from '#kubelet/resources/machine-topology.ts';
import { missingForOci } from '#runtime/oci/runtime.ts';
import { eventually } from '../scenarios/eventually.ts';
import { startRealNode, type RealNode } from './cluster.ts';
import { startPlugin } from './plugin.ts';

const cpus = readTopology().cpus.map(({ id }) => id);
const missing = [
  ...(await missingForOci()),
  ...(cpus.length < 2 || availableParallelism() < 2 ? ['this machine has but one CPU'] : []),
];
const namespace = 'default';
const [first = 0, second = 1] = cpus;
const all = formatCpus(cpus);
const butSecond = formatCpus(cpus.filter(id => id !== second));
const pages = '/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages';

/** A machine of two nodes on paper, with this one's CPUs: the first on one, the others on the other. */
const onPaper: MachineTopology = {
  cpus: cpus.map((id, index) => ({ id, core: `0/${id}`, socket: 0, node: index === 0 ? 0 : 1 })),
  nodes: [0, 1].map(id => ({ id, memoryBytes: 2 ** 33, hugepages: new Map() })),
};

describe('what containers have for themselves', { skip: missing.length > 0 && missing.join(', ') }, () => {
  let node: RealNode;
  const pagesBefore = existsSync(pages) ? readFileSync(pages, 'utf8').trim() : undefined;

  before(async () => {
    if (pagesBefore !== undefined) writeFileSync(pages, String(Number(pagesBefore) + 8));
    node = await startRealNode({
      machine: onPaper,
      configuration: {
        cpuManagerPolicy: 'static',
        reservedSystemCPUs: String(first),
        topologyManagerPolicy: 'single-numa-node',
      },
    });
  });
  after(async () => {
    await node?.[Symbol.asyncDispose]();
    if (pagesBefore !== undefined) writeFileSync(pages, pagesBefore);
  });

  const forever = 'trap exit TERM; while :; do sleep 1000 & wait; done';
  const create = (name: string, resources: object, spec: object = {}, more: object = {}) =>
    node.client.create(
      Pod,
      {
        metadata: { name, namespace },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: 'main',
              image: 'busybox',
              imagePullPolicy: 'IfNotPresent',
              command: ['sh', '-c', forever],
              resources,
              ...more,
            },
          ],
          ...spec,
        } as object,
      },
      { namespace },
    );
  const get = (name: string) => node.client.get(Pod, name, { namespace });
  const phase = (name: string, wanted: string) =>
    eventually(`${name} is ${wanted}`, async () => {
      const pod = await get(name);
      return pod.status?.phase === wanted && pod;
    });
  const remove = async (name: string) => {
    await node.client.delete(Pod, name, { namespace });
    await eventually(`${name} is gone`, () =>
      get(name).then(
        () => false,
        () => true,
      ),
    );
  };
  const exec = async (name: string, script: string) => {
    const { exitCode, stdout, stderr } = await node.kubectl(['exec', name, '--', 'sh', '-c', script]);
    assert.equal(exitCode, 0, stderr);
    return stdout.trim();
  };
  const allowed = (name: string) => exec(name, 'sed -n "s/^Cpus_allowed_list:\\t//p" /proc/1/status');
  const state = () =>
    JSON.parse(readFileSync(join(node.directory, 'node', 'cpu_manager_state'), 'utf8')) as {
      defaultCpuSet: string;
      entries: Record<string, Record<string, string>>;
    };
  const whole = { limits: { cpu: '1', memory: '64Mi' } };

  test('a Guaranteed pod with a whole CPU has it alone, at once, over restarts, until it ends', async () => {
    assert.equal((await node.client.get(Node, 'node-1')).status?.allocatable?.['cpu'], String(cpus.length - 1));
    await create('sharer', {});
    await phase('sharer', 'Running');
    assert.equal(await allowed('sharer'), all);
    const { metadata } = await create('owner', whole);
    await phase('owner', 'Running');
    assert.equal(await allowed('owner'), String(second));
    await eventually('the other one makes room', async () => (await allowed('sharer')) === butSecond);
    // Nothing but its CPU limits it.
    assert.equal(
      await exec(
        'owner',
        'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d" " -f1 /sys/fs/cgroup/cpu.max',
      ),
      existsSync('/sys/fs/cgroup/cgroup.controllers') ? 'max' : '-1',
    );
    assert.deepEqual(state(), {
      policyName: 'static',
      defaultCpuSet: butSecond,
      entries: { [metadata.uid ?? '']: { main: String(second) } },
    });
    await node.restartAgent();
    assert.equal(await allowed('owner'), String(second));
    const { stderr } = await node.kubectl([
      'patch',
      'pod',
      'owner',
      '--subresource=resize',
      '-p',
      JSON.stringify({
        spec: {
          containers: [{ name: 'main', resources: { requests: { memory: '80Mi' }, limits: { memory: '80Mi' } } }],
        },
      }),
    ]);
    assert.equal(stderr, '');
    const pending = await eventually('the resize is refused', async () =>
      (await get('owner')).status?.conditions?.find(({ type }) => type === 'PodResizePending'),
    );
    assert.equal(pending.reason, 'Infeasible');
    assert.equal(pending.message, 'Resize is infeasible for Guaranteed Pods alongside CPU Manager static policy');
    await remove('owner');
    await eventually('the other one has all again', async () => (await allowed('sharer')) === all);
    assert.deepEqual(state().entries, {});
    await remove('sharer');
  });

  test('devices and CPUs come from one node, or the pod does not run', async () => {
    for (const [name, onNode] of [
      ['near', 1],
      ['far', 0],
    ] as const) {
      const resource = `example.com/${name}`;
      await using plugin = await startPlugin({
        kind: 'device',
        name: resource,
        socket: join(node.directory, 'node', 'device-plugins', `${name}.sock`),
        kubelet: join(node.directory, 'node', 'device-plugins', 'kubelet.sock'),
        devices: [{ ID: 'one', health: 'Healthy', node: onNode }],
      });
      await eventually(
        'the node has it',
        async () => (await node.client.get(Node, 'node-1')).status?.allocatable?.[resource] === '1',
      );
      await create(name, { limits: { ...whole.limits, [resource]: '1' } });
      const pod = await phase(name, name === 'near' ? 'Running' : 'Failed');
      assert.equal(
        plugin.calls.some(({ call }) => call === 'Allocate'),
        name === 'near',
      );
      if (name === 'far') {
        assert.equal(pod.status?.reason, 'TopologyAffinityError');
        assert.equal(pod.status?.message, 'Pod was rejected: Resources cannot be allocated with Topology locality');
        assert.deepEqual(state().entries, {});
      }
      await remove(name);
    }
  });

  test('huge pages are told, limited and mounted', {
    skip: pagesBefore === undefined && 'this kernel has no huge pages of 2 MiB',
  }, async () => {
    const { capacity, allocatable } = (await node.client.get(Node, 'node-1')).status ?? {};
    const total = Number(readFileSync(pages, 'utf8')) * 2;
    assert.equal(capacity?.['hugepages-2Mi'], `${total}Mi`);
    assert.equal(allocatable?.['hugepages-2Mi'], `${total}Mi`);
    const limits = { cpu: '100m', memory: '64Mi', 'hugepages-2Mi': '4Mi' };
    await create(
      'burst',
      { limits, requests: { cpu: '50m' } },
      { volumes: [{ name: 'pages', emptyDir: { medium: 'HugePages-2Mi' } }] },
      { volumeMounts: [{ name: 'pages', mountPath: '/pages' }] },
    );
    await phase('burst', 'Running');
    assert.match(await exec('burst', 'grep " /pages " /proc/mounts'), /hugetlbfs .*pagesize=2M/);
    const [id = ''] = (await get('burst')).status?.containerStatuses?.[0]?.containerID?.split('://').toReversed() ?? [];
    const limit = await exec(
      'burst',
      'cat /sys/fs/cgroup/hugetlb/hugetlb.2MB.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/hugetlb.2MB.max',
    );
    assert.equal(limit, String(4 * 2 ** 20), id);
    await remove('burst');
  });
});
