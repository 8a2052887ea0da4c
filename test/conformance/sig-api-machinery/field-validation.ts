import assert from 'node:assert/strict';
import { conformance, type Answer, type Trial } from '../conformance.ts';
import { anything, define, type Defined } from '../custom.ts';

/** A schema with an embedded object, and everything else kept. */
const embedding = {
  type: 'object',
  'x-kubernetes-preserve-unknown-fields': true,
  properties: {
    spec: {
      type: 'object',
      'x-kubernetes-preserve-unknown-fields': true,
      properties: {
        template: {
          type: 'object',
          'x-kubernetes-embedded-resource': true,
          'x-kubernetes-preserve-unknown-fields': true,
          properties: { metadata: { type: 'object', properties: { name: { type: 'string' } } } },
        },
      },
    },
  },
};

const strict = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      properties: { cronSpec: { type: 'string', pattern: '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$' } },
    },
  },
};

conformance(it => {
  it('[sig-api-machinery] FieldValidation should detect unknown and duplicate fields of a typed object [Conformance]', async t => {
    const body = (extra: string) => `{
      "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "${t.unique('deployment')}", "labels": { "app": "nginx" } },
      "spec": { ${extra} "replicas": 1, "replicas": 2, "selector": { "matchLabels": { "app": "nginx" } },
        "template": { "metadata": { "labels": { "app": "nginx" } }, "spec": { "containers": [{ "name": "nginx", "image": "nginx:latest" }] } } }
    }`;
    const path = `/apis/apps/v1/namespaces/${t.namespace}/deployments?fieldValidation=Strict&dryRun=All`;
    const answer = await t.request('POST', path, {
      body: body('"unknown1": "val1", "unknownDupe": "a", "unknownDupe": "b",'),
    });
    assertRefused(answer, 400, [
      'strict decoding error',
      'unknown field "spec.unknown1"',
      'unknown field "spec.unknownDupe"',
      'duplicate field "spec.replicas"',
    ]);
  });

  it('[sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object [Conformance]', async t => {
    const body = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: t.unique('deployment'), unknownMeta: 'foo' },
      spec: {
        selector: { matchLabels: { app: 'nginx' } },
        template: {
          metadata: { labels: { app: 'nginx' }, unknownSubMeta: 'foo' },
          spec: { containers: [{ name: 'nginx', image: 'nginx' }] },
        },
      },
    };
    const path = `/apis/apps/v1/namespaces/${t.namespace}/deployments?fieldValidation=Strict&dryRun=All`;
    assertRefused(await t.request('POST', path, { body }), 400, [
      'unknown field "metadata.unknownMeta"',
      'unknown field "spec.template.metadata.unknownSubMeta"',
    ]);
  });

  it('[sig-api-machinery] FieldValidation should create/apply a CR with unknown fields for CRD with no validation schema [Conformance]', async t => {
    const defined = await define(t, { schema: anything });
    for (const verb of ['create', 'apply'] as const)
      assertTaken(await write(t, verb, defined, '"spec": { "unknown": "value", "more": { "of": [1, 2] } }'));
  });

  it('[sig-api-machinery] FieldValidation should create/apply a valid CR for CRD with validation schema [Conformance]', async t => {
    const defined = await define(t, { schema: strict });
    for (const verb of ['create', 'apply'] as const)
      assertTaken(await write(t, verb, defined, '"spec": { "cronSpec": "* * * * */5" }'));
  });

  it('[sig-api-machinery] FieldValidation should create/apply an invalid CR with extra properties for CRD with validation schema [Conformance]', async t => {
    const defined = await define(t, { schema: strict });
    const spec = '"spec": { "cronSpec": "* * * * */5", "extraProperty": "arbitrary-value" }';
    assertRefused(await write(t, 'create', defined, spec), 400, ['unknown field "spec.extraProperty"']);
    assertRefused(await write(t, 'apply', defined, spec), 500, ['spec.extraProperty', 'field not declared in schema']);
  });

  it('[sig-api-machinery] FieldValidation should detect duplicates in a CR when preserving unknown fields [Conformance]', async t => {
    const defined = await define(t, { schema: anything });
    const spec = '"spec": { "unknown": "a", "unknown": "b", "known": { "x": 1, "x": 2 } }';
    assertRefused(await write(t, 'create', defined, spec), 400, [
      'duplicate field "spec.unknown"',
      'duplicate field "spec.known.x"',
    ]);
  });

  it('[sig-api-machinery] FieldValidation should detect unknown metadata fields in both the root and embedded object of a CR [Conformance]', async t => {
    const defined = await define(t, { schema: embedding });
    const { group, version, plural, kind } = defined.kind();
    const body = {
      apiVersion: `${group}/${version}`,
      kind,
      metadata: { name: 'meta', unknownMeta: 'foo' },
      spec: {
        template: {
          apiVersion: 'foo/v1',
          kind: 'Sub',
          metadata: { name: 'sub', unknownSubMeta: 'bar' },
          unknownSub: 1,
        },
      },
    };
    const path = `/apis/${group}/${version}/namespaces/${t.namespace}/${plural}?fieldValidation=Strict`;
    assertRefused(await t.request('POST', path, { body }), 400, [
      'unknown field "metadata.unknownMeta"',
      'unknown field "spec.template.metadata.unknownSubMeta"',
    ]);
  });
});

function write(t: Trial, verb: 'create' | 'apply', { kind }: Defined, fields: string): Promise<Answer> {
  const { group, version, plural, kind: name } = kind();
  const object = t.unique(verb);
  const body = `{ "apiVersion": "${group}/${version}", "kind": "${name}", "metadata": { "name": "${object}" }, ${fields} }`;
  const path = `/apis/${group}/${version}/namespaces/${t.namespace}/${plural}`;
  return verb === 'create'
    ? t.request('POST', `${path}?fieldValidation=Strict`, { body })
    : t.request('PATCH', `${path}/${object}?fieldValidation=Strict&fieldManager=e2e`, {
        body,
        contentType: 'application/apply-patch+yaml',
      });
}

function assertTaken({ code, text }: Answer): void {
  assert.equal(code, 201, text);
}

function assertRefused({ code, text }: Answer, expected: number, phrases: readonly string[]): void {
  assert.equal(code, expected, text);
  const { message } = JSON.parse(text) as { message: string };
  for (const phrase of phrases) assert.ok(message.includes(phrase), `${JSON.stringify(message)} has ${phrase}`);
}
