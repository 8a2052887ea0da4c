import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { Event } from '#api/core/v1/event.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { Partly } from '#api/machinery/kind.ts';
import { PriorityClass } from '#api/scheduling/v1/priority-class.ts';
import { readKubeconfig } from '#client/kubeconfig.ts';
import { startCluster } from '../../src/cluster/start-cluster.ts';
import { untilPod } from './until-pod.ts';

const namespace = 'default';
const hour = 3_600_000;

/** The extender's process with its certificate, and the port it has. */
async function startExtender() {
  const issuing = { clock: systemClock, random: systemRandom };
  const authority = await issueAuthority({ commonName: 'extenders', validForMs: hour }, issuing);
  const serving = await issue(
    authority,
    { commonName: 'extender', hosts: ['extender.local'], ips: ['127.0.0.1'], usages: ['server'], validForMs: hour },
    issuing,
  );
  const child = fork(join(import.meta.dirname, 'extender.ts'), {
    env: { ...process.env, CERT: serving.certPem, KEY: serving.keyPem },
    execArgv: ['--disable-warning=ExperimentalWarning', '--experimental-ffi'],
  });
  const [port] = (await once(child, 'message')) as [number];
  return {
    port,
    caPem: authority.certPem,
    child,
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    },
  };
}

const podOf = (name: string, cpu = '100m', more: object = {}) =>
  ({
    metadata: { name },
    spec: { containers: [{ name: 'c', image: 'any', resources: { requests: { cpu } } }], ...more },
  }) as Partly<Pod>;

test('an extender filters, prioritizes, agrees to preemptions and binds over HTTPS', async () => {
  await using extender = await startExtender();
  const directory = await mkdtemp(join(tmpdir(), 'windlass-extender-'));
  try {
    const config = join(directory, 'scheduler.yaml');
    const document = {
      apiVersion: 'kubescheduler.config.k8s.io/v1',
      kind: 'KubeSchedulerConfiguration',
      profiles: [{ schedulerName: 'default-scheduler' }, { schedulerName: 'other' }],
      extenders: [
        {
          urlPrefix: `https://127.0.0.1:${extender.port}/api/`,
          enableHTTPS: true,
          tlsConfig: { caData: Buffer.from(extender.caPem).toString('base64'), serverName: 'extender.local' },
          filterVerb: 'filter',
          prioritizeVerb: 'prioritize',
          preemptVerb: 'preempt',
          bindVerb: 'bind',
          weight: 5,
          httpTimeout: '3s',
        },
        // Nobody listens there; nobody misses it.
        { urlPrefix: 'http://127.0.0.1:1/', filterVerb: 'filter', ignorable: true },
        { urlPrefix: 'http://127.0.0.1:1/', filterVerb: 'filter', managedResources: [{ name: 'example.com/foo' }] },
      ],
    };
    await writeFile(config, JSON.stringify(document));
    await using cluster = await startCluster({
      nodes: ['node-1', 'node-2', 'node-3'],
      schedulerArguments: { config },
    });
    const { client } = cluster;
    const kubeconfig = join(directory, 'kubeconfig');
    await writeFile(kubeconfig, cluster.kubeconfig);
    extender.child.send((await readKubeconfig(kubeconfig)).connection);
    const label = (name: string, labels: object) =>
      client.patch(Node, name, { type: 'merge', patch: { metadata: { labels } } });
    await label('node-1', { extended: '' });
    await label('node-2', { extended: '', favourite: '' });

    for (const name of ['one', 'two', 'three']) {
      await client.create(Pod, podOf(name), { namespace });
      assert.equal((await untilPod(client, name, pod => Boolean(pod.spec.nodeName))).spec.nodeName, 'node-2');
    }
    const why = (pod: Pod) => pod.status.conditions?.find(each => each.type === 'PodScheduled');
    const there = { nodeSelector: { 'kubernetes.io/hostname': 'node-3' } };
    await client.create(Pod, podOf('refused', '100m', there), { namespace });
    const refused = await untilPod(client, 'refused', pod => why(pod)?.reason === 'Unschedulable');
    assert.match(why(refused)?.message ?? '', /1 not extended, 2 node\(s\) didn't match Pod's node affinity\/selector/);
    // What it refuses is tried again when the node changes.
    await label('node-3', { extended: '' });
    await untilPod(client, 'refused', pod => pod.spec.nodeName === 'node-3');

    await client.create(Pod, podOf('broken', '100m', { schedulerName: 'other' }), { namespace });
    const broken = await untilPod(client, 'broken', pod => why(pod)?.reason === 'SchedulerError');
    assert.equal(why(broken)?.message, 'this pod breaks me');
    const events = async () => (await client.list(Event, { namespace })).items;
    const failed = (event: Event) => event.involvedObject.name === 'broken' && event.reason === 'FailedScheduling';
    for await (const event of client.watch(Event, { namespace, sendInitialEvents: true }))
      if (event.type !== 'BOOKMARK' && failed(event.object)) break;
    assert.equal((await events()).find(failed)?.reportingComponent, 'other');

    // Whoever wants a device that this extender counts waits for it.
    const foo = { requests: { 'example.com/foo': '1' }, limits: { 'example.com/foo': '1' } };
    const managed = { containers: [{ name: 'c', image: 'any', resources: foo }] };
    for (const name of ['node-1', 'node-2', 'node-3'])
      await client.patch(
        Node,
        name,
        {
          type: 'merge',
          patch: { status: { allocatable: { 'example.com/foo': '1' }, capacity: { 'example.com/foo': '1' } } },
        },
        { subresource: 'status' },
      );
    await client.create(Pod, { metadata: { name: 'managed' }, spec: managed } as Partly<Pod>, { namespace });
    const waiting = await untilPod(client, 'managed', pod => why(pod)?.reason === 'SchedulerError');
    assert.match(why(waiting)?.message ?? '', /ECONNREFUSED/);

    // Full nodes: the extender lets nobody be evicted from node-1.
    await client.create(PriorityClass, { metadata: { name: 'high' }, value: 1000 } as Partly<PriorityClass>);
    for (const name of ['node-1', 'node-2', 'node-3']) {
      const { cpu = '' } = (await client.get(Node, name)).status.allocatable ?? {};
      const full = `${Number(cpu) - 1}`;
      const selected = { nodeSelector: { 'kubernetes.io/hostname': name } };
      await client.create(Pod, podOf(`full-${name}`, full, selected), { namespace });
      await untilPod(client, `full-${name}`, pod => Boolean(pod.spec.nodeName));
    }
    const { cpu = '' } = (await client.get(Node, 'node-1')).status.allocatable ?? {};
    const high = { priorityClassName: 'high', nodeSelector: { 'kubernetes.io/hostname': 'node-1' } };
    await client.create(Pod, podOf('high-1', `${Number(cpu) - 2}`, high), { namespace });
    await untilPod(client, 'high-1', pod => why(pod)?.reason === 'Unschedulable');
    assert.equal((await client.get(Pod, 'full-node-1', { namespace })).metadata.deletionTimestamp, undefined);
    const elsewhere = { ...high, nodeSelector: { 'kubernetes.io/hostname': 'node-2' } };
    await client.create(Pod, podOf('high-2', `${Number(cpu) - 2}`, elsewhere), { namespace });
    await untilPod(client, 'high-2', pod => pod.spec.nodeName === 'node-2');
  } finally {
    await rm(directory, { recursive: true });
  }
});
