import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import {
  CustomResourceDefinition,
  type CustomResourceDefinitionVersion,
} from '#api/apiextensions/v1/custom-resource-definition.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { defineKind } from '#api/machinery/kind.ts';
import { StorageVersionMigration } from '#api/storagemigration/v1beta1/storage-version-migration.ts';
import { kindsServed } from '../../src/cluster/runtime-config.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const kinds = kindsServed(['storagemigration.k8s.io/v1beta1=true']);
const only = ['storage-version-migrator-controller'];
const timeout = 30_000;

const Thing = defineKind({
  group: 'example.com',
  version: 'v2',
  kind: 'Thing',
  plural: 'things',
  namespaced: true,
  type: '',
  fields: {},
});

const version = (name: string, storage: boolean): CustomResourceDefinitionVersion => ({
  name,
  served: true,
  storage,
  schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
});

function migrated(plane: ControlPlane, name: string): Promise<StorageVersionMigration> {
  return plane.until(StorageVersionMigration, migrations => {
    const migration = migrations.get(name);
    const types = (migration?.status.conditions ?? []).map(({ type }) => type);
    return types.length === 1 && types[0] !== 'MigrationRunning' && migration;
  });
}

test('all objects of a definition are stored in its new version, and the old one may go', { timeout }, async () => {
  await using plane = await startControlPlane({ only, nodes: false, kinds });
  const { client } = plane;
  const definition = await client.create(CustomResourceDefinition, {
    metadata: { name: 'things.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'things', kind: 'Thing' },
      versions: [version('v1', true), version('v2', false)],
    },
  });
  const established = (wanted: readonly string[]) =>
    plane.until(CustomResourceDefinition, definitions => {
      const found = definitions.get('things.example.com');
      const is = found?.status.conditions?.some(({ type, status }) => type === 'Established' && status === 'True');
      return is && found?.status.storedVersions?.join() === wanted.join() && found;
    });
  await established(['v1']);
  for (let index = 0; index < 30; index++)
    await client.create(Thing, { metadata: { name: `thing-${index}` } }, { namespace: 'default' });
  const before = await client.list(Thing);
  const patch = { spec: { versions: [version('v1', false), version('v2', true)] } };
  await client.patch(CustomResourceDefinition, 'things.example.com', { type: 'merge', patch });
  await established(['v1', 'v2']);

  const resource = { group: 'example.com', resource: 'things' };
  await client.create(StorageVersionMigration, { metadata: { name: 'to-v2' }, spec: { resource } });
  // One is already under way: it waits for its turn.
  await client.create(StorageVersionMigration, { metadata: { name: 'zz-again' }, spec: { resource } });
  const { status } = await migrated(plane, 'to-v2');
  assert.deepEqual(
    status.conditions?.map(({ type, status: is, reason, message }) => [type, is, reason, message]),
    [['MigrationSucceeded', 'True', 'StorageVersionMigrationSucceeded', '']],
  );
  assert.ok(Number(status.resourceVersion) >= Number(before.metadata.resourceVersion));
  const after = await client.list(Thing);
  assert.equal(after.items.length, 30);
  for (const [index, { metadata }] of after.items.entries()) {
    const old = before.items[index]?.metadata;
    assert.ok(Number(metadata.resourceVersion) > Number(old?.resourceVersion), metadata.name ?? '');
    assert.equal(metadata.generation, old?.generation);
    // Nothing of it is the migrator's.
    assert.deepEqual(
      metadata.managedFields?.map(({ manager }) => manager),
      old?.managedFields?.map(({ manager }) => manager),
    );
  }
  const trimmed = await established(['v2']);
  const said = trimmed.status.conditions?.find(({ type }) => type === 'StorageMigrating');
  assert.deepEqual(
    [said?.status, said?.reason, said?.message],
    ['False', 'MigrationSucceeded', 'The migration has succeeded and the stored versions have been updated'],
  );
  assert.equal((await migrated(plane, 'zz-again')).status.conditions?.[0]?.type, 'MigrationSucceeded');
  // What is in the new version already is not written again.
  const again = await client.list(Thing);
  assert.deepEqual(
    again.items.map(({ metadata }) => metadata.resourceVersion),
    after.items.map(({ metadata }) => metadata.resourceVersion),
  );
  const without = { spec: { versions: [version('v2', true)] } };
  await client.patch(CustomResourceDefinition, 'things.example.com', { type: 'merge', patch: without });
  assert.equal(definition.spec.versions.length, 2);
});

test('built-in resources migrate; one that nobody serves fails after a minute', { timeout }, async () => {
  const clock = new ManualClock();
  await using plane = await startControlPlane({ only, nodes: false, kinds, clock });
  const { client } = plane;
  await client.create(ConfigMap, { metadata: { name: 'settings' }, data: { a: '1' } }, { namespace: 'default' });
  const migrate = (name: string, resource: string, group = '') =>
    client.create(StorageVersionMigration, { metadata: { name }, spec: { resource: { group, resource } } });
  await migrate('maps', 'configmaps');
  assert.equal((await migrated(plane, 'maps')).status.conditions?.[0]?.type, 'MigrationSucceeded');
  await migrate('nothing', 'nothings', 'example.com');
  await plane.until(StorageVersionMigration, all => all.get('nothing')?.status.conditions?.length === 1);
  const failed = migrated(plane, 'nothing');
  const ticking = (async () => {
    for (let seconds = 0; seconds < 200; seconds++) await clock.advance(1_000);
  })();
  const [condition] = (await failed).status.conditions ?? [];
  assert.deepEqual(
    [condition?.type, condition?.reason, condition?.message],
    ['MigrationFailed', 'StorageVersionMigrationFailed', 'resource does not exist in discovery'],
  );
  await ticking;
});
