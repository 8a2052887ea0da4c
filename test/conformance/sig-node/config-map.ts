import assert from 'node:assert/strict';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Secret } from '#api/core/v1/secret.ts';
import type { ApiObject, Kind, Partly } from '#api/machinery/kind.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { outputOf, type PodWish } from '../pods.ts';
import { refusal } from '../waiting.ts';

conformance(it => {
  it('[sig-node] ConfigMap should be consumable via environment variable [Conformance] [NodeConformance]', async t => {
    await make(t, ConfigMap, { data: { 'data-1': 'value-1' } });
    const env = [{ name: 'CONFIG_DATA_1', valueFrom: { configMapKeyRef: { name: 'source', key: 'data-1' } } }];
    assert.match(await environment(t, { env }), /^CONFIG_DATA_1=value-1$/m);
  });

  it('[sig-node] ConfigMap should be consumable via the environment [Conformance] [NodeConformance]', async t => {
    await make(t, ConfigMap, { data: { data_1: 'value-1', data_2: 'value-2', data_3: 'value-3' } });
    await all(t, 'configMapRef', [undefined, 'p_']);
  });

  it('[sig-node] ConfigMap should be consumable as environment variable names with various prefixes [Conformance]', async t => {
    await make(t, ConfigMap, { data: { data_1: 'value-1', data_2: 'value-2', data_3: 'value-3' } });
    await all(t, 'configMapRef', prefixes);
  });

  it('[sig-node] ConfigMap should fail to create ConfigMap with empty key [Conformance]', async t => {
    assert.equal((await refusal(make(t, ConfigMap, { data: { '': 'value-1' } }))).code, 422);
  });

  it('[sig-node] ConfigMap should run through a ConfigMap lifecycle [Conformance]', t =>
    apiOperations(t, { kind: ConfigMap, object: { data: { valueName: 'value' } } }));

  it('[sig-node] ConfigMap should update ConfigMap successfully [Conformance] [NodeConformance]', async t => {
    const made = await make(t, ConfigMap, { data: { 'data-1': 'value-1' } });
    const { namespace } = t;
    await t.client.update(ConfigMap, { ...made, data: { 'data-1': 'value-2' } }, { namespace });
    assert.deepEqual((await t.client.get(ConfigMap, 'source', { namespace })).data, { 'data-1': 'value-2' });
  });

  it('[sig-node] Secrets should be consumable from pods in env vars [Conformance] [NodeConformance]', async t => {
    await make(t, Secret, { stringData: { 'data-1': 'value-1' } });
    const env = [{ name: 'SECRET_DATA', valueFrom: { secretKeyRef: { name: 'source', key: 'data-1' } } }];
    assert.match(await environment(t, { env }), /^SECRET_DATA=value-1$/m);
  });

  it('[sig-node] Secrets should be consumable via the environment [Conformance] [NodeConformance]', async t => {
    await make(t, Secret, { stringData: { data_1: 'value-1', data_2: 'value-2', data_3: 'value-3' } });
    await all(t, 'secretRef', [undefined, 'p_']);
  });

  it('[sig-node] Secrets should be consumable as environment variable names variable names with various prefixes [Conformance]', async t => {
    await make(t, Secret, { stringData: { data_1: 'value-1', data_2: 'value-2', data_3: 'value-3' } });
    await all(t, 'secretRef', prefixes);
  });

  it('[sig-node] Secrets should fail to create secret due to empty secret key [Conformance]', async t => {
    assert.equal((await refusal(make(t, Secret, { stringData: { '': 'value-1' } }))).code, 422);
  });

  it('[sig-node] Secrets should patch a secret [Conformance]', async t => {
    await apiOperations(t, { kind: Secret, object: { type: 'Opaque', stringData: { key: 'value' } } });
    await make(t, Secret, { stringData: { key: 'value' } });
    const data = { key: Buffer.from('value1').toString('base64') };
    const patched = await t.client.patch(
      Secret,
      'source',
      { type: 'strategic', patch: { data } },
      { namespace: t.namespace },
    );
    assert.deepEqual(patched.data, data);
  });
});

const prefixes = ['p-', 'p.', 'p/', 'p 1 ', '#', '123_', '%$&'];

function make<Type extends ApiObject>(t: Trial, kind: Kind<Type>, fields: object): Promise<Type> {
  return t.client.create<Type>(kind, { metadata: { name: 'source' }, ...fields } as Partly<Type>, {
    namespace: t.namespace,
  });
}

function environment(t: Trial, container: PodWish['container']): Promise<string> {
  // A shell would drop the names that are none for it.
  return outputOf(t, { container: { ...container, command: ['env'] } });
}

async function all(
  t: Trial,
  source: 'configMapRef' | 'secretRef',
  wanted: readonly (string | undefined)[],
): Promise<void> {
  const envFrom = wanted.map(prefix => ({ ...(prefix !== undefined && { prefix }), [source]: { name: 'source' } }));
  const lines = (await environment(t, { envFrom } as PodWish['container'])).split('\n');
  for (const prefix of wanted)
    for (const index of [1, 2, 3])
      assert.ok(lines.includes(`${prefix ?? ''}data_${index}=value-${index}`), `${prefix}data_${index}`);
}
