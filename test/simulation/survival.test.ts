import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import type { Lease } from '#api/coordination/v1/lease.ts';
import { watchAlways } from './always.ts';
import { SimulatedCluster } from './cluster.ts';
import { unfinished } from './converged.ts';
import { calm } from './network.ts';
import { quick } from './specimens.ts';

const name = 'web';
const namespace = 'sim-0';
const minutesMax = 10;

async function started(apiServers: number): Promise<SimulatedCluster> {
  const cluster = new SimulatedCluster({ seed: 1, apiServers, nodes: 2 });
  watchAlways(cluster.history);
  await cluster.start();
  await cluster.time.runFor(20_000);
  await cluster.time.runUntil('a namespace', cluster.user.create(Namespace, { metadata: { name: namespace } }));
  return cluster;
}

function deploy(cluster: SimulatedCluster, replicas: number): Promise<unknown> {
  const labels = { app: name };
  const template = { metadata: { labels }, spec: quick };
  const spec = { replicas, selector: { matchLabels: labels }, template };
  return cluster.time.runUntil(
    'a deployment',
    cluster.user.create(Deployment, { metadata: { name, namespace }, spec }),
  );
}

function scale(cluster: SimulatedCluster, replicas: number): Promise<unknown> {
  const patch = { spec: { replicas } };
  return cluster.time.runUntil(
    'a scale',
    cluster.user.patch(Deployment, name, { type: 'merge', patch }, { namespace }),
  );
}

function available({ history }: SimulatedCluster): number {
  return history.of<Deployment>('deployments.apps').get(`${namespace}/${name}`)?.status?.availableReplicas ?? 0;
}

async function reaches({ time }: SimulatedCluster, what: string, holds: () => boolean): Promise<void> {
  for (let waitedMs = 0; !holds() && waitedMs < minutesMax * 60_000; waitedMs += 1_000) await time.runFor(1_000);
  assert.ok(holds(), what);
}

async function atRest(cluster: SimulatedCluster, replicas: number): Promise<void> {
  await reaches(cluster, `${replicas} replicas`, () => available(cluster) === replicas);
  await reaches(cluster, unfinished(cluster.history).join('\n'), () => unfinished(cluster.history).length === 0);
  assert.deepEqual(cluster.history.problems, []);
}

test('Controllers that lose their lease stop, others go on, and they come back', async () => {
  using cluster = await started(2);
  const { network, history, serverNames } = cluster;
  const lease = () => history.of<Lease>('leases.coordination.k8s.io').get('kube-system/kube-controller-manager');
  const holder = () => lease()?.spec?.holderIdentity ?? '';
  const leader = holder().replace(/_.*/, '');
  assert.match(leader, /^controllers-\d$/);
  await deploy(cluster, 2);
  await atRest(cluster, 2);
  for (const server of serverNames) network.cut(leader, server);
  await scale(cluster, 4);
  await reaches(cluster, 'another leads', () => holder() !== '' && !holder().startsWith(`${leader}_`));
  await atRest(cluster, 4);
  assert.ok(
    history.tail.some(line => line.includes(`${leader} did not start: cannot renew lease`)),
    'it has not noticed',
  );
  network.heal();
  await scale(cluster, 1);
  await atRest(cluster, 1);
});

test('Controllers whose watches are half a minute late do not make too much, and come to an end', async () => {
  using cluster = await started(1);
  await deploy(cluster, 2);
  await atRest(cluster, 2);
  cluster.networkFaults.stallsWatch = 1;
  cluster.history.staleUntilMs = Number.POSITIVE_INFINITY;
  await scale(cluster, 5);
  await cluster.time.runFor(120_000);
  await scale(cluster, 3);
  await cluster.time.runFor(60_000);
  Object.assign(cluster.networkFaults, calm);
  await atRest(cluster, 3);
});

test('Controllers whose queue of events was full begin their watch anew', async () => {
  using cluster = await started(1);
  const { network, networkFaults, user, time } = cluster;
  await time.runUntil('a map', user.create(ConfigMap, { metadata: { name: 'busy', namespace } }));
  await time.runFor(1_000);
  const { history } = cluster;
  const change = async (value: number) => {
    const patch = { data: { value: String(value) } };
    await user.patch(ConfigMap, 'busy', { type: 'merge', patch }, { namespace });
  };
  history.staleUntilMs = Number.POSITIVE_INFINITY;
  networkFaults.stallsWatch = 1;
  await time.runUntil('the first', change(0));
  await time.runFor(1);
  networkFaults.stallsWatch = 0;
  // Together they are more than a watch may owe its client.
  for (let round = 0; round < 25; round++)
    await time.runUntil(
      'changes',
      Promise.all(Array.from({ length: 200 }, (_, index) => change(round * 1000 + index).catch(() => undefined))),
    );
  await time.runFor(60_000);
  assert.ok(network.fullQueues > 0, 'no queue was full');
  await deploy(cluster, 2);
  const name = 'kube-root-ca.crt';
  await time.runUntil('its end', user.delete(ConfigMap, name, { namespace }));
  await reaches(cluster, 'the map is there again', () => history.of('configmaps').has(`${namespace}/${name}`));
  await atRest(cluster, 2);
});
