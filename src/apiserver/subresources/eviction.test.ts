import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AdmissionPlugin } from '#admission/admission.ts';
import { openTestServer, type TestServer } from '../test-server.ts';

const pods = '/api/v1/namespaces/default/pods';
const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
const merge = { 'content-type': 'application/merge-patch+json' };

async function openCluster(admission: readonly AdmissionPlugin[] = []): Promise<TestServer> {
  const server = await openTestServer({ admission: [...admission] });
  const spec = { nodeName: 'n', containers: [{ name: 'c', image: 'i' }] };
  await server.call('POST', pods, { metadata: { name: 'a', labels: { x: 'y' } }, spec });
  const selector = { matchLabels: { x: 'y' } };
  await server.call('POST', budgets, { metadata: { name: 'budget' }, spec: { minAvailable: 1, selector } });
  return server;
}

function evict(server: TestServer, options: object = {}) {
  const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'a' }, ...options };
  return server.call('POST', `${pods}/a/eviction`, body);
}

function setPod(server: TestServer, phase: string, ready: boolean) {
  const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
  return server.call('PATCH', `${pods}/a/status`, { status: { phase, conditions } }, merge);
}

function setBudget(server: TestServer, status: object) {
  return server.call('PATCH', `${budgets}/budget/status`, { status: { observedGeneration: 1, ...status } }, merge);
}

test('the last disruption that is allowed is noted in the budget at once', async () => {
  await using server = await openCluster();
  await setPod(server, 'Running', true);
  const counts = { desiredHealthy: 1, currentHealthy: 2, expectedPods: 2, disruptionsAllowed: 1 };
  const condition = { type: 'DisruptionAllowed', status: 'True', reason: 'SufficientPods', message: '' };
  const lastTransitionTime = '2020-01-01T00:00:00Z';
  await setBudget(server, { ...counts, conditions: [{ ...condition, lastTransitionTime }] });
  assert.equal((await evict(server)).code, 201);
  const { status } = (await server.call('GET', `${budgets}/budget`)).body;
  assert.equal(status.disruptionsAllowed, 0);
  assert.deepEqual(Object.keys(status.disruptedPods), ['a']);
  const [now] = status.conditions;
  assert.deepEqual([now.status, now.reason, now.observedGeneration], ['False', 'InsufficientPods', 1]);
  assert.notEqual(now.lastTransitionTime, lastTransitionTime);
});

test('the pod says who ended it', async () => {
  await using server = await openCluster();
  await server.call('PATCH', `${pods}/a`, { metadata: { finalizers: ['example.com/stays'] } }, merge);
  await setPod(server, 'Failed', false);
  assert.equal((await evict(server, { deleteOptions: { dryRun: ['All'] } })).code, 201);
  const conditionsNow = async () =>
    (await server.call('GET', `${pods}/a`)).body.status.conditions.map(({ type, status, reason }: never) => [
      type,
      status,
      reason,
    ]);
  assert.deepEqual(await conditionsNow(), [['Ready', 'False', undefined]]);
  const refused = await evict(server, { deleteOptions: { preconditions: { uid: 'other' } } });
  assert.equal(refused.code, 409);
  assert.match(refused.body.message, /the UID in the precondition \(other\) does not match the UID in record \(.+\)/);
  assert.equal((await evict(server)).code, 201);
  assert.deepEqual(await conditionsNow(), [
    ['Ready', 'False', undefined],
    ['DisruptionTarget', 'True', 'EvictionByEvictionAPI'],
  ]);
});

/** Somebody else is quicker than the eviction, once: while it waits for a webhook. */
function meanwhile(phase: string): AdmissionPlugin & { server: TestServer | undefined } {
  let isDone = false;
  return {
    name: 'Meanwhile',
    server: undefined,
    handles: ({ operation, kind }) => operation === 'DELETE' && kind.kind === 'Pod',
    async validate() {
      if (isDone) return;
      isDone = true;
      const server = this.server as TestServer;
      const change = setPod(server, phase, true);
      // Changes of one object wait for each other, but not for long.
      await server.clock.advance(1_000);
      assert.equal((await change).code, 200);
    },
  };
}

test('a pod that becomes ready while it is evicted for not being so stays', async () => {
  const becomesReady = meanwhile('Running');
  await using server = await openCluster([becomesReady]);
  becomesReady.server = server;
  await setPod(server, 'Running', false);
  await setBudget(server, { desiredHealthy: 1, currentHealthy: 1, expectedPods: 2, disruptionsAllowed: 0 });
  const { code, body } = await evict(server);
  assert.equal(code, 429);
  assert.equal(body.details.causes[0].message, 'The disruption budget budget is still being processed by the server.');
  assert.equal(body.details.retryAfterSeconds, 10);
  assert.equal((await server.call('GET', `${pods}/a`)).body.metadata.deletionTimestamp, undefined);
});

test('a pod that starts to run while it is evicted is looked at again', async () => {
  const starts = meanwhile('Running');
  await using server = await openCluster([starts]);
  starts.server = server;
  await setPod(server, 'Pending', false);
  await setBudget(server, { desiredHealthy: 1, currentHealthy: 1, expectedPods: 1, disruptionsAllowed: 0 });
  const { code, body } = await evict(server);
  assert.equal(code, 429);
  assert.equal(body.details.causes[0].message, 'The disruption budget budget needs 1 healthy pods and has 1 currently');
});

test('a client that names a version is not asked twice', async () => {
  await using server = await openCluster();
  await setPod(server, 'Pending', false);
  const { code } = await evict(server, { deleteOptions: { preconditions: { resourceVersion: '1' } } });
  assert.equal(code, 409);
});

test('a budget without sense is refused in the singular', async () => {
  await using server = await openCluster();
  await setPod(server, 'Running', true);
  await setBudget(server, { desiredHealthy: 1, currentHealthy: 1, expectedPods: 1, disruptionsAllowed: 0 });
  const disruptedPods = Object.fromEntries(Array.from({ length: 2001 }, (_, n) => [`p${n}`, '2026-01-01T00:00:00Z']));
  await setBudget(server, { disruptedPods });
  const { code, body } = await evict(server);
  assert.equal(code, 403);
  assert.equal(
    body.message,
    'poddisruptionbudget.policy "budget" is forbidden: DisruptedPods map too big - too many evictions not confirmed by PDB controller',
  );
});
