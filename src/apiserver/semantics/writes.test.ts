/** Create, update, patch, apply, dry runs and warnings: reference sections 6 to 10. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRandom } from '#base/random.ts';
import { type Answer, openTestServer, type TestServer } from '../test-server.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const pods = '/api/v1/namespaces/default/pods';
const deployments = '/apis/apps/v1/namespaces/default/deployments';
const map = (name: string, metadata: object = {}) => ({ metadata: { name, ...metadata }, data: { a: 'b' } });
const deployment = (name: string) => ({
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
  },
});
const types = {
  merge: { 'content-type': 'application/merge-patch+json' },
  strategic: { 'content-type': 'application/strategic-merge-patch+json' },
  json: { 'content-type': 'application/json-patch+json' },
  apply: { 'content-type': 'application/apply-patch+yaml' },
};
const applied = (more: object = {}) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, ...more });

async function make(server: TestServer, path: string, object: object): Promise<Answer> {
  const made = await server.call('POST', path, object);
  assert.equal(made.code, 201, made.text);
  return made;
}

function refused(answer: Answer, code: number, reason: string | undefined, message: string | RegExp): void {
  assert.deepEqual([answer.code, answer.body?.reason], [code, reason], answer.text);
  if (typeof message === 'string') assert.equal(answer.body.message, message);
  else assert.match(answer.body.message, message);
}

describe('create', () => {
  test('a version in the body is an error without a reason', async () => {
    await using server = await openTestServer();
    const message = 'resourceVersion should not be set on objects to be created';
    refused(await server.call('POST', maps, map('a', { resourceVersion: '5' })), 500, undefined, message);
  });

  test('of names that are made, the ninth that is taken is the last', async () => {
    await using server = await openTestServer({ random: { ...seededRandom(1), next: () => 0.5 } });
    await make(server, maps, { metadata: { generateName: 'x-' } });
    const { body, headers, code } = await server.call('POST', maps, { metadata: { generateName: 'x-' } });
    assert.deepEqual(
      [code, body.reason, body.details.retryAfterSeconds, headers['retry-after']],
      [409, 'AlreadyExists', 1, '1'],
    );
    assert.match(body.message, /the server was not able to generate a unique name for the object$/);
  });

  test('what is wrong has the name of its kind, and a cause each', async () => {
    await using server = await openTestServer();
    const one = await server.call('POST', maps, map('No'));
    assert.match(one.body.message, /^ConfigMap "No" is invalid: metadata\.name: Invalid value: "No": /);
    assert.deepEqual(
      one.body.details.causes.map((each: { reason: string; field: string }) => [each.reason, each.field]),
      [['FieldValueInvalid', 'metadata.name']],
    );
    assert.deepEqual([one.body.details.name, one.body.details.kind], ['No', 'ConfigMap']);
    const several = await server.call('POST', deployments, { metadata: { name: 'No' }, spec: {} });
    assert.match(
      several.body.message,
      /^Deployment\.apps "No" is invalid: \[metadata\.name: .*, spec\.selector: Required value/,
    );
    assert.equal(several.body.details.group, 'apps');
    const reasons = new Set(several.body.details.causes.map((each: { reason: string }) => each.reason));
    assert.ok(reasons.has('FieldValueRequired'));
  });

  test('the manager is the agent up to its first slash, and is no longer than 128 characters', async () => {
    await using server = await openTestServer();
    const managerOf = async (name: string, query: string, agent: string) =>
      (await server.call('POST', `${maps}${query}`, map(name), { 'user-agent': agent })).body.metadata.managedFields[0]
        .manager;
    assert.equal(await managerOf('a', '', 'kubectl/v1.36.0 (linux)'), 'kubectl');
    assert.equal(await managerOf('b', '?fieldManager=me', 'kubectl/v1'), 'me');
    refused(
      await server.call('POST', `${maps}?fieldManager=${'x'.repeat(129)}`, map('c')),
      422,
      'Invalid',
      /fieldManager: Too long: may not be more than 128 bytes/,
    );
  });
});

describe('update', () => {
  test('creates only what may be made by PUT', async () => {
    await using server = await openTestServer();
    const at = (group: string, resource: string) => `${group}/namespaces/default/${resource}/x`;
    const made = [
      [at('/apis/coordination.k8s.io/v1', 'leases'), { spec: {} }],
      [at('/api/v1', 'endpoints'), {}],
      [at('/api/v1', 'limitranges'), { spec: { limits: [] } }],
      [at('/api/v1', 'services'), { spec: { ports: [{ port: 80 }] } }],
      [at('/apis/rbac.authorization.k8s.io/v1', 'roles'), { rules: [] }],
      ['/apis/rbac.authorization.k8s.io/v1/clusterroles/x', { rules: [] }],
      [at('/api/v1', 'events'), { involvedObject: { namespace: 'default' } }],
    ] as const;
    for (const [path, more] of made) {
      const answer = await server.call('PUT', path, { metadata: { name: 'x' }, ...more });
      assert.equal(answer.code, 201, `${path} ${answer.text}`);
    }
    for (const [path, body] of [
      [`${maps}/x`, map('x')],
      [`${deployments}/x`, deployment('x')],
      [at('/api/v1', 'secrets'), { metadata: { name: 'x' } }],
    ] as const)
      assert.equal((await server.call('PUT', path, body)).code, 404, path);
  });

  test('without a version is unconditional, where the kind allows it', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    assert.equal((await server.call('PUT', `${maps}/a`, map('a'))).code, 200);
    const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
    const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
    for (const [path, kind, spec] of [
      [leases, 'leases.coordination.k8s.io', {}],
      [budgets, 'poddisruptionbudgets.policy', { minAvailable: 1, selector: {} }],
    ] as const) {
      await make(server, path, { metadata: { name: 'x' }, spec });
      refused(
        await server.call('PUT', `${path}/x`, { metadata: { name: 'x' }, spec }),
        422,
        'Invalid',
        `${kind} "x" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update`,
      );
    }
  });

  test('what the server owns stays: uid, times, generation', async () => {
    await using server = await openTestServer();
    const { body } = await make(server, deployments, deployment('web'));
    const { uid, creationTimestamp } = body.metadata;
    const changed = await server.call('PUT', `${deployments}/web`, {
      ...body,
      metadata: {
        ...body.metadata,
        creationTimestamp: '2001-01-01T00:00:00Z',
        generation: 77,
      },
    });
    assert.equal(changed.code, 200, changed.text);
    const { metadata } = changed.body;
    assert.deepEqual([metadata.uid, metadata.creationTimestamp, metadata.generation], [uid, creationTimestamp, 1]);
    for (const [field, value] of [
      ['deletionTimestamp', '2001-01-01T00:00:00Z'],
      ['deletionGracePeriodSeconds', 1],
    ] as const) {
      const answer = await server.call('PUT', `${deployments}/web`, {
        ...body,
        metadata: { ...body.metadata, [field]: value },
      });
      refused(
        answer,
        422,
        'Invalid',
        `Deployment.apps "web" is invalid: metadata.${field}: Invalid value: ${JSON.stringify(value)}: field is immutable`,
      );
      assert.equal(answer.body.details.causes.length, 2, 'the rules for all kinds and those of the kind');
    }
  });

  test('what the status path may change of metadata is for the kind to say', async () => {
    await using server = await openTestServer();
    await make(server, deployments, deployment('web'));
    const metadata = { name: 'web', labels: { a: 'b' }, annotations: { c: 'd' } };
    const { body } = await server.call('PUT', `${deployments}/web/status`, { ...deployment('web'), metadata });
    assert.deepEqual([body.metadata.labels, body.metadata.annotations], [undefined, { c: 'd' }]);
  });

  test('taking the last finalizer by PUT removes an object that is going, and answers with it', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a', { finalizers: ['x.y/z'] }));
    const { body } = await server.call('DELETE', `${maps}/a`);
    const last = await server.call('PUT', `${maps}/a`, { ...body, metadata: { ...body.metadata, finalizers: [] } });
    assert.deepEqual([last.code, last.body.kind, last.body.metadata.name], [200, 'ConfigMap', 'a']);
    assert.equal((await server.call('GET', `${maps}/a`)).code, 404);
  });
});

describe('patch', () => {
  test('types: with parameters, unknown, and strategic for built-in kinds alone', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const sized = { 'content-type': 'application/merge-patch+json; charset=utf-8' };
    assert.equal((await server.call('PATCH', `${maps}/a`, { data: { x: 'y' } }, sized)).code, 200);
    refused(
      await server.call('PATCH', `${maps}/a`, '{}', { 'content-type': 'text/plain' }),
      415,
      'UnsupportedMediaType',
      '415: Unsupported Media Type',
    );
  });

  test('JSON patch: too many operations, no patch, one that fails', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const test = { op: 'test', path: '/data/a', value: 'b' };
    refused(
      await server.call(
        'PATCH',
        `${maps}/a`,
        Array.from({ length: 10_001 }, () => test),
        types.json,
      ),
      413,
      'RequestEntityTooLarge',
      /The allowed maximum operations in a JSON patch is 10000, got 10001/,
    );
    assert.equal((await server.call('PATCH', `${maps}/a`, '{"op":', types.json)).code, 400);
    for (const operation of [
      { op: 'test', path: '/data/a', value: 'no' },
      { op: 'remove', path: '/data/none' },
      { op: 'replace', path: '/none/deeper', value: 1 },
    ])
      refused(
        await server.call('PATCH', `${maps}/a`, [operation], types.json),
        422,
        'Invalid',
        'the server rejected our request due to an error in our request',
      );
    assert.equal(
      (await server.call('PATCH', `${maps}/a`, [{ op: 'add', path: '/data/n', value: 'm' }], types.json)).body.data.n,
      'm',
    );
  });

  test('merge patch: null takes away, lists are replaced', async () => {
    await using server = await openTestServer();
    await make(server, deployments, deployment('d'));
    const patched = await server.call(
      'PATCH',
      `${deployments}/d`,
      { metadata: { labels: { x: 'y' } }, spec: { template: { spec: { containers: [{ name: 'e', image: 'j' }] } } } },
      types.merge,
    );
    assert.deepEqual(
      patched.body.spec.template.spec.containers.map((each: { name: string }) => each.name),
      ['e'],
    );
    const without = await server.call('PATCH', `${deployments}/d`, { metadata: { labels: null } }, types.merge);
    assert.equal(without.body.metadata.labels, undefined);
    assert.equal((await server.call('PATCH', `${deployments}/d`, '{', types.merge)).code, 400);
  });

  test('strategic merge: what cannot be understood', async () => {
    await using server = await openTestServer();
    await make(server, deployments, deployment('d'));
    const at = (container: object) => ({ spec: { template: { spec: { containers: [container] } } } });
    const unknown = await server.call('PATCH', `${deployments}/d`, at({ $patch: 'odd', name: 'c' }), types.strategic);
    assert.ok(unknown.code === 400 || unknown.code === 422 || unknown.code === 500, unknown.text);
    const removed = await server.call(
      'PATCH',
      `${deployments}/d`,
      at({ $patch: 'delete', name: 'c' }),
      types.strategic,
    );
    assert.equal(removed.code, 422);
    const wrong = await server.call('PATCH', `${deployments}/d`, { spec: { replicas: 'many' } }, types.strategic);
    assert.deepEqual([wrong.code, wrong.body.details.causes[0].field], [422, 'patch']);
  });

  test('options: force and manager are for apply', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    refused(
      await server.call('PATCH', `${maps}/a?force=true`, {}, types.merge),
      422,
      'Invalid',
      'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
    );
    refused(
      await server.call('PATCH', `${maps}/a`, applied(), types.apply),
      422,
      'Invalid',
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    );
  });

  test('apply creates with the permission to create', async () => {
    await using server = await openTestServer({
      authorizer: {
        name: 'no creates',
        authorize: ({ verb }: { verb: string }) => ({
          decision: verb === 'create' ? 'noOpinion' : 'allow',
          reason: '',
        }),
      },
    });
    refused(
      await server.call('PATCH', `${maps}/a?fieldManager=m`, applied(), types.apply),
      403,
      'Forbidden',
      /^configmaps "a" is forbidden: User "system:apiserver" cannot create resource "configmaps"/,
    );
  });
});

describe('apply', () => {
  test('entries, and the words of a conflict', async () => {
    await using server = await openTestServer();
    const one = await server.call('PATCH', `${maps}/a?fieldManager=one`, applied({ data: { k: '1' } }), types.apply);
    assert.deepEqual(one.body.metadata.managedFields, [
      {
        manager: 'one',
        operation: 'Apply',
        apiVersion: 'v1',
        time: '2026-01-01T00:00:00Z',
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:data': { 'f:k': {} } },
      },
    ]);
    await server.call('PATCH', `${maps}/a?fieldManager=up`, { data: { u: '1' } }, types.merge);
    const clash = await server.call(
      'PATCH',
      `${maps}/a?fieldManager=two`,
      applied({ data: { k: '2', u: '2' } }),
      types.apply,
    );
    refused(
      clash,
      409,
      'Conflict',
      /^Apply failed with 2 conflicts: conflicts with "one":\n- \.data\.k\nconflicts with "up" using v1:\n- \.data\.u$/,
    );
    assert.deepEqual(clash.body.details.causes, [
      { reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.data.k' },
      {
        reason: 'FieldManagerConflict',
        message: 'conflict with "up" using v1',
        field: '.data.u',
      },
    ]);
  });

  test('managedFields in the body and a uid of nobody are refused', async () => {
    await using server = await openTestServer();
    const apply = (metadata: object) =>
      server.call('PATCH', `${maps}/a?fieldManager=m`, applied({ metadata: { name: 'a', ...metadata } }), types.apply);
    refused(await apply({ managedFields: [{}] }), 400, 'BadRequest', 'metadata.managedFields must be nil');
    refused(
      await apply({ uid: 'u' }),
      409,
      'Conflict',
      /uid mismatch: the provided object specified uid u, and no existing object was found$/,
    );
  });

  test('owners are forgotten when they are emptied; what is no set of fields is ignored', async () => {
    await using server = await openTestServer();
    const { body } = await make(server, maps, map('a'));
    assert.equal(body.metadata.managedFields.length, 1);
    const cleared = await server.call('PATCH', `${maps}/a`, { metadata: { managedFields: [{}] } }, types.merge);
    assert.equal(cleared.body.metadata.managedFields, undefined);
    await server.call('PATCH', `${maps}/a?fieldManager=m`, { data: { x: 'y' } }, types.merge);
    const odd = await server.call(
      'PATCH',
      `${maps}/a`,
      { metadata: { managedFields: [{ manager: 'm', operation: 'Odd' }] } },
      types.merge,
    );
    assert.ok(odd.code < 500, odd.text);
    const first = await server.call('PATCH', `${maps}/a?fieldManager=s`, applied({ data: { z: '1' } }), types.apply);
    const managers = first.body.metadata.managedFields.map((each: { manager: string }) => each.manager);
    assert.ok(managers.includes('s'), String(managers));
  });
});

describe('dry runs, field validation, warnings', () => {
  test('a dry run goes all the way, and stores nothing', async () => {
    await using server = await openTestServer();
    const made = await server.call('POST', `${maps}?dryRun=All`, map('a'));
    assert.ok(made.body.metadata.uid);
    await make(server, maps, map('a'));
    const version = async () => (await server.call('GET', `${maps}/a`)).body.metadata.resourceVersion;
    const before = await version();
    for (const [method, body, type] of [
      ['PUT', map('a', { labels: { x: 'y' } }), {}],
      ['PATCH', { data: { x: 'y' } }, types.merge],
      ['DELETE', undefined, {}],
    ] as const)
      assert.equal((await server.call(method, `${maps}/a?dryRun=All`, body, type)).code, 200, method);
    assert.equal((await server.call('DELETE', `${maps}?dryRun=All`)).code, 200);
    assert.equal(await version(), before);
    refused(await server.call('DELETE', `${maps}/a?dryRun=Some`), 422, 'Invalid', /dryRun: Unsupported value/);
  });

  test('a wrong field is dropped, warned of or refused, by create, patch and apply', async () => {
    await using server = await openTestServer();
    const wrong = { ...deployment('d'), odd: 1 };
    refused(
      await server.call('POST', `${deployments}?fieldValidation=Strict`, wrong),
      400,
      'BadRequest',
      /strict decoding error: unknown field "odd"$/,
    );
    const warned = await server.call('POST', deployments, wrong);
    assert.deepEqual([warned.code, warned.headers['warning']], [201, ['299 - "unknown field \\"odd\\""']]);
    assert.equal(
      (await server.call('POST', `${maps}?fieldValidation=Ignore`, { ...map('a'), odd: 1 })).headers['warning'],
      undefined,
    );
    refused(
      await server.call('PATCH', `${maps}/a?fieldValidation=Strict`, { odd: 1 }, types.strategic),
      422,
      'Invalid',
      /unknown field "odd"/,
    );
    refused(
      await server.call(
        'PATCH',
        `${maps}/a?fieldValidation=Strict&fieldManager=m`,
        'apiVersion: v1\nkind: ConfigMap\ndata: {a: x}\ndata: {a: y}\n',
        types.apply,
      ),
      400,
      'BadRequest',
      /^error strict decoding YAML: /,
    );
    refused(
      await server.call('POST', `${maps}?fieldValidation=Odd`, map('b')),
      422,
      'Invalid',
      /fieldValidation: Unsupported value: "Odd"/,
    );
  });

  test('warnings are bounded, and said once', async () => {
    await using server = await openTestServer();
    const fields = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`${'x'.repeat(300)}${index}`, 1]));
    const { code, headers } = await server.call('POST', maps, { ...map('a'), ...fields });
    assert.equal(code, 201);
    const warnings = headers['warning'] as readonly string[];
    assert.ok(warnings.join('').length < 8192, String(warnings.join('').length));
    assert.ok(warnings.every(each => each.startsWith('299 - "')));
    const env = [
      { name: 'A', value: '1' },
      { name: 'A', value: '2' },
    ];
    const pod = await server.call('POST', pods, {
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'c', image: 'i', env }] },
    });
    assert.match(String(pod.headers['warning']), /hides previous definition of \\"A\\"/);
  });
});
