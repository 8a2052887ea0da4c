import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, test } from 'node:test';
import { limits } from '#base/limits.ts';
import { openTestServer, type Answer, type TestServer } from '../test-server.ts';

const applyType = { 'content-type': 'application/apply-patch+yaml' };
const merge = { 'content-type': 'application/merge-patch+json' };
const json = { 'content-type': 'application/json-patch+json' };

interface Entry {
  manager: string;
  operation: string;
  apiVersion: string;
  subresource?: string;
  fieldsV1: object;
}

function owners({ body }: Answer): [string, string, string, object][] {
  return (body.metadata.managedFields ?? []).map(({ manager, operation, apiVersion, subresource, fieldsV1 }: Entry) => [
    manager,
    `${operation}${subresource === undefined ? '' : ` ${subresource}`}`,
    apiVersion,
    fieldsV1,
  ]);
}

/** Which fields of the spec an entry has, sorted. */
function specKeys(entry: [string, string, string, object] | undefined): readonly string[] {
  const fields = (entry?.[3] ?? {}) as { readonly 'f:spec'?: object };
  return Object.keys(fields['f:spec'] ?? {}).sort();
}

const deployments = '/apis/apps/v1/namespaces/default/deployments';
const web = (replicas?: number) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: {
    ...(replicas !== undefined && { replicas }),
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
  },
});
const scaleOf = (replicas: number) => ({
  apiVersion: 'autoscaling/v1',
  kind: 'Scale',
  metadata: { name: 'web' },
  spec: { replicas },
});

