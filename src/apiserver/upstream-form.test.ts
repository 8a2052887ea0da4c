import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';
import type { StorageEvent } from '#storage/storage.ts';
import { inUpstreamForm } from './upstream-form.ts';

const stored = (text: string) => ({ bytes: Buffer.from(text) });
const read = (bytes: Uint8Array | undefined) => bytes && Buffer.from(bytes).toString();

test('keys go to upstream’s places and come back', async () => {
  await using below = openMemoryStorage();
  const storage = inUpstreamForm(below);
  const places = {
    '/registry/pods/default/web': '/registry/pods/default/web',
    '/registry/nodes/n': '/registry/minions/n',
    '/registry/services/default/web': '/registry/services/specs/default/web',
    '/registry/endpoints/default/web': '/registry/services/endpoints/default/web',
    '/registry/replicationcontrollers/default/web': '/registry/controllers/default/web',
    '/registry/deployments.apps/default/web': '/registry/deployments/default/web',
    '/registry/ingresses.networking.k8s.io/default/web': '/registry/ingress/default/web',
    '/registry/customresourcedefinitions.apiextensions.k8s.io/a.b.c':
      '/registry/apiextensions.k8s.io/customresourcedefinitions/a.b.c',
    '/registry/apiservices.apiregistration.k8s.io/v1.': '/registry/apiregistration.k8s.io/apiservices/v1.',
    '/registry/crontabs.stable.example.com/default/my': '/registry/stable.example.com/crontabs/default/my',
    '/registry/things.example.com/one': '/registry/example.com/things/one',
    '/registry/masterleases/10.0.0.1': '/registry/masterleases/10.0.0.1',
    '/registry/ranges/servicenodeports': '/registry/ranges/servicenodeports',
  };
  for (const key of Object.keys(places)) await storage.put(key, stored('{"metadata":{"name":"x"}}'), 'absent');
  const paths = (await below.range('/')).entries.map(entry => entry.key);
  assert.deepEqual(paths.toSorted(), Object.values(places).toSorted());
  const keys = (await storage.range('/registry/')).entries.map(entry => entry.key);
  assert.deepEqual(keys.toSorted(), Object.keys(places).toSorted());
  assert.equal((await storage.range('/registry/services/')).entries.length, 1);
  assert.equal(
    (await storage.range('/registry/services/', { start: '/registry/services/default/x' })).entries.length,
    0,
  );
});

test('values say what they are, and come back byte by byte', async () => {
  await using below = openMemoryStorage();
  const storage = inUpstreamForm(below);
  const value = '{"metadata":{"name":"é"},"data":{"a":"b"}}';
  const abort = new AbortController();
  const events: StorageEvent[] = [];
  const watcher = { onEvents: (all: readonly StorageEvent[]) => void events.push(...all), onEnd() {} };
  await storage.watch('/registry/', 1, watcher, abort.signal);
  const object = {};
  await storage.put('/registry/configmaps/default/é', { ...stored(value), object }, 'absent');
  const below1 = read((await below.get('/registry/configmaps/default/é'))?.value.bytes);
  assert.equal(below1, '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"é"},"data":{"a":"b"}}\n');
  const entry = await storage.get('/registry/configmaps/default/é');
  assert.equal(read(entry?.value.bytes), value);
  // Twice: reading it did not change it.
  assert.equal(read((await storage.get('/registry/configmaps/default/é'))?.value.bytes), value);
  assert.equal(events[0]?.value.object, object, 'own objects come back undecoded');
  await storage.delete('/registry/configmaps/default/é', 'any');
  assert.equal(read(events[1]?.value.bytes), value);
  abort.abort();
});

test('what is encrypted, or of another program, is left to those who know it', async () => {
  await using below = openMemoryStorage();
  const storage = inUpstreamForm(below);
  const put = (key: string, text: string) => below.put(key, stored(text), 'absent');
  await put('/registry/secrets/default/a', 'k8s:enc:aescbc:v1:key:\0\u0001');
  await put(
    '/registry/deployments/default/a',
    '{"metadata":{"name":"a"},"apiVersion":"apps/v1","kind":"Deployment","spec":{}}',
  );
  await put(
    '/registry/horizontalpodautoscalers/default/a',
    '{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"a"},"spec":{"maxReplicas":3,"targetCPUUtilizationPercentage":50,"scaleTargetRef":{"kind":"Deployment","name":"a"}}}',
  );
  assert.equal(read((await storage.get('/registry/secrets/default/a'))?.value.bytes), 'k8s:enc:aescbc:v1:key:\0\u0001');
  assert.ok(!read((await storage.get('/registry/deployments.apps/default/a'))?.value.bytes)?.includes('"kind"'));
  const scaler =
    read((await storage.get('/registry/horizontalpodautoscalers.autoscaling/default/a'))?.value.bytes) ?? '';
  assert.ok(scaler.startsWith('{"metadata":{"name":"a"'), scaler);
  assert.equal(JSON.parse(scaler).spec.metrics[0].resource.target.averageUtilization, 50);
});
