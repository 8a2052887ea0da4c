import assert from 'node:assert/strict';
import { test } from 'node:test';
import { realContainers } from '../scenarios/cluster.ts';
import { officialTests } from './official.ts';
import { runConformance, testedCluster } from './suite.ts';

test('the quick conformance tests pass', { skip: realContainers }, async t => {
  await using cluster = await testedCluster();
  const results = await runConformance(cluster, { quick: true }, ({ name, passed, failure }) =>
    t.diagnostic(passed ? `passed: ${name}` : `FAILED: ${name}\n${failure}`),
  );
  assert.deepEqual(
    results.filter(each => !each.passed).map(({ name, failure }) => `${name}: ${failure}`),
    [],
  );
  assert.ok(results.length > 0, 'there are tests');
  const official = officialTests();
  if (!official) return t.diagnostic('the official list is not beside this checkout: names are not compared');
  const names = new Set(official.map(({ name }) => name));
  assert.deepEqual(
    results.map(({ name }) => name).filter(name => !names.has(name)),
    [],
    'every test has an official name',
  );
});
