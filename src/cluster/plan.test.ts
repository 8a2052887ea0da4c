import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import type { Client } from '#client/client.ts';
import { manifestsAt, planFor, planText } from './plan.ts';
import { startCluster } from './start-cluster.ts';

const namespace = 'default';

async function until<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  name: string,
  holds: (object: Type) => boolean,
): Promise<void> {
  const selected = { namespace, fieldSelector: `metadata.name=${name}`, sendInitialEvents: true };
  for await (const event of client.watch(kind, selected)) if (event.type !== 'BOOKMARK' && holds(event.object)) return;
}

function deployment(name: string, replicas: number, cpu: string, image = 'any') {
  const labels = { app: name };
  const containers = [{ name: 'c', image, resources: { requests: { cpu } } }];
  const spec = {
    replicas,
    selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers } },
  };
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, spec };
}

test('a plan tells what would be made and changed and where pods would go, and changes nothing', async () => {
  await using cluster = await startCluster({ nodes: ['node-1', 'node-2'] });
  const { client } = cluster;
  // Where pods would go depends on where they are: both nodes have to be there before the first.
  for (const node of ['node-1', 'node-2'])
    await until(
      client,
      Node,
      node,
      ({ status }) => status.conditions?.some(each => each.type === 'Ready' && each.status === 'True') ?? false,
    );
  const { cpu = '' } = (await client.get(Node, 'node-1')).status.allocatable ?? {};
  const { spec, metadata } = deployment('web', 2, '100m');
  await client.create(Deployment, { metadata, spec } as Partly<Deployment>, { namespace });
  await until(client, Deployment, 'web', ({ status }) => status.readyReplicas === 2);
  await client.create(ConfigMap, { metadata: { name: 'conf' }, data: { a: '1' } }, { namespace });

  const map = (name: string, data: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name },
    data,
  });
  const manifests = [
    map('conf', { a: '2' }),
    map('new', { b: '1' }),
    { ...deployment('web', 2, '100m', 'other') },
    deployment('big', 3, cpu),
    { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'Wrong' }, spec: {} },
    { apiVersion: 'example.com/v1', kind: 'Gizmo', metadata: { name: 'x' } },
  ];
  const { objects } = await planFor(client, manifests, namespace);
  assert.deepEqual(
    objects.map(each => [each.object.kind, each.object.name, each.outcome]),
    [
      ['ConfigMap', 'conf', 'change'],
      ['ConfigMap', 'new', 'create'],
      ['Deployment', 'web', 'change'],
      ['Deployment', 'big', 'create'],
      ['Pod', 'Wrong', 'refused'],
      ['Gizmo', 'x', 'refused'],
    ],
  );
  const [conf, , web, big, wrong, gizmo] = objects;
  assert.deepEqual(conf?.changes, ['data.a: "1" → "2"']);
  assert.deepEqual(web?.changes, ['spec.template.spec.containers[0].image: "any" → "other"']);
  assert.equal(web?.restarts, 2);
  assert.deepEqual(web?.pods?.nodes, { __proto__: null, 'node-1': 1, 'node-2': 1 });
  // Both nodes have a pod of web by then: no room for a pod that wants all of one.
  assert.deepEqual(Object.values(big?.pods?.nowhere ?? {}), [3]);
  assert.match(Object.keys(big?.pods?.nowhere ?? {})[0] ?? '', /^0\/2 nodes are available: 2 Insufficient cpu\.$/);
  assert.deepEqual(big?.pods?.advice, ['on node-1, node-2 if it asked for 100m less cpu']);
  assert.match(wrong?.why ?? '', /^Pod "Wrong" is invalid/);
  assert.equal(gizmo?.why, 'no matches for kind "Gizmo" in version "example.com/v1"');
  assert.match(
    planText({ objects }),
    /^~ ConfigMap default\/conf\n {4}data\.a: "1" → "2"\n\+ ConfigMap default\/new\n/,
  );
  assert.match(planText({ objects }), /\n2 to create, 2 to change, 0 unchanged, 2 refused\n$/);

  assert.deepEqual((await client.get(ConfigMap, 'conf', { namespace })).data, { a: '1' });
  assert.equal((await client.get(Deployment, 'web', { namespace })).metadata.generation, 1);
  assert.equal((await client.list(Pod, { namespace })).items.length, 2);
  const again = await planFor(client, [deployment('web', 2, '100m')], namespace);
  assert.deepEqual([again.objects[0]?.outcome, again.objects[0]?.changes], ['unchanged', []]);
});

test('quotas count all pods of a plan, a new namespace is planned for, files are read from a folder', async () => {
  await using cluster = await startCluster();
  const { client } = cluster;
  const quota = { metadata: { name: 'two' }, spec: { hard: { pods: '2' } } };
  await client.create(ResourceQuota, quota as Partly<ResourceQuota>, { namespace });
  await until(client, ResourceQuota, 'two', ({ status }) => status.hard?.pods === '2');
  const folder = mkdtempSync(join(tmpdir(), 'windlass-plan-'));
  try {
    writeFileSync(join(folder, 'a.yaml'), 'apiVersion: v1\nkind: Namespace\nmetadata: {name: fresh}\n---\n');
    writeFileSync(
      join(folder, 'b.json'),
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [deployment('web', 3, '1m')] }),
    );
    const inFresh = deployment('other', 1, '1m');
    writeFileSync(
      join(folder, 'c.yml'),
      JSON.stringify({ ...inFresh, metadata: { name: 'other', namespace: 'fresh' } }),
    );
    const { objects } = await planFor(client, manifestsAt(folder), namespace);
    assert.deepEqual(
      objects.map(each => [each.object.kind, each.outcome]),
      [
        ['Namespace', 'create'],
        ['Deployment', 'create'],
        ['Deployment', 'create'],
      ],
    );
    assert.deepEqual(Object.entries(objects[1]?.pods?.nowhere ?? {}), [
      ['exceeded quota: two, requested: pods=1, used: pods=2, limited: pods=2', 1],
    ]);
    assert.match(objects[2]?.why ?? '', /namespace fresh is made by this plan/);
    assert.equal(objects[2]?.pods?.wanted, 1);
    assert.throws(() => manifestsAt(join(folder, 'none')), /cannot read .*none: ENOENT/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