describe('server-side apply', () => {
  test('of a scale owns the number of the parent, and conflicts as a scale', async () => {
    await using server = await openTestServer();
    const apply = (path: string, body: object, query: string) =>
      server.call('PATCH', `${deployments}/web${path}?${query}`, body, applyType);
    assert.equal((await apply('/scale', scaleOf(3), 'fieldManager=hpa')).code, 404);
    assert.equal((await apply('', web(1), 'fieldManager=me')).code, 201);
    const refused = await apply('/scale', scaleOf(3), 'fieldManager=hpa');
    assert.equal(refused.code, 409);
    assert.equal(refused.body.message, 'Apply failed with 1 conflict: conflict with "me": .spec.replicas');
    const scaled = await apply('/scale', scaleOf(3), 'fieldManager=hpa&force=true');
    assert.deepEqual([scaled.code, scaled.body.kind, scaled.body.spec.replicas], [200, 'Scale', 3]);
    const taken = await server.call('GET', `${deployments}/web`);
    const mine = owners(taken).find(([manager]) => manager === 'me');
    assert.deepEqual(specKeys(mine), ['f:selector', 'f:template']);
    assert.deepEqual(
      owners(taken).find(([manager]) => manager === 'hpa'),
      ['hpa', 'Apply scale', 'apps/v1', { 'f:spec': { 'f:replicas': {} } }],
    );
    assert.equal((await apply('/scale', scaleOf(4), 'fieldManager=hpa')).code, 200, 'nobody else has it now');
    await server.call('PATCH', `${deployments}/web/scale?fieldManager=hand`, { spec: { replicas: 7 } }, merge);
    const again = await apply('/scale', scaleOf(4), 'fieldManager=hpa');
    assert.equal(
      again.body.message,
      'Apply failed with 1 conflict: conflict with "hand" with subresource "scale" using autoscaling/v1: .spec.replicas',
    );
  });

  test('a status has no part of what its strategy puts back', async () => {
    await using server = await openTestServer();
    await server.call('POST', deployments, web(1));
    const status = await server.call(
      'PATCH',
      `${deployments}/web/status?fieldManager=s&force=true`,
      {
        ...web(9),
        metadata: { name: 'web', labels: { a: 'b' }, annotations: { c: 'd' } },
        status: { observedGeneration: 5 },
      },
      applyType,
    );
    assert.equal(status.code, 200, status.text);
    assert.deepEqual(
      owners(status).find(([manager]) => manager === 's'),
      [
        's',
        'Apply status',
        'apps/v1',
        { 'f:metadata': { 'f:annotations': { 'f:c': {} } }, 'f:status': { 'f:observedGeneration': {} } },
      ],
    );
  });

  test('what is owned in another version is compared in that version', async () => {
    await using server = await openTestServer();
    const target = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
    const path = (version: string) => `/apis/autoscaling/${version}/namespaces/default/horizontalpodautoscalers/h`;
    const old = {
      apiVersion: 'autoscaling/v1',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'h' },
      spec: { scaleTargetRef: target, maxReplicas: 5, targetCPUUtilizationPercentage: 50 },
    };
    assert.equal((await server.call('PATCH', `${path('v1')}?fieldManager=old`, old, applyType)).code, 201);
    const metric = (averageUtilization: number) => ({
      type: 'Resource',
      resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization } },
    });
    const fresh = (percent: number) => ({
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'h' },
      spec: { scaleTargetRef: target, maxReplicas: 5, metrics: [metric(percent)] },
    });
    const refused = await server.call('PATCH', `${path('v2')}?fieldManager=new`, fresh(60), applyType);
    assert.equal(refused.code, 409, refused.text);
    assert.equal(
      refused.body.message,
      'Apply failed with 1 conflict: conflict with "old": .spec.targetCPUUtilizationPercentage',
    );
    assert.equal((await server.call('PATCH', `${path('v2')}?fieldManager=new`, fresh(50), applyType)).code, 200);
    const forced = await server.call('PATCH', `${path('v2')}?fieldManager=new&force=1`, fresh(70), applyType);
    assert.equal(forced.code, 200);
    const left = owners(forced).find(([manager]) => manager === 'old');
    assert.deepEqual(specKeys(left), ['f:maxReplicas', 'f:scaleTargetRef']);
    // What the old one applies no longer goes, in its own version.
    const { targetCPUUtilizationPercentage: _, ...rest } = old.spec;
    const shrunk = await server.call('PATCH', `${path('v1')}?fieldManager=old`, { ...old, spec: rest }, applyType);
    assert.equal(shrunk.code, 200, shrunk.text);
    assert.equal(shrunk.body.spec.targetCPUUtilizationPercentage, 70, 'the new one has it');
  });

  test('entries of a version that nobody serves go with the next write', async () => {
    await using server = await openTestServer();
    const maps = '/api/v1/namespaces/default/configmaps';
    const entry = {
      manager: 'gone',
      operation: 'Update',
      apiVersion: 'v0',
      fieldsType: 'FieldsV1',
      fieldsV1: { 'f:data': {} },
    };
    const made = await server.call('POST', maps, { metadata: { name: 'a', managedFields: [entry] }, data: { a: '1' } });
    assert.deepEqual(
      owners(made).map(([manager]) => manager),
      ['test'],
    );
  });

  test('a list that becomes atomic is owned as a whole', async () => {
    await using server = await openTestServer();
    const define = (listType: object) => ({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'things.example.com' },
      spec: {
        group: 'example.com',
        scope: 'Namespaced',
        names: { plural: 'things', kind: 'Thing' },
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: {
              openAPIV3Schema: {
                type: 'object',
                properties: {
                  items: {
                    type: 'array',
                    ...listType,
                    items: {
                      type: 'object',
                      required: ['n'],
                      properties: { n: { type: 'string' }, v: { type: 'integer' } },
                    },
                  },
                },
              },
            },
          },
        ],
      },
    });
    const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    const things = '/apis/example.com/v1/namespaces/default/things';
    await server.call('POST', crds, define({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['n'] }));
    await until(server, things, 200);
    const thing = (n: string) => ({
      apiVersion: 'example.com/v1',
      kind: 'Thing',
      metadata: { name: 'a' },
      items: [{ n, v: 1 }],
    });
    const apply = (manager: string, n: string) =>
      server.call('PATCH', `${things}/a?fieldManager=${manager}`, thing(n), applyType);
    await apply('one', 'x');
    const both = await apply('two', 'y');
    assert.equal(both.body.items.length, 2);
    const { metadata } = (await server.call('GET', `${crds}/things.example.com`)).body;
    const changed = await server.call('PUT', `${crds}/things.example.com`, {
      ...define({ 'x-kubernetes-list-type': 'atomic' }),
      metadata,
    });
    assert.equal(changed.code, 200, changed.text);
    for (let wait = 0; wait < 100; wait++) await turn();
    const refused = await apply('one', 'x');
    assert.equal(refused.code, 409, refused.text);
    assert.equal(refused.body.message, 'Apply failed with 1 conflict: conflict with "two": .items');
    const labelled = await server.call('PATCH', `${things}/a`, { metadata: { labels: { a: 'b' } } }, merge);
    assert.deepEqual(
      owners(labelled)
        .slice(0, 2)
        .map(([manager, , , fields]) => [manager, fields]),
      [
        ['one', { 'f:items': {} }],
        ['two', { 'f:items': {} }],
      ],
    );
  });

  test('a new object that is too large with its owners is stored without them', async () => {
    await using server = await openTestServer();
    const maps = '/api/v1/namespaces/default/configmaps';
    const data: Record<string, string> = {};
    // Values are short, so that the names, which are there twice, count most.
    const count = Math.floor((limits.objectBytesMax * 0.6) / 260);
    for (let index = 0; index < count; index++) data[`k${index}-${'x'.repeat(240)}`] = '';
    const made = await server.call('POST', maps, { metadata: { name: 'big' }, data });
    assert.equal(made.code, 201, made.text.slice(0, 300));
    assert.equal(made.body.metadata.managedFields, undefined);
    assert.equal(Object.keys(made.body.data).length, count);
  });
});

