import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiVersionOf } from '#api/machinery/kind.ts';
import { kindsServed } from './runtime-config.ts';

const usual = new Set(kindsServed());
const added = (...words: string[]) =>
  kindsServed(words)
    .filter(kind => !usual.has(kind))
    .map(kind => `${apiVersionOf(kind)}/${kind.plural}`);

test('without a word upstream decides, and nothing of it is alpha or beta', () => {
  assert.deepEqual(
    [...usual].filter(({ version }) => /alpha|beta/.test(version)),
    [],
  );
});

test('a version, a resource or a stage is served when it is asked for; the narrowest word counts', () => {
  const migrations = 'storagemigration.k8s.io/v1beta1/storageversionmigrations';
  assert.deepEqual(added('storagemigration.k8s.io/v1beta1=true'), [migrations]);
  assert.deepEqual(added('storagemigration.k8s.io/v1beta1'), [migrations]);
  assert.deepEqual(added(`${migrations}=true`), [migrations]);
  assert.deepEqual(added('storagemigration.k8s.io/v1beta1=true', `${migrations}=false`), []);
  assert.deepEqual(added('networking.k8s.io/v1beta1=true'), [
    'networking.k8s.io/v1beta1/ipaddresses',
    'networking.k8s.io/v1beta1/servicecidrs',
  ]);
  assert.ok(added('api/beta=true', 'resource.k8s.io/v1beta1=false').includes(migrations));
});

test('what cannot be is refused', () => {
  for (const [word, wanted] of [
    ['apps/v1=false', /cannot leave out apps\/v1/],
    ['apps/v7=true', /there is no API "apps\/v7"/],
    ['apps/v1=perhaps', /takes KEY=true and KEY=false/],
    ['resource.k8s.io/v1beta1=true', /cannot serve resource.k8s.io\/v1beta1\/\w+ beside resource.k8s.io\/v1/],
  ] as const)
    assert.throws(() => kindsServed([word]), wanted);
});
