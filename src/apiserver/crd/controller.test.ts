import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';
import { openTestServer, type TestServer } from '../test-server.ts';

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const merge = { 'content-type': 'application/merge-patch+json' };
const asTable = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };

const spec = { type: 'object', properties: { color: { type: 'string' }, size: { type: 'integer', default: 1 } } };
const root = { type: 'object', properties: { spec } };
const v1 = { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: root } };

type Version = Omit<typeof v1, 'schema'> & Record<string, unknown>;

function definition(plural: string, kind: string, versions: readonly Partial<Version>[] = [v1], more: object = {}) {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.example.com` },
    spec: { group: 'example.com', scope: 'Namespaced', names: { plural, kind }, versions, ...more },
  };
}

/** Waits until the answer is as wanted; everything happens in this process, so a few hundred turns are long. */
async function until(server: TestServer, path: string, wanted: (body: never, code: number) => boolean) {
  for (let attempt = 0; attempt < 500; attempt++) {
    const answer = await server.call('GET', path);
    if (wanted(answer.body as never, answer.code)) return answer;
    await turn();
  }
  throw new Error(`cannot see the wanted state of ${path}: ${(await server.call('GET', path)).text}`);
}

interface Definition {
  readonly status?: {
    readonly conditions?: readonly { type: string; status: string; reason: string; message: string }[];
  };
}

function condition(body: Definition, type: string) {
  return body.status?.conditions?.find(each => each.type === type);
}

async function define(server: TestServer, body: ReturnType<typeof definition>) {
  const created = await server.call('POST', definitions, body);
  assert.equal(created.code, 201, created.text);
  await until(
    server,
    `${definitions}/${body.metadata.name}`,
    (found: Definition) => condition(found, 'Established')?.status === 'True',
  );
}

function thing(name: string, more: object = {}, version = 'v1') {
  return { apiVersion: `example.com/${version}`, kind: 'Thing', metadata: { name }, spec: { color: 'red' }, ...more };
}

const things = '/apis/example.com/v1/namespaces/default/things';

test('a definition is served as soon as it is established, and its objects are objects like any other', async () => {
  await using server = await openTestServer();
  await define(server, definition('things', 'Thing', [{ ...v1, subresources: { status: {} } }]));
  const watch = await server.watch(`${things}?watch=1`);
  const created = await server.call('POST', things, thing('a', { status: { x: 1 } }));
  assert.deepEqual(created.body.spec, { color: 'red', size: 1 });
  assert.equal(created.body.status, undefined);
  assert.deepEqual(
    watch.events.map(({ type, object }) => [type, object.metadata.name]),
    [['ADDED', 'a']],
  );
  watch.close();

  const without = await server.call('PUT', `${things}/a`, thing('a'));
  assert.equal(without.code, 422);
  assert.match(without.text, /metadata.resourceVersion: Invalid value: 0: must be specified for an update/);
  const patched = await server.call('PATCH', `${things}/a`, { spec: { color: 'blue' } }, merge);
  assert.equal(patched.body.metadata.generation, 2);
  const strategic = { 'content-type': 'application/strategic-merge-patch+json' };
  assert.equal((await server.call('PATCH', `${things}/a`, { spec: {} }, strategic)).code, 415);
  const protobuf = await server.call('GET', `${things}/a`, undefined, {
    accept: 'application/vnd.kubernetes.protobuf,application/json',
  });
  assert.equal(protobuf.headers['content-type'], 'application/json');
  const only = { accept: 'application/vnd.kubernetes.protobuf' };
  assert.equal((await server.call('GET', `${things}/a`, undefined, only)).code, 406);
  const strict = await server.call('POST', `${things}?fieldValidation=Strict`, thing('b', { spec: { hue: 1 } }));
  assert.equal(strict.code, 400);
  assert.match(strict.text, /strict decoding error: unknown field \\"spec.hue\\"/);
});

test('a cluster-scoped kind is never reached by a namespaced path', async () => {
  await using server = await openTestServer();
  await define(server, definition('things', 'Thing', [v1], { scope: 'Cluster' }));
  assert.equal((await server.call('POST', '/apis/example.com/v1/things', thing('a'))).code, 201);
  assert.equal((await server.call('GET', `${things}/a`)).code, 404);
  assert.equal((await server.call('GET', things)).code, 404);
  assert.equal((await server.call('DELETE', `${things}/a`)).code, 404);
});

test('names that another definition has are not accepted until it is gone', async () => {
  await using server = await openTestServer();
  await define(server, definition('things', 'Thing'));
  await server.call('POST', definitions, definition('widgets', 'Thing'));
  const refused = await until(
    server,
    `${definitions}/widgets.example.com`,
    (body: Definition) => condition(body, 'NamesAccepted') !== undefined,
  );
  const { reason, message, status } = condition(refused.body, 'NamesAccepted') ?? {};
  assert.deepEqual([status, reason, message], ['False', 'ListKindConflict', '"ThingList" is already in use']);
  assert.equal(condition(refused.body, 'Established')?.reason, 'NotAccepted');
  assert.equal((await server.call('GET', '/apis/example.com/v1/widgets')).code, 404);
  await server.call('DELETE', `${definitions}/things.example.com`);
  await until(server, '/apis/example.com/v1/widgets', (_body, code) => code === 200);
});

test('a built-in kind keeps its place, whatever a definition says', async () => {
  await using server = await openTestServer();
  const group = 'rbac.authorization.k8s.io';
  const path = `${definitions}/clusterroles.${group}`;
  const body = definition('clusterroles', 'Thing', [{ ...v1, name: 'v9' }], { group });
  const annotations = { 'api-approved.kubernetes.io': 'unapproved, for a test' };
  const created = await server.call('POST', definitions, {
    ...body,
    metadata: { name: `clusterroles.${group}`, annotations },
  });
  assert.equal(created.code, 201, created.text);
  const refused = await until(server, path, (found: Definition) => condition(found, 'NamesAccepted') !== undefined);
  assert.equal(condition(refused.body, 'NamesAccepted')?.message, '"clusterroles" is already in use');
  assert.equal(condition(refused.body, 'KubernetesAPIApprovalPolicyConformant')?.reason, 'UnapprovedAnnotation');
  const forged = {
    acceptedNames: { plural: 'clusterroles', kind: 'Thing' },
    conditions: [{ type: 'Established', status: 'True', reason: 'Forged' }],
  };
  assert.equal((await server.call('PATCH', `${path}/status`, { status: forged }, merge)).code, 200);
  for (let attempt = 0; attempt < 50; attempt++) await turn();
  assert.equal((await server.call('GET', `/apis/${group}/v9/clusterroles`)).code, 404);
  assert.equal((await server.call('GET', `/apis/${group}/v1/clusterroles`)).body.kind, 'ClusterRoleList');
});

test('a definition that was never served goes at once', async () => {
  await using server = await openTestServer();
  await define(server, definition('things', 'Thing'));
  await server.call('POST', definitions, definition('widgets', 'Thing'));
  const path = `${definitions}/widgets.example.com`;
  await until(server, path, (found: Definition) => condition(found, 'Established')?.reason === 'NotAccepted');
  await server.call('DELETE', path);
  await until(server, path, (_body, code) => code === 404);
  assert.equal((await server.call('GET', things)).code, 200);
});

test('a definition goes after its objects; meanwhile none can be made', async () => {
  await using server = await openTestServer();
  await define(server, definition('things', 'Thing'));
  await server.call('POST', things, thing('held', { metadata: { name: 'held', finalizers: ['example.com/hold'] } }));
  await server.call('POST', things, thing('free'));
  const deleted = await server.call('DELETE', `${definitions}/things.example.com`);
  assert.deepEqual(deleted.body.metadata.finalizers, ['customresourcecleanup.apiextensions.k8s.io']);
  assert.equal(condition(deleted.body, 'Terminating')?.reason, 'InstanceDeletionPending');
  await until(server, `${things}/free`, (_body, code) => code === 404);
  const path = `${definitions}/things.example.com`;
  await until(
    server,
    path,
    (body: Definition) => condition(body, 'Terminating')?.reason === 'InstanceDeletionInProgress',
  );
  const refused = await server.call('POST', things, thing('late'));
  assert.equal(refused.code, 403);
  assert.match(refused.body.message, /create not allowed while custom resource definition is terminating/);
  await server.call('PATCH', `${things}/held`, { metadata: { finalizers: null } }, merge);
  await until(server, path, (_body, code) => code === 404);
  assert.equal((await server.call('GET', things)).code, 404);
});

test('versions are views of one object; what was stored as another one is read as the new one', async () => {
  await using server = await openTestServer();
  const other = { type: 'object', properties: { spec: { type: 'object', properties: { color: { type: 'string' } } } } };
  const v2 = { name: 'v2', served: true, storage: false, schema: { openAPIV3Schema: other } };
  const old = { ...v1, deprecated: true };
  await define(server, definition('things', 'Thing', [old, v2]));
  const created = await server.call('POST', things, thing('a'));
  assert.deepEqual(created.headers['warning'], [
    '299 - "example.com/v1 Thing is deprecated; use example.com/v2 Thing"',
  ]);
  const second = await server.call('GET', '/apis/example.com/v2/namespaces/default/things/a');
  assert.equal(second.body.apiVersion, 'example.com/v2');
  assert.deepEqual(second.body.spec, { color: 'red' });
  const listed = await server.call('GET', '/apis/example.com/v2/namespaces/default/things');
  assert.equal(listed.body.items[0].apiVersion, 'example.com/v2');

  const path = `${definitions}/things.example.com`;
  const wider = { type: 'object', properties: { color: { type: 'string' }, weight: { type: 'integer', default: 7 } } };
  const versions = [
    { ...v1, served: false, storage: false },
    { ...v2, storage: true, schema: { openAPIV3Schema: { type: 'object', properties: { spec: wider } } } },
  ];
  const changed = await server.call('PATCH', path, { spec: { versions } }, merge);
  assert.equal(changed.code, 200, changed.text);
  assert.deepEqual(changed.body.status.storedVersions, ['v1', 'v2']);
  await until(server, things, (_body, code) => code === 404);
  const revived = await server.call('GET', '/apis/example.com/v2/namespaces/default/things/a');
  assert.equal(revived.body.apiVersion, 'example.com/v2');
  assert.deepEqual(revived.body.spec, { color: 'red', weight: 7 });
  // A write that changes nothing puts it into the store as it is read.
  const same = await server.call('PUT', '/apis/example.com/v2/namespaces/default/things/a', revived.body);
  assert.notEqual(same.body.metadata.resourceVersion, revived.body.metadata.resourceVersion);
  const again = await server.call('PUT', '/apis/example.com/v2/namespaces/default/things/a', same.body);
  assert.equal(again.body.metadata.resourceVersion, same.body.metadata.resourceVersion);
});

test('objects survive a restart of the server', async () => {
  const storage = openMemoryStorage();
  const first = await openTestServer({ storage });
  await define(first, definition('things', 'Thing'));
  await first.call('POST', things, thing('a'));
  await first.server[Symbol.asyncDispose]();
  await using second = await openTestServer({ storage });
  const found = await second.call('GET', `${things}/a`);
  assert.equal(found.code, 200);
  assert.deepEqual(found.body.spec, { color: 'red', size: 1 });
});

test('columns, selectable fields, scale and the published schema are what the definition says', async () => {
  await using server = await openTestServer();
  const version = {
    ...v1,
    additionalPrinterColumns: [
      { name: 'Color', type: 'string', jsonPath: '.spec.color' },
      { name: 'Wide', type: 'integer', jsonPath: '.spec.size', priority: 1 },
      { name: 'Missing', type: 'date', jsonPath: '.spec.none' },
    ],
    selectableFields: [{ jsonPath: '.spec.color' }],
    subresources: { scale: { specReplicasPath: '.spec.size', statusReplicasPath: '.status.size' } },
  };
  await define(server, definition('things', 'Thing', [version]));
  await server.call('POST', things, thing('a'));
  await server.call('POST', things, thing('b', { spec: { color: 'blue', size: 3 } }));
  const table = await server.call('GET', things, undefined, asTable);
  assert.deepEqual(
    table.body.rows.map(({ cells }: { cells: unknown }) => cells),
    [
      ['a', 'red', 1, null],
      ['b', 'blue', 3, null],
    ],
  );
  const blue = await server.call('GET', `${things}?fieldSelector=spec.color=blue`);
  assert.deepEqual(
    blue.body.items.map((item: { metadata: { name: string } }) => item.metadata.name),
    ['b'],
  );
  assert.equal((await server.call('GET', `${things}?fieldSelector=spec.size=3`)).code, 400);
  const scaled = await server.call('PATCH', `${things}/b/scale`, { spec: { replicas: 9 } }, merge);
  assert.equal(scaled.body.spec.replicas, 9);
  assert.equal((await server.call('GET', `${things}/b`)).body.spec.size, 9);
  assert.equal((await server.call('GET', `${things}/b/status`)).code, 404);
});
