import assert from 'node:assert/strict';
import { test } from 'node:test';
import { realContainers, startScenarioCluster } from './cluster.ts';
import { crashRounds, prepareForCrashes } from './crash.ts';

test('node agent and control plane are killed at random moments: nothing acknowledged is lost, no container is lost or doubled', {
  skip: realContainers,
}, async context => {
  await using cluster = await startScenarioCluster();
  await prepareForCrashes(cluster);
  // Another seed each day; `crash.ts --rounds 100` is the long run.
  const seed = Math.floor(Date.now() / 86_400_000);
  const figures = await crashRounds(cluster, { rounds: 3, seed, say: line => context.diagnostic(line) });
  assert.ok(figures.kills >= 3);
});
