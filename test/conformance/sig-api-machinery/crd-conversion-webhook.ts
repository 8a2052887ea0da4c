import assert from 'node:assert/strict';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { conformance, type Trial } from '../conformance.ts';
import { defineConverted } from '../converted.ts';
import type { Custom, Defined } from '../custom.ts';

const convert =
  '[sig-api-machinery] CustomResourceConversionWebhook [Privileged:ClusterAdmin] should be able to convert';

conformance(it => {
  it(`${convert} from CR v1 to CR v2 [Conformance]`, async t => {
    const { kind } = await defineConverted(t, { stored: 'v1' });
    await create(t, kind('v1'), 'one', { hostPort: 'localhost:8080' });
    const { host, port } = await t.client.get(kind('v2'), 'one', { namespace: t.namespace });
    assert.deepEqual([host, port], ['localhost', '8080']);
  });

  it(`${convert} a non homogeneous list of CRs [Conformance]`, async t => {
    const { kind, name } = await defineConverted(t, { stored: 'v1' });
    await create(t, kind('v1'), 'one', { hostPort: 'localhost:8080' });
    const storage = (index: number, value: boolean) => ({
      op: 'replace',
      path: `/spec/versions/${index}/storage`,
      value,
    });
    await t.client.patch(CustomResourceDefinition, name, {
      type: 'json',
      operations: [storage(0, false), storage(1, true)],
    });
    await create(t, kind('v2'), 'two', { host: 'example', port: '9090' });
    const list = async (version: string) => (await t.client.list(kind(version), { namespace: t.namespace })).items;
    assert.deepEqual(
      (await list('v1')).map(({ hostPort }) => hostPort),
      ['localhost:8080', 'example:9090'],
    );
    assert.deepEqual(
      (await list('v2')).map(({ host, port }) => [host, port]),
      [
        ['localhost', '8080'],
        ['example', '9090'],
      ],
    );
  });
});

function create(t: Trial, kind: ReturnType<Defined['kind']>, name: string, fields: object): Promise<Custom> {
  return t.client.create<Custom>(kind, { metadata: { name }, ...fields } as never, { namespace: t.namespace });
}
