import assert from 'node:assert/strict';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { annotated, discovered } from '../api-operations.ts';
import { conformance } from '../conformance.ts';
import { define, definitionOf, type Custom } from '../custom.ts';
import { untilGone } from '../waiting.ts';

const simple =
  '[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] Simple CustomResourceDefinition';

conformance(it => {
  it(`${simple} creating/deleting custom resource definition objects works [Conformance]`, async t => {
    const { name } = await define(t);
    await t.client.delete(CustomResourceDefinition, name);
    await untilGone(t, CustomResourceDefinition, name, { namespace: null });
  });

  it(`${simple} listing custom resource definition objects works [Conformance]`, async t => {
    const label = t.unique('e2e-listing');
    const labelSelector = `e2e=${label}`;
    const { name: other } = await define(t);
    await Promise.all(Array.from({ length: 10 }, () => define(t, { labels: { e2e: label } })));
    const names = async () =>
      (await t.client.list(CustomResourceDefinition, { labelSelector })).items.map(
        ({ metadata }) => metadata.name ?? '',
      );
    const listed = await names();
    assert.equal(listed.length, 10);
    await t.client.deleteCollection(CustomResourceDefinition, { labelSelector });
    for (const name of listed) await untilGone(t, CustomResourceDefinition, name, { namespace: null });
    assert.equal((await t.client.get(CustomResourceDefinition, other)).metadata.name, other);
  });

  it(`${simple} getting/updating/patching custom resource definition status sub-resource works [Conformance]`, async t => {
    const { name } = await define(t);
    const options = { subresource: 'status' };
    const condition = (reason: string) => ({ type: 'StatusUpdate', status: 'True', reason, message: 'set by a test' });
    const reasonOf = ({ status }: CustomResourceDefinition) =>
      status?.conditions?.find(({ type }) => type === 'StatusUpdate')?.reason;
    const read = await t.client.get(CustomResourceDefinition, name, options);
    const conditions = [...(read.status?.conditions ?? []), condition('E2E')];
    const updated = await t.client.update(
      CustomResourceDefinition,
      { ...annotated(read, { ignored: 'no' }), status: { ...read.status, conditions } } as CustomResourceDefinition,
      options,
    );
    assert.equal(reasonOf(updated), 'E2E');
    const patch = {
      type: 'json',
      operations: [{ op: 'add', path: '/status/conditions/-', value: condition('Patched') }],
    } as const;
    await t.client.patch(
      CustomResourceDefinition,
      name,
      { type: 'merge', patch: { status: { conditions: [...(read.status?.conditions ?? []), condition('Merged')] } } },
      options,
    );
    assert.equal(reasonOf(await t.client.get(CustomResourceDefinition, name)), 'Merged');
    const patched = await t.client.patch(CustomResourceDefinition, name, patch, options);
    assert.ok(patched.status?.conditions?.some(({ reason }) => reason === 'Patched'));
  });

  it('[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] should include custom resource definition resources in discovery documents [Conformance]', async t =>
    discovered(t, CustomResourceDefinition, ['status']));

  it('[sig-api-machinery] CustomResourceDefinition resources [Privileged:ClusterAdmin] custom resource defaulting for requests and from storage works [Conformance]', async t => {
    const { kind, name } = await define(t, definitionOf(t, { scope: 'Cluster' }));
    const create = (base: string) => t.client.create<Custom>(kind(), { metadata: { name: base } });
    const before = await create('before');
    assert.equal('a' in before, false);
    const useSchema = (properties: object) =>
      t.client.patch(CustomResourceDefinition, name, {
        type: 'json',
        operations: [
          { op: 'replace', path: '/spec/versions/0/schema/openAPIV3Schema', value: { type: 'object', properties } },
        ],
      });
    const a = { type: 'string', default: 'A' };
    const b = { type: 'string', default: 'B' };
    await useSchema({ a });
    const read = async (base: string) => {
      const { a: first, b: second } = await t.client.get(kind(), base);
      return [first, second];
    };
    await t.eventually('a default is there in what was stored before', async () => (await read('before'))[0] === 'A');
    assert.equal((await create('during'))['a'], 'A');
    await useSchema({ a: { type: 'string' }, b });
    await t.eventually('the other default is there', async () => (await read('before'))[1] === 'B');
    assert.deepEqual(await read('before'), [undefined, 'B'], 'a default that was only read is not there without it');
    assert.deepEqual(await read('during'), ['A', 'B'], 'a default that was written stays');
  });
});