describe('JSON patch', () => {
  test("says in upstream's words what is no patch", async () => {
    await using server = await openTestServer();
    const maps = '/api/v1/namespaces/default/configmaps';
    await server.call('POST', maps, { metadata: { name: 'a' }, data: { a: '1' } });
    const patch = async (body: unknown, query = '') => {
      const { code, body: said, headers } = await server.call('PATCH', `${maps}/a${query}`, body, json);
      return [code, said.message ?? headers['warning']];
    };
    assert.deepEqual(await patch({}), [
      400,
      'error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp',
    ]);
    assert.deepEqual(await patch({}, '?fieldValidation=Ignore'), [
      400,
      'json: cannot unmarshal object into Go value of type jsonpatch.Patch',
    ]);
    assert.deepEqual(await patch([{ op: 1 }]), [
      400,
      'error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string',
    ]);
    assert.equal((await patch('null'))[0], 200);
    const rejected = 'the server rejected our request due to an error in our request';
    assert.deepEqual(await patch([{ op: 'remove', path: '/data/b' }]), [422, rejected]);
    assert.deepEqual(await patch([{ op: 'test', path: '/data/a', value: '2' }]), [422, rejected]);
    assert.deepEqual(
      await patch(Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/kind', value: 'ConfigMap' }))),
      [413, 'Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001'],
    );
    const [code, warning] = await patch('[{"op":"add","op":"replace","path":"/data/a","value":"2","other":1}]');
    assert.equal(code, 200);
    assert.match(String(warning), /json patch duplicate field \\"\[0\]\.op\\"/);
    assert.match(String(warning), /json patch unknown field \\"\[0\]\.other\\"/);
    const doubled = [
      { op: 'add', path: '/data/x', value: 'y'.repeat(100_000) },
      ...Array.from({ length: 40 }, (_, at) => ({ op: 'copy', from: '/data', path: `/data/c${at}` })),
    ];
    assert.deepEqual(await patch(doubled), [422, rejected]);
  });
});

async function until(server: TestServer, path: string, code: number) {
  for (let attempt = 0; attempt < 500; attempt++) {
    if ((await server.call('GET', path)).code === code) return;
    await turn();
  }
  throw new Error(`cannot see ${code} at ${path}`);
}
