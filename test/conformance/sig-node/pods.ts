import assert from 'node:assert/strict';
import { WebSocket } from 'ws';
import { PodTemplate } from '#api/core/v1/pod-template.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import { readKubeconfig } from '#client/kubeconfig.ts';
import { apiOperations, eventsUntil, statusEndpoints } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { createPod, isReady, outputOf, podOf, readyPod } from '../pods.ts';
import { until, untilGone } from '../waiting.ts';

const should = '[sig-node] Pods should';
const generation = '[sig-node] Pods Extended (pod generation) Pod Generation';

conformance(it => {
  it(`${should} be submitted and removed [Conformance] [NodeConformance]`, async t => {
    const labelSelector = 'time=now';
    const { resourceVersion } = (await t.client.list(Pod, { namespace: t.namespace, labelSelector })).metadata;
    const watched = eventsUntil(
      t,
      Pod,
      { labelSelector, resourceVersion },
      events => events.at(-1)?.startsWith('DELETED') ?? false,
      ({ metadata }) => (metadata.deletionTimestamp ? 'going' : 'there'),
    );
    const { metadata } = await readyPod(t, { labels: { time: 'now' } });
    await t.client.delete(Pod, metadata.name, { namespace: t.namespace, gracePeriodSeconds: 30 });
    const events = await watched;
    assert.equal(events[0], 'ADDED there');
    assert.ok(events.includes('MODIFIED going'), 'the graceful end is seen');
    assert.deepEqual((await t.client.list(Pod, { namespace: t.namespace, labelSelector })).items, []);
  });

  it(`${should} be updated [Conformance] [NodeConformance]`, async t => {
    const { metadata } = await readyPod(t, { labels: { time: 'before' } });
    await t.client.patch(
      Pod,
      metadata.name,
      { type: 'merge', patch: { metadata: { labels: { time: 'after' } } } },
      { namespace: t.namespace },
    );
    const { items } = await t.client.list(Pod, { namespace: t.namespace, labelSelector: 'time=after' });
    assert.deepEqual(
      items.map(each => each.metadata.name),
      [metadata.name],
    );
  });

  it(`${should} allow activeDeadlineSeconds to be updated [Conformance] [NodeConformance]`, async t => {
    const { metadata } = await readyPod(t, { activeDeadlineSeconds: 30 });
    await t.client.patch(
      Pod,
      metadata.name,
      { type: 'merge', patch: { spec: { activeDeadlineSeconds: 1 } } },
      { namespace: t.namespace },
    );
    const { status } = await until(t, Pod, metadata.name, 'it has failed', each => each.status?.phase === 'Failed');
    assert.equal(status?.reason, 'DeadlineExceeded');
  });

  it(`${should} get a host IP [Conformance] [NodeConformance]`, async t => {
    const { status } = await readyPod(t);
    assert.match(status?.hostIP ?? '', /^[\d.]+$/);
  });

  it(`${should} contain environment variables for services [Conformance] [NodeConformance]`, async t => {
    const server = await readyPod(t, { image: 'web:v1', labels: { name: 'server' } });
    const spec = { selector: { name: 'server' }, ports: [{ port: 8765, targetPort: 8080 }] };
    const service = await t.client.create(
      Service,
      { metadata: { name: 'fooservice' }, spec },
      { namespace: t.namespace },
    );
    assert.ok(server.metadata.name);
    const address = service.spec?.clusterIP ?? '';
    const expected = {
      FOOSERVICE_SERVICE_HOST: address,
      FOOSERVICE_SERVICE_PORT: '8765',
      FOOSERVICE_PORT: `tcp://${address}:8765`,
      FOOSERVICE_PORT_8765_TCP_PORT: '8765',
      FOOSERVICE_PORT_8765_TCP_PROTO: 'tcp',
      FOOSERVICE_PORT_8765_TCP: `tcp://${address}:8765`,
      FOOSERVICE_PORT_8765_TCP_ADDR: address,
    };
    await t.eventually('a pod that starts later has them', async () => {
      const lines = (await outputOf(t, { script: 'env' })).split('\n');
      return Object.entries(expected).every(([name, value]) => lines.includes(`${name}=${value}`));
    });
  });

  it(`${should} delete a collection of pods [Conformance]`, async t => {
    for (const name of ['one', 'two', 'three']) await createPod(t, { name, labels: { type: 'Testing' } });
    await t.client.deleteCollection(Pod, { namespace: t.namespace, labelSelector: 'type=Testing' });
    for (const name of ['one', 'two', 'three']) await untilGone(t, Pod, name);
  });

  it(`${should} patch a pod status [Conformance]`, async t => {
    const { metadata } = await readyPod(t);
    const patch = {
      metadata: { labels: { 'e2e-patched': 'yes' } },
      status: { message: 'Patched by e2e test', reason: 'E2E' },
    };
    const patched = await t.client.patch(
      Pod,
      metadata.name,
      { type: 'merge', patch },
      { namespace: t.namespace, subresource: 'status' },
    );
    assert.deepEqual([patched.status?.message, patched.status?.reason], ['Patched by e2e test', 'E2E']);
  });

  it(`${should} run through the lifecycle of Pods and PodStatus [Conformance]`, async t => {
    const { client, namespace } = t;
    const labels = { 'test-pod-static': 'true' };
    const { metadata } = await readyPod(t, { labels });
    const patch = {
      metadata: { labels: { 'test-pod': 'patched' } },
      spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'main', image: t.image('busybox:latest') }] },
    };
    await client.patch(Pod, metadata.name, { type: 'strategic', patch }, { namespace });
    const read = await client.get(Pod, metadata.name, { namespace });
    assert.equal(read.spec?.containers[0]?.image, t.image('busybox:latest'));
    await until(
      t,
      Pod,
      metadata.name,
      'the new image runs',
      ({ status }) => (status?.containerStatuses?.[0]?.restartCount ?? 0) > 0,
    );
    await statusEndpoints(t, Pod, metadata.name);
    await client.deleteCollection(Pod, { namespace, labelSelector: 'test-pod-static=true' });
    await untilGone(t, Pod, metadata.name);
  });

  it(`${should} support remote command execution over websockets [Conformance] [NodeConformance]`, async t => {
    const { metadata } = await readyPod(t);
    const path = `/api/v1/namespaces/${t.namespace}/pods/${metadata.name}/exec?stderr=1&stdout=1&container=main&command=echo&command=remote%20execution%20test`;
    const frames = await framesOf(path, 'v4.channel.k8s.io');
    const said = frames
      .filter(frame => frame[0] === 1)
      .map(frame => frame.subarray(1).toString())
      .join('');
    assert.equal(said.trim(), 'remote execution test');
    const status =
      frames
        .find(frame => frame[0] === 3)
        ?.subarray(1)
        .toString() ?? '';
    assert.equal((JSON.parse(status) as { status: string }).status, 'Success');
  });

  it(`${should} support retrieving logs from the container over websockets [Conformance] [NodeConformance]`, async t => {
    const { metadata } = await readyPod(t, { script: 'echo container is alive; sleep 600' });
    await t.eventually('it has spoken', async () => (await t.kubectl('logs', metadata.name)).length > 0);
    const path = `/api/v1/namespaces/${t.namespace}/pods/${metadata.name}/log?container=main`;
    assert.equal(Buffer.concat(await framesOf(path, 'binary.k8s.io')).toString(), 'container is alive\n');
  });

  it('[sig-node] Pods Extended Pods Set QOS Class should be set on Pods with matching resource requests and limits for memory and cpu [Conformance]', async t => {
    const both = { cpu: '100m', memory: '100Mi' };
    const { status } = await createPod(t, { container: { resources: { limits: both, requests: both } } });
    assert.equal(status?.qosClass, 'Guaranteed');
  });

  it(`${generation} pod generation should start at 1 and increment per update [MinimumKubeletVersion:1.34] [Conformance]`, async t => {
    const { metadata } = await readyPod(t);
    const { name } = metadata;
    assert.equal(metadata.generation, 1);
    const change = async (type: 'merge' | 'strategic', patch: object, subresource?: string) =>
      (
        await t.client.patch(
          Pod,
          name,
          { type, patch },
          { namespace: t.namespace, ...(subresource && { subresource }) },
        )
      ).metadata.generation;
    assert.equal(
      await change('merge', { metadata: { labels: { a: 'b' } } }),
      1,
      'labels are no change of the specification',
    );
    assert.equal(
      await change('strategic', { spec: { containers: [{ name: 'main', image: t.image('busybox:latest') }] } }),
      2,
    );
    assert.equal(await change('merge', { spec: { activeDeadlineSeconds: 3600 } }), 3);
    const tolerations = [
      ...((await t.client.get(Pod, name, { namespace: t.namespace })).spec?.tolerations ?? []),
      { key: 'foo', operator: 'Exists' },
    ];
    assert.equal(await change('merge', { spec: { tolerations } }), 4);
    const ephemeral = {
      spec: { ephemeralContainers: [{ name: 'debug', image: t.image('busybox:latest'), command: ['sleep', '1'] }] },
    };
    assert.equal(await change('strategic', ephemeral, 'ephemeralcontainers'), 5);
    await until(t, Pod, name, 'all of it is observed', ({ status }) => status?.observedGeneration === 5);
  });

  it(`${generation} custom-set generation on new pods and graceful delete [Conformance]`, async t => {
    const { metadata, spec } = podOf(t);
    const made = await t.client.create<Pod>(
      Pod,
      { metadata: { ...metadata, generation: 100 }, spec },
      { namespace: t.namespace },
    );
    assert.equal(made.metadata.generation, 1);
    const name = made.metadata.name ?? '';
    await until(t, Pod, name, 'it is ready', isReady);
    const finalizers = (values: readonly string[] | null) =>
      t.client.patch(
        Pod,
        name,
        { type: 'merge', patch: { metadata: { finalizers: values } } },
        { namespace: t.namespace },
      );
    await finalizers(['example.com/held']);
    await t.client.delete(Pod, name, { namespace: t.namespace, gracePeriodSeconds: 1 });
    const { metadata: going } = await until(
      t,
      Pod,
      name,
      'it is being deleted',
      each => !!each.metadata.deletionTimestamp,
    );
    assert.equal(going.generation, 2);
    await finalizers(null);
    await untilGone(t, Pod, name);
  });

  it(`${generation} issue 500 podspec updates and verify generation and observedGeneration eventually converge [MinimumKubeletVersion:1.34] [Conformance]`, async t => {
    const { metadata } = await readyPod(t);
    for (let index = 0; index < 499; index++)
      await t.client.patch(
        Pod,
        metadata.name,
        {
          type: 'json',
          operations: [{ op: 'add', path: '/spec/tolerations/-', value: { key: `key-${index}`, operator: 'Exists' } }],
        },
        { namespace: t.namespace },
      );
    await until(
      t,
      Pod,
      metadata.name,
      'both are 500',
      each => each.metadata.generation === 500 && each.status?.observedGeneration === 500,
    );
  });

  it('[sig-node] PodTemplates should run the lifecycle of PodTemplates [Conformance]', t => templates(t));
  it('[sig-node] PodTemplates should delete a collection of pod templates [Conformance]', t => templates(t));
  it('[sig-node] PodTemplates should replace a pod template [Conformance]', async t => {
    const { client, namespace } = t;
    const made = await client.create<PodTemplate>(
      PodTemplate,
      { metadata: { name: 'one' }, ...templateFields(t) } as never,
      { namespace },
    );
    const annotations = { updated: 'true' };
    const updated = await client.update(
      PodTemplate,
      { ...made, metadata: { ...made.metadata, annotations } },
      { namespace },
    );
    assert.deepEqual(updated.metadata.annotations, annotations);
  });
});

function templateFields(t: Trial) {
  return {
    template: {
      metadata: { labels: { podtemplate: 'one' } },
      spec: { containers: [{ name: 'main', image: t.image('busybox:latest') }] },
    },
  };
}

function templates(t: Trial): Promise<void> {
  return apiOperations(t, { kind: PodTemplate, object: templateFields(t) });
}

/** What a WebSocket gives until it is closed. */
async function framesOf(path: string, protocol: string): Promise<readonly Buffer[]> {
  const { connection } = await readKubeconfig(process.env['CONFORMANCE_KUBECONFIG'] ?? '');
  const { server, caPem, certPem, keyPem } = connection;
  const socket = new WebSocket(`${server.replace('https', 'wss')}${path}`, protocol, {
    ...(caPem && { ca: caPem }),
    ...(certPem && { cert: certPem }),
    ...(keyPem && { key: keyPem }),
  });
  const frames: Buffer[] = [];
  socket.on('message', (data: Buffer) => frames.push(data));
  await new Promise<void>((resolve, reject) => {
    socket.on('close', () => resolve());
    socket.on('error', reject);
  });
  return frames;
}
