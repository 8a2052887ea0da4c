import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { httpsClientFor } from './clients.ts';
import { startCluster } from './start-cluster.ts';

const containers = [{ name: 'c', image: 'any' }];

test('a cluster runs in this process: a pod is scheduled and runs on a simulated node', async () => {
  await using cluster = await startCluster();
  const { client } = cluster;
  await client.create(Pod, { metadata: { name: 'hello' }, spec: { containers } }, { namespace: 'default' });
  let node: string | undefined;
  for await (const event of client.watch(Pod, { namespace: 'default', sendInitialEvents: true })) {
    if (event.type === 'BOOKMARK' || event.object.status.phase !== 'Running') continue;
    node = event.object.spec.nodeName;
    break;
  }
  assert.equal(node, 'hollow-0');
});

test('its kubeconfig serves a client over HTTPS', async () => {
  await using cluster = await startCluster({ nodes: ['one', 'two'] });
  const folder = mkdtempSync(join(tmpdir(), 'windlass-library-'));
  try {
    const file = join(folder, 'kubeconfig');
    writeFileSync(file, cluster.kubeconfig);
    await using client = await httpsClientFor(file, systemClock);
    const nodes = await client.list(Node);
    assert.deepEqual(
      nodes.items.map(node => node.metadata.name),
      ['one', 'two'],
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('with a manual clock time passes when the test says so', async () => {
  await using cluster = await startCluster({ clock: 'manual' });
  const { client, clock } = cluster;
  const labels = { app: 'web' };
  const spec = {
    replicas: 2,
    selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers } },
  };
  await client.create(Deployment, { metadata: { name: 'web' }, spec }, { namespace: 'default' });
  await clock.advance(10_000);
  const web = await client.get(Deployment, 'web', { namespace: 'default' });
  assert.equal(web.status.readyReplicas, 2);
  const before = web.metadata.creationTimestamp;
  await clock.advance(60 * 60_000);
  await client.create(Pod, { metadata: { name: 'later' }, spec: { containers } }, { namespace: 'default' });
  const later = await client.get(Pod, 'later', { namespace: 'default' });
  const passedMs = Date.parse(later.metadata.creationTimestamp ?? '') - Date.parse(before ?? '');
  assert.ok(passedMs >= 60 * 60_000, `${passedMs} ms have passed`);
});

test('several clusters live in one process', async () => {
  await using first = await startCluster();
  await using second = await startCluster();
  await first.client.create(Pod, { metadata: { name: 'only-here' }, spec: { containers } }, { namespace: 'default' });
  const { items } = await second.client.list(Pod, { namespace: 'default' });
  assert.deepEqual(items, []);
});
