import assert from 'node:assert/strict';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { conformance, type Trial } from '../conformance.ts';
import { anything, define, definitionOf, type Defined } from '../custom.ts';

const publish = '[sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin]';

const fooSchema = {
  description: 'Foo CRD for Testing',
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      description: 'Specification of Foo',
      properties: {
        bars: {
          description: 'List of Bars and their specs.',
          type: 'array',
          items: {
            type: 'object',
            required: ['name'],
            properties: {
              name: { description: 'Name of Bar.', type: 'string' },
              age: { description: 'Age of Bar.', type: 'string' },
              bazs: { description: 'List of Bazs.', items: { type: 'string' }, type: 'array' },
            },
          },
        },
      },
    },
    status: {
      description: 'Status of Foo',
      type: 'object',
      properties: { bars: { type: 'array', items: { type: 'string' } } },
    },
  },
};

conformance(it => {
  it(`${publish} works for CRD with validation schema [Conformance]`, async t => {
    const defined = await define(t, { schema: fooSchema });
    await published(t, defined, definition => definition['description'] === 'Foo CRD for Testing');
    const good = manifest(t, defined, { spec: { bars: [{ name: 'test-bar' }] } });
    for (const verb of ['create', 'apply']) {
      await t.kubectlWith(good, verb, '-f', '-');
      await t.kubectl('delete', defined.name, 'test-foo');
    }
    for (const [spec, words] of [
      [{ bars: [{ name: 'test-bar', unknown: 'x' }] }, /unknown field "spec.bars\[0\].unknown"/],
      [{ bars: [{ age: '10' }] }, /spec.bars\[0\].name: Required value|missing required field "name"/],
    ] as const)
      for (const verb of ['create', 'apply'])
        await refused(t.kubectlWith(manifest(t, defined, { spec }), verb, '-f', '-'), words);
    const { plural } = defined.kind();
    assert.match(await t.kubectl('explain', plural), /DESCRIPTION:\s+Foo CRD for Testing/);
    assert.match(await t.kubectl('explain', `${plural}.metadata`), /Standard object's metadata|metadata/i);
    assert.match(await t.kubectl('explain', `${plural}.spec`), /DESCRIPTION:\s+Specification of Foo/);
    assert.match(await t.kubectl('explain', `${plural}.spec.bars`), /DESCRIPTION:\s+List of Bars and their specs\./);
    assert.match(await t.kubectl('explain', '--recursive', `${plural}.spec`), /bars[\s\S]*bazs/);
    const fields = await t.kubectl('explain', plural);
    assert.match(fields, /apiVersion\s<string>\s+APIVersion defines/);
    const metadata = await t.kubectl('explain', `${plural}.metadata`);
    assert.match(
      metadata,
      /Standard object's metadata[\s\S]*creationTimestamp\s<string>\s+CreationTimestamp is a timestamp/,
    );
    await refused(t.kubectl('explain', `${plural}.spec.bars2`), /field "bars2" does not exist/);
  });

  it(`${publish} works for CRD without validation schema [Conformance]`, async t => {
    const defined = await define(t, { schema: anything });
    await published(t, defined, isOpen);
    await anythingGoes(t, defined, { a: { b: [{ c: 'd' }] } });
    assert.match(await t.kubectl('explain', defined.kind().plural), /DESCRIPTION:\s+<empty>/);
  });

  it(`${publish} works for CRD preserving unknown fields at the schema root [Conformance]`, async t => {
    const defined = await define(t, { schema: { ...fooSchema, 'x-kubernetes-preserve-unknown-fields': true } });
    await published(t, defined, isOpen);
    await anythingGoes(t, defined, { a: { b: 'c' } });
    assert.match(await t.kubectl('explain', defined.kind().plural), new RegExp(`KIND:\\s+${defined.kind().kind}`));
  });

  it(`${publish} works for CRD preserving unknown fields in an embedded object [Conformance]`, async t => {
    const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    const schema = {
      type: 'object',
      properties: { spec: { ...open, description: 'Specification of Waldo' }, status: open },
    };
    const defined = await define(t, { schema });
    await published(t, defined, definition => 'spec' in (definition['properties'] as object));
    await anythingGoes(t, defined, { spec: { a: { b: 'c' } } });
    assert.match(await t.kubectl('explain', `${defined.kind().plural}.spec`), /Specification of Waldo/);
  });

  it(`${publish} works for multiple CRDs of different groups [Conformance]`, async t => {
    await both(t, await define(t, { schema: fooSchema }), await define(t, { schema: fooSchema }));
  });

  it(`${publish} works for multiple CRDs of same group but different versions [Conformance]`, async t => {
    const group = `${t.unique('e2e')}.example.com`;
    const versions = (name: string) =>
      [{ name, served: true, storage: true, schema: { openAPIV3Schema: fooSchema } }] as never;
    await both(
      t,
      await define(t, { group, versions: versions('v2') }),
      await define(t, { group, versions: versions('v3') }),
    );
  });

  it(`${publish} works for multiple CRDs of same group and version but different kinds [Conformance]`, async t => {
    const group = `${t.unique('e2e')}.example.com`;
    await both(t, await define(t, { group, schema: fooSchema }), await define(t, { group, schema: fooSchema }));
  });

  it(`${publish} updates the published spec when one version gets renamed [Conformance]`, async t => {
    const defined = await define(t, definitionOf(t, { versions: twoVersions as never }));
    await published(t, defined, () => true, 'v2');
    await published(t, defined, () => true, 'v3');
    await t.client.patch(CustomResourceDefinition, defined.name, {
      type: 'json',
      operations: [{ op: 'replace', path: '/spec/versions/1/name', value: 'v4' }],
    });
    await published(t, defined, () => true, 'v4');
    await unpublished(t, defined, 'v3');
    await published(t, defined, () => true, 'v2');
  });

  it(`${publish} removes definition from spec when one version gets changed to not be served [Conformance]`, async t => {
    const defined = await define(t, definitionOf(t, { versions: twoVersions as never }));
    await published(t, defined, () => true, 'v2');
    await published(t, defined, () => true, 'v3');
    await t.client.patch(CustomResourceDefinition, defined.name, {
      type: 'json',
      operations: [{ op: 'replace', path: '/spec/versions/1/served', value: false }],
    });
    await unpublished(t, defined, 'v3');
    await published(t, defined, () => true, 'v2');
  });
});

const twoVersions = [
  { name: 'v2', served: true, storage: true, schema: { openAPIV3Schema: fooSchema } },
  { name: 'v3', served: true, storage: false, schema: { openAPIV3Schema: fooSchema } },
];

type Schema = Readonly<Record<string, unknown>>;

/** Whatever else it said, older clients would refuse what it does not name. */
function isOpen({ 'x-kubernetes-group-version-kind': _, ...schema }: Schema): boolean {
  return JSON.stringify(schema) === '{"type":"object"}';
}

async function definitionsIn(t: Trial, { kind }: Defined, version: string | undefined): Promise<readonly Schema[]> {
  const { group, version: named, kind: name } = kind(version);
  const { definitions } = (await t.request('GET', '/openapi/v2')).json<{ definitions: Record<string, Schema> }>();
  return Object.values(definitions).filter(each =>
    (
      each['x-kubernetes-group-version-kind'] as readonly { group: string; version: string; kind: string }[] | undefined
    )?.some(gvk => gvk.group === group && gvk.version === named && gvk.kind === name),
  );
}

async function published(
  t: Trial,
  defined: Defined,
  as: (definition: Schema) => boolean,
  version?: string,
): Promise<void> {
  await t.eventually('its schema is published', async () => (await definitionsIn(t, defined, version)).some(as));
}

async function unpublished(t: Trial, defined: Defined, version: string): Promise<void> {
  await t.eventually(
    'its schema is published no more',
    async () => (await definitionsIn(t, defined, version)).length === 0,
  );
}

async function both(t: Trial, one: Defined, other: Defined): Promise<void> {
  for (const each of [one, other]) await published(t, each, ({ description }) => description === 'Foo CRD for Testing');
}

async function anythingGoes(t: Trial, defined: Defined, fields: object): Promise<void> {
  for (const verb of ['create', 'apply']) {
    await t.kubectlWith(manifest(t, defined, fields), verb, '-f', '-');
    await t.kubectl('delete', defined.name, 'test-foo');
  }
}

function manifest({ namespace }: Trial, { kind }: Defined, fields: object): string {
  const { group, version, kind: name } = kind();
  return JSON.stringify({
    apiVersion: `${group}/${version}`,
    kind: name,
    metadata: { name: 'test-foo', namespace },
    ...fields,
  });
}

async function refused(call: Promise<string>, words: RegExp): Promise<void> {
  await assert.rejects(call, (error: { stderr?: string }) => words.test(error.stderr ?? ''));
}
