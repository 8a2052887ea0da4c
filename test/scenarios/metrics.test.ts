import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { realContainers, startScenarioCluster, type ScenarioCluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { container, pod } from './objects.ts';

describe('kubectl top on real containers', { skip: realContainers }, () => {
  let cluster: ScenarioCluster;
  before(async () => {
    cluster = await startScenarioCluster();
    const { registry } = cluster;
    await cluster.apply(pod('busy', container(`${registry}/busybox`, { script: 'while true; do true; done' })));
    await cluster.kubectl('wait', 'pod/busy', '--for=condition=Ready', '--timeout=60s');
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  test('what a container uses is known half a minute after its start at the latest', async () => {
    const lines = await eventually('the pod is measured', async () => {
      const text = await cluster.kubectl('top', 'pods', '--containers', '--no-headers');
      assert.match(text, /busy/);
      return text.trim().split('\n');
    });
    const [name = '', , cpu = '', memory = ''] = (lines[0] ?? '').split(/\s+/);
    assert.equal(name, 'busy');
    assert(Number(/^(\d+)m$/.exec(cpu)?.[1]) > 50, `a loop without end uses ${cpu}`);
    assert.match(memory, /^\d+Mi$/);
  });

  test('nodes are measured, too, and selected by their labels', async () => {
    await eventually('the node is measured', async () => {
      const text = await cluster.kubectl('top', 'nodes', '--no-headers', '-l', 'kubernetes.io/os=linux');
      assert.match(text, /^\S+ +\d+m +\d+% +\d+Mi +\d+%/);
      return true;
    });
    const { items } = JSON.parse(
      await cluster.kubectl(
        'get',
        '--raw',
        '/apis/metrics.k8s.io/v1beta1/nodes?labelSelector=kubernetes.io/os%3Dplan9',
      ),
    );
    assert.deepEqual(items, []);
  });
});
