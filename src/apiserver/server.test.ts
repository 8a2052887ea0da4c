import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';
import { limits } from '#base/limits.ts';
import { type Answer, openTestServer, type TestServer } from './test-server.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const pods = '/api/v1/namespaces/default/pods';
const deployments = '/apis/apps/v1/namespaces/default/deployments';

const map = (name: string, more: object = {}) => ({ metadata: { name, ...more }, data: { a: 'b' } });
const pod = (name: string, metadata: object = {}, spec: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...metadata },
  spec: { containers: [{ name: 'c', image: 'busybox' }], ...spec },
});
const deployment = (name: string) => ({
  metadata: { name },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
  },
});
const names = (answer: Answer) => answer.body.items.map((each: { metadata: { name: string } }) => each.metadata.name);
const merge = { 'content-type': 'application/merge-patch+json' };
const strategic = { 'content-type': 'application/strategic-merge-patch+json' };
const json = { 'content-type': 'application/json-patch+json' };
const applyType = { 'content-type': 'application/apply-patch+yaml' };
const table = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };

async function make(server: TestServer, path: string, object: unknown): Promise<Answer> {
  const made = await server.call('POST', path, object);
  assert.equal(made.code, 201, made.text);
  return made;
}

describe('create', () => {
  test('the server owns uid, time, version and generation', async () => {
    await using server = await openTestServer();
    const wrong = {
      uid: 'mine',
      generation: 7,
      creationTimestamp: '2000-01-01T00:00:00Z',
      deletionTimestamp: '2000-01-01T00:00:00Z',
      finalizers: ['a.b/c'],
    };
    const { body } = await make(server, deployments, {
      ...deployment('web'),
      metadata: { name: 'web', ...wrong },
      status: { replicas: 9 },
    });
    assert.equal(body.apiVersion, 'apps/v1');
    assert.equal(body.metadata.generation, 1);
    assert.notEqual(body.metadata.uid, 'mine');
    assert.equal(body.metadata.creationTimestamp, '2026-01-01T00:00:00Z');
    assert.equal(body.metadata.deletionTimestamp, undefined);
    assert.equal(body.metadata.namespace, 'default');
    assert.deepEqual(body.status, {});
    assert.match(body.metadata.resourceVersion, /^[1-9]\d*$/);
    assert.deepEqual((await server.call('GET', `${deployments}/web`)).body, body);
  });

  test('what exists, or is on its way out, is 409', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a', { finalizers: ['x.y/z'] }));
    const again = await server.call('POST', maps, map('a'));
    assert.equal(again.code, 409);
    assert.equal(again.body.message, 'configmaps "a" already exists');
    assert.deepEqual(again.body.details, { name: 'a', kind: 'configmaps' });
    await server.call('DELETE', `${maps}/a`);
    const leaving = await server.call('POST', maps, map('a'));
    assert.equal(leaving.body.message, 'object is being deleted: configmaps "a" already exists');
  });

  test('generateName completes the name', async () => {
    await using server = await openTestServer();
    const { body } = await make(server, maps, { metadata: { generateName: 'x'.repeat(70) } });
    assert.match(body.metadata.name, /^x{58}[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  });

  test('dryRun does everything but store', async () => {
    await using server = await openTestServer();
    const dry = await server.call('POST', `${maps}?dryRun=All`, map('a'));
    assert.equal(dry.code, 201);
    assert.ok(dry.body.metadata.uid);
    assert.equal((await server.call('GET', `${maps}/a`)).code, 404);
    assert.equal((await server.call('POST', `${maps}?dryRun=Some`, map('a'))).code, 422);
  });

  test('bodies that do not belong to the path are 400', async () => {
    await using server = await openTestServer();
    const wrong = [
      [
        { ...map('a'), apiVersion: 'v2' },
        /ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2"/,
      ],
      [
        { ...map('a'), apiVersion: 'v1', kind: 'Foo' },
        /Foo in version "v1" cannot be handled as a ConfigMap: no kind "Foo" is registered/,
      ],
      [
        map('a', { namespace: 'other' }),
        /the namespace of the provided object does not match the namespace sent on the request/,
      ],
      [
        '{"metadata":',
        /the object provided is unrecognized \(must be of type ConfigMap\): .*unexpected end of JSON input/,
      ],
      [
        { metadata: { name: 'a' }, data: { a: 1 } },
        /ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number.* into Go struct field ConfigMap.data of type string/,
      ],
    ] as const;
    for (const [body, message] of wrong) {
      const answer = await server.call('POST', maps, body);
      assert.equal(answer.code, 400, answer.text);
      assert.match(answer.body.message, message);
    }
    const version = await server.call('POST', maps, map('a', { resourceVersion: '5' }));
    assert.equal(version.code, 500);
    assert.equal(version.body.message, 'resourceVersion should not be set on objects to be created');
  });

  test('unknown and duplicate fields: dropped, warned of, or refused', async () => {
    await using server = await openTestServer();
    const body = '{"metadata":{"name":"a"},"data":{"a":"1","a":"2"},"foo":1}';
    const strict = await server.call('POST', `${maps}?fieldValidation=Strict`, body);
    assert.equal(strict.code, 400);
    assert.match(strict.body.message, /strict decoding error: duplicate field "data.a", unknown field "foo"/);
    const other = await server.call('POST', `${maps}?fieldValidation=Strict`, '{"foo":1,"data":{"a":"1","a":"2"}}');
    assert.match(other.body.message, /strict decoding error: unknown field "foo", duplicate field "data.a"/);
    const warned = await server.call('POST', `${maps}?dryRun=All`, body);
    assert.deepEqual(warned.headers['warning'], [
      '299 - "duplicate field \\"data.a\\""',
      '299 - "unknown field \\"foo\\""',
    ]);
    assert.equal(warned.body.foo, undefined);
    const ignored = await server.call('POST', `${maps}?fieldValidation=Ignore`, body);
    assert.equal(ignored.headers['warning'], undefined);
    assert.equal((await server.call('POST', `${maps}?fieldValidation=Odd`, body)).code, 422);
  });

  test('validation says all that is wrong', async () => {
    await using server = await openTestServer();
    const { code, body } = await server.call('POST', pods, pod('Bad_Name', {}, { containers: [] }));
    assert.equal(code, 422);
    assert.equal(body.reason, 'Invalid');
    assert.deepEqual(body.details.causes.map((each: { field: string }) => each.field).slice(0, 2), [
      'metadata.name',
      'spec.containers',
    ]);
  });

  test('__proto__ is a key like any other', async () => {
    await using server = await openTestServer();
    await make(
      server,
      maps,
      '{"metadata":{"name":"a","labels":{"constructor":"x"}},"data":{"__proto__":"p","toString":"t"}}',
    );
    const { text } = await server.call('GET', `${maps}/a`);
    assert.match(text, /"__proto__":"p"/);
    const selected = await server.call('GET', `${maps}?labelSelector=constructor%3Dx`);
    assert.deepEqual(names(selected), ['a']);
    assert.deepEqual(names(await server.call('GET', `${maps}?labelSelector=toString`)), []);
    const patched = await server.call('PATCH', `${maps}/a`, '{"data":{"__proto__":"q"}}', merge);
    assert.match(patched.text, /"__proto__":"q"/);
  });

  test('owner references that stand twice are reduced to one, with a warning', async () => {
    await using server = await openTestServer();
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'o', uid: 'u' };
    const { body, headers } = await make(server, maps, map('a', { ownerReferences: [owner, owner] }));
    assert.equal(body.metadata.ownerReferences.length, 1);
    assert.match(String(headers['warning']), /duplicate entries; .*duplicate UID\(s\) observed: u/);
  });
});

describe('update', () => {
  test('only over the version that was read', async () => {
    await using server = await openTestServer();
    const { body } = await make(server, maps, map('a'));
    const second = await server.call('PUT', `${maps}/a`, { ...body, data: { a: 'c' } });
    assert.equal(second.code, 200);
    const stale = await server.call('PUT', `${maps}/a`, { ...body, data: { a: 'd' } });
    assert.equal(stale.code, 409);
    assert.equal(
      stale.body.message,
      'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
    );
    const free = await server.call('PUT', `${maps}/a`, map('a'));
    assert.equal(free.code, 200);
  });

  test('what changes nothing makes no version and no event', async () => {
    await using server = await openTestServer();
    const { body } = await make(server, deployments, deployment('web'));
    const watch = await server.watch(`${deployments}?watch=1&resourceVersion=${body.metadata.resourceVersion}`);
    const again = await server.call('PUT', `${deployments}/web`, body);
    assert.equal(again.body.metadata.resourceVersion, body.metadata.resourceVersion);
    const shuffled = Object.fromEntries(Object.entries(body).reverse());
    const third = await server.call('PUT', `${deployments}/web`, shuffled);
    assert.equal(third.body.metadata.resourceVersion, body.metadata.resourceVersion);
    assert.deepEqual(watch.events, []);
    watch.close();
  });

  test('generation counts changes of the spec; the status has its own path', async () => {
    await using server = await openTestServer();
    const { body } = await make(server, deployments, deployment('web'));
    const both = { ...body, spec: { ...body.spec, replicas: 5 }, status: { replicas: 3 } };
    const main = (await server.call('PUT', `${deployments}/web`, both)).body;
    assert.deepEqual([main.metadata.generation, main.spec.replicas, main.status], [2, 5, {}]);
    const wanted = { ...main, spec: { ...main.spec, replicas: 9 }, status: { replicas: 3, observedGeneration: 2 } };
    const status = (await server.call('PUT', `${deployments}/web/status`, wanted)).body;
    assert.deepEqual([status.metadata.generation, status.spec.replicas, status.status.replicas], [2, 5, 3]);
    const labelled = await server.call('PATCH', `${deployments}/web`, { metadata: { labels: { a: 'b' } } }, merge);
    assert.equal(labelled.body.metadata.generation, 2);
    assert.equal(labelled.body.status.replicas, 3);
  });

  test('another name, uid or namespace is refused', async () => {
    await using server = await openTestServer();
    const { body } = await make(server, maps, map('a'));
    const name = await server.call('PUT', `${maps}/a`, map('b'));
    assert.equal(name.body.message, 'the name of the object (b) does not match the name on the URL (a)');
    const uid = await server.call('PUT', `${maps}/a`, map('a', { uid: 'other' }));
    assert.equal(uid.code, 409);
    assert.match(uid.body.message, /Precondition failed: UID in precondition: other, UID in object meta: /);
    assert.equal((await server.call('PUT', `${maps}/none`, map('none'))).code, 404);
    assert.ok(body.metadata.uid);
  });

  test('a lease is made by PUT', async () => {
    await using server = await openTestServer();
    const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
    const made = await server.call('PUT', `${leases}/l`, { metadata: { name: 'l' }, spec: { holderIdentity: 'me' } });
    assert.equal(made.code, 201, made.text);
  });
});

describe('patch', () => {
  test('JSON, merge and strategic merge', async () => {
    await using server = await openTestServer();
    await make(server, deployments, deployment('web'));
    const one = await server.call(
      'PATCH',
      `${deployments}/web`,
      [{ op: 'replace', path: '/spec/replicas', value: 4 }],
      json,
    );
    assert.equal(one.body.spec.replicas, 4);
    const two = await server.call('PATCH', `${deployments}/web`, { spec: { replicas: 6 } }, merge);
    assert.equal(two.body.spec.replicas, 6);
    const containers = [{ name: 'd', image: 'j' }];
    const three = await server.call(
      'PATCH',
      `${deployments}/web`,
      { spec: { template: { spec: { containers } } } },
      strategic,
    );
    assert.deepEqual(
      three.body.spec.template.spec.containers.map((each: { name: string }) => each.name),
      ['d', 'c'],
    );
    assert.equal(three.body.metadata.generation, 4);
  });

  test('many at once on one object all count', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        server.call('PATCH', `${maps}/a`, { data: { [`k${index}`]: 'v' } }, merge),
      ),
    );
    assert.ok(answers.every(each => each.code === 200));
    assert.equal(Object.keys((await server.call('GET', `${maps}/a`)).body.data).length, 51);
  });

  test('with a version that has passed it is 409 at once', async () => {
    await using server = await openTestServer();
    const { body } = await make(server, maps, map('a'));
    await server.call('PATCH', `${maps}/a`, { data: { x: 'y' } }, merge);
    const { resourceVersion } = body.metadata;
    const stale = await server.call('PATCH', `${maps}/a`, { metadata: { resourceVersion }, data: { x: 'z' } }, merge);
    assert.equal(stale.code, 409);
  });

  test('what is no patch is refused with what it is', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    assert.equal((await server.call('PATCH', `${maps}/a`, '{}', { 'content-type': 'text/plain' })).code, 415);
    assert.equal((await server.call('PATCH', `${maps}/a`, '{', merge)).code, 400);
    assert.equal((await server.call('PATCH', `${maps}/a?force=true`, '{}', merge)).code, 422);
    const failing = [{ op: 'test', path: '/data/a', value: 'no' }];
    assert.equal((await server.call('PATCH', `${maps}/a`, failing, json)).code, 422);
    assert.equal((await server.call('PATCH', `${maps}/none`, '{}', merge)).code, 404);
  });

  test('server-side apply creates, owns, conflicts and is forced', async () => {
    await using server = await openTestServer();
    const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { k: '1' } };
    assert.equal((await server.call('PATCH', `${maps}/a`, body, applyType)).code, 422);
    const made = await server.call('PATCH', `${maps}/a?fieldManager=one`, body, applyType);
    assert.equal(made.code, 201, made.text);
    assert.equal(made.body.metadata.managedFields[0].manager, 'one');
    const other = { ...body, data: { k: '2' } };
    const conflict = await server.call('PATCH', `${maps}/a?fieldManager=two`, other, applyType);
    assert.equal(conflict.code, 409);
    assert.equal(conflict.body.details.causes[0].field, '.data.k');
    const forced = await server.call('PATCH', `${maps}/a?fieldManager=two&force=true`, other, applyType);
    assert.equal(forced.code, 200);
    assert.equal(forced.body.data.k, '2');
    const again = await server.call('PATCH', `${maps}/a?fieldManager=two&force=true`, other, applyType);
    assert.equal(again.body.metadata.resourceVersion, forced.body.metadata.resourceVersion);
  });
});

describe('delete', () => {
  test('answers with a Status, or with the object for some kinds', async () => {
    await using server = await openTestServer();
    const { body } = await make(server, maps, map('a'));
    const gone = await server.call('DELETE', `${maps}/a`);
    assert.equal(gone.code, 200);
    assert.deepEqual(gone.body, {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Success',
      details: { name: 'a', kind: 'configmaps', uid: body.metadata.uid },
    });
    await make(server, pods, pod('p'));
    assert.equal((await server.call('DELETE', `${pods}/p`)).body.kind, 'Pod');
    assert.equal((await server.call('DELETE', `${maps}/a`)).code, 404);
  });

  test('finalizers hold an object until the last one is taken away', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a', { finalizers: ['x.y/z'] }));
    const marked = await server.call('DELETE', `${maps}/a`);
    assert.equal(marked.body.metadata.deletionGracePeriodSeconds, 0);
    assert.ok(marked.body.metadata.deletionTimestamp);
    const version = marked.body.metadata.resourceVersion;
    assert.equal((await server.call('DELETE', `${maps}/a`)).body.metadata.resourceVersion, version);
    const more = await server.call('PATCH', `${maps}/a`, { metadata: { finalizers: ['x.y/z', 'n.e/w'] } }, merge);
    assert.equal(more.code, 422);
    const watch = await server.watch(`${maps}?watch=1&resourceVersion=${version}`);
    const last = await server.call('PATCH', `${maps}/a`, { metadata: { finalizers: null } }, merge);
    assert.equal(last.code, 200);
    assert.equal((await server.call('GET', `${maps}/a`)).code, 404);
    assert.deepEqual(
      watch.events.map(each => each.type),
      ['DELETED'],
    );
    watch.close();
  });

  test('propagation policies are finalizers', async () => {
    await using server = await openTestServer();
    await make(server, deployments, deployment('web'));
    const foreground = await server.call('DELETE', `${deployments}/web`, { propagationPolicy: 'Foreground' });
    assert.deepEqual(foreground.body.metadata.finalizers, ['foregroundDeletion']);
    assert.equal(foreground.body.metadata.generation, 2);
    const orphan = await server.call('DELETE', `${deployments}/web?propagationPolicy=Orphan`);
    assert.deepEqual(orphan.body.metadata.finalizers, ['orphan']);
    await server.call('DELETE', `${deployments}/web`, { propagationPolicy: 'Background' });
    assert.equal((await server.call('GET', `${deployments}/web`)).code, 404);
    assert.equal((await server.call('DELETE', `${deployments}/web?propagationPolicy=Odd`)).code, 422);
  });

  test('preconditions', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const uid = await server.call('DELETE', `${maps}/a`, { preconditions: { uid: 'other' } });
    assert.equal(uid.code, 409);
    assert.match(uid.body.message, /the UID in the precondition \(other\) does not match the UID in record/);
    assert.equal((await server.call('DELETE', `${maps}/a`, { preconditions: { resourceVersion: '1' } })).code, 409);
  });

  test('a running pod is granted grace, which only gets shorter', async () => {
    await using server = await openTestServer();
    await make(server, pods, pod('p', {}, { nodeName: 'n' }));
    const first = (await server.call('DELETE', `${pods}/p`)).body.metadata;
    assert.deepEqual([first.deletionGracePeriodSeconds, first.deletionTimestamp], [30, '2026-01-01T00:00:30Z']);
    const longer = (await server.call('DELETE', `${pods}/p?gracePeriodSeconds=60`)).body.metadata;
    assert.equal(longer.resourceVersion, first.resourceVersion);
    const shorter = (await server.call('DELETE', `${pods}/p`, { gracePeriodSeconds: 5 })).body.metadata;
    assert.deepEqual([shorter.deletionGracePeriodSeconds, shorter.deletionTimestamp], [5, '2026-01-01T00:00:05Z']);
    await server.call('DELETE', `${pods}/p`, { gracePeriodSeconds: 0, preconditions: { uid: first.uid } });
    assert.equal((await server.call('GET', `${pods}/p`)).code, 404);
  });

  test('a namespace stays until it is finalized', async () => {
    await using server = await openTestServer();
    await make(server, '/api/v1/namespaces', { metadata: { name: 'n' } });
    const marked = (await server.call('DELETE', '/api/v1/namespaces/n')).body;
    assert.equal(marked.status.phase, 'Terminating');
    const finalized = await server.call('PUT', '/api/v1/namespaces/n/finalize', {
      ...marked,
      spec: { finalizers: [] },
    });
    assert.equal(finalized.code, 200, finalized.text);
    assert.equal((await server.call('GET', '/api/v1/namespaces/n')).code, 404);
  });

  test('a collection, by selector', async () => {
    await using server = await openTestServer();
    for (const name of ['a', 'b', 'c']) await make(server, maps, map(name, { labels: { drop: String(name !== 'b') } }));
    const deleted = await server.call('DELETE', `${maps}?labelSelector=drop%3Dtrue`);
    assert.equal(deleted.body.kind, 'ConfigMapList');
    assert.deepEqual(names(deleted), ['a', 'c']);
    assert.deepEqual(names(await server.call('GET', maps)), ['b']);
  });
});

describe('get and list', () => {
  test('lists are in the order of keys, and items have no kind', async () => {
    await using server = await openTestServer();
    for (const [namespace, name] of [
      ['b', 'x'],
      ['a', 'z'],
      ['a-b', 'y'],
      ['a', 'a'],
    ])
      await make(server, `/api/v1/namespaces/${namespace}/configmaps`, map(name as string));
    const { body } = await server.call('GET', '/api/v1/configmaps');
    assert.equal(body.kind, 'ConfigMapList');
    assert.deepEqual(
      body.items.map(
        (each: { metadata: { namespace: string; name: string } }) => `${each.metadata.namespace}/${each.metadata.name}`,
      ),
      ['a-b/y', 'a/a', 'a/z', 'b/x'],
    );
    assert.equal(body.items[0].kind, undefined);
    assert.equal(body.metadata.resourceVersion, '5');
    assert.deepEqual(names(await server.call('GET', '/api/v1/namespaces/a/configmaps')), ['a', 'z']);
  });

  test('pages are of one revision, whatever happens meanwhile', async () => {
    await using server = await openTestServer();
    for (const name of ['a', 'b', 'c', 'd', 'e']) await make(server, maps, map(name));
    const first = await server.call('GET', `${maps}?limit=2`);
    assert.deepEqual([names(first), first.body.metadata.remainingItemCount], [['a', 'b'], 3]);
    await make(server, maps, map('aa'));
    await make(server, maps, map('cc'));
    await server.call('DELETE', `${maps}/d`);
    const second = await server.call('GET', `${maps}?limit=2&continue=${first.body.metadata.continue}`);
    assert.deepEqual(names(second), ['c', 'd']);
    assert.equal(second.body.metadata.resourceVersion, first.body.metadata.resourceVersion);
    const third = await server.call('GET', `${maps}?limit=2&continue=${second.body.metadata.continue}`);
    assert.deepEqual([names(third), third.body.metadata.continue], [['e'], undefined]);
    assert.equal((await server.call('GET', `${maps}?continue=nonsense`)).code, 400);
    assert.equal(
      (await server.call('GET', `${maps}?resourceVersion=3&continue=${first.body.metadata.continue}`)).code,
      400,
    );
  });

  test('an expired page says how to go on', async () => {
    await using server = await openTestServer();
    for (const name of ['a', 'b', 'c']) await make(server, maps, map(name));
    const first = await server.call('GET', `${maps}?limit=1`);
    await make(server, maps, map('d'));
    await server.server.cache.compact(5);
    const expired = await server.call('GET', `${maps}?limit=1&continue=${first.body.metadata.continue}`);
    assert.equal(expired.code, 410);
    assert.equal(expired.body.reason, 'Expired');
    const rest = await server.call('GET', `${maps}?continue=${expired.body.metadata.continue}`);
    assert.deepEqual(names(rest), ['b', 'c', 'd']);
  });

  test('resource versions: exact, not older, too large, nonsense', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    await make(server, maps, map('b'));
    assert.deepEqual(names(await server.call('GET', `${maps}?resourceVersion=2&resourceVersionMatch=Exact`)), ['a']);
    assert.deepEqual(names(await server.call('GET', `${maps}?resourceVersion=2`)), ['a', 'b']);
    assert.deepEqual(names(await server.call('GET', `${maps}?resourceVersion=0`)), ['a', 'b']);
    for (const [query, code] of [
      ['resourceVersion=x', 400],
      ['resourceVersionMatch=Exact', 422],
      ['resourceVersion=0&resourceVersionMatch=Exact', 422],
      ['resourceVersion=1&resourceVersionMatch=Odd', 422],
      ['sendInitialEvents=true', 422],
      ['limit=x', 400],
      ['labelSelector=a%20b', 400],
      ['fieldSelector=spec.foo%3D1', 400],
    ] as const)
      assert.equal((await server.call('GET', `${maps}?${query}`)).code, code, query);
    const waiting = server.call('GET', `${maps}?resourceVersion=99`);
    await server.clock.advance(3_000);
    const late = await waiting;
    assert.equal(late.code, 504);
    assert.equal(late.body.details.causes[0].reason, 'ResourceVersionTooLarge');
    assert.equal(late.headers['retry-after'], '1');
  });

  test('selectors find by label and by field, with and without an index', async () => {
    await using server = await openTestServer();
    for (let index = 0; index < 400; index++)
      await make(
        server,
        pods,
        pod(
          `p${index}`,
          { labels: { group: `g${index % 40}`, odd: String(index % 2) } },
          { nodeName: `n${index % 10}` },
        ),
      );
    assert.equal(names(await server.call('GET', `${pods}?labelSelector=group%3Dg7`)).length, 10);
    assert.equal(names(await server.call('GET', `${pods}?labelSelector=group%20in%20(g7,g8),odd%3D1`)).length, 10);
    assert.equal(names(await server.call('GET', `${pods}?labelSelector=odd!%3D1`)).length, 200);
    assert.equal(names(await server.call('GET', `${pods}?fieldSelector=spec.nodeName%3Dn3`)).length, 40);
    await server.call('PATCH', `${pods}/p7`, { metadata: { labels: { group: 'g8' } } }, merge);
    await server.call('DELETE', `${pods}/p47?gracePeriodSeconds=0`);
    const left = names(await server.call('GET', `${pods}?labelSelector=group%3Dg7`));
    assert.deepEqual(left, [...left].sort());
    assert.equal(left.length, 8);
    assert.equal(names(await server.call('GET', `${pods}?labelSelector=group%3Dg8&limit=3`)).length, 3);
  });

  test('tables, metadata only, YAML, protobuf, pretty', async () => {
    await using server = await openTestServer();
    await make(server, pods, pod('p'));
    const { body } = await server.call('GET', pods, undefined, table);
    assert.equal(body.kind, 'Table');
    assert.equal(body.columnDefinitions[0].name, 'Name');
    assert.equal(body.rows[0].cells[0], 'p');
    assert.equal(body.rows[0].object.kind, 'PartialObjectMetadata');
    const partial = { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' };
    const list = (await server.call('GET', pods, undefined, partial)).body;
    assert.deepEqual(
      [list.kind, list.items[0].kind, list.items[0].spec],
      ['PartialObjectMetadataList', 'PartialObjectMetadata', undefined],
    );
    const yaml = await server.call('GET', `${pods}/p`, undefined, { accept: 'application/yaml' });
    assert.match(yaml.text, /^apiVersion: v1\nkind: Pod\n/);
    const protobuf = await server.call('GET', `${pods}/p`, undefined, {
      accept: 'application/vnd.kubernetes.protobuf,application/json',
    });
    assert.equal(protobuf.text.slice(0, 4), 'k8s\0');
    const pretty = await server.call('GET', `${pods}/p?pretty=true`);
    assert.match(pretty.text, /^{\n {2}"/);
    assert.equal((await server.call('GET', pods, undefined, { accept: 'text/html' })).code, 406);
    const single = { accept: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io' };
    assert.equal((await server.call('GET', pods, undefined, single)).code, 406);
  });

  test('YAML and protobuf come in', async () => {
    await using server = await openTestServer();
    const made = await server.call('POST', maps, 'metadata:\n  name: m\ndata:\n  on: "yes"\n', {
      'content-type': 'application/yaml',
    });
    assert.equal(made.code, 201, made.text);
    const response = await server.server.handle(
      (await import('./test-server.ts')).requestOf('GET', `${maps}/m`, undefined, {
        accept: 'application/vnd.kubernetes.protobuf',
      }),
    );
    const bytes = Buffer.concat(response.kind === 'object' ? response.bytes() : []);
    const put = await server.call('PUT', `${maps}/m`, bytes, { 'content-type': 'application/vnd.kubernetes.protobuf' });
    assert.equal(put.code, 200, put.text);
    assert.equal(put.body.metadata.resourceVersion, made.body.metadata.resourceVersion);
  });

  test('paths that are none, and verbs that are not served', async () => {
    await using server = await openTestServer();
    assert.equal((await server.call('GET', '/nothing')).code, 404);
    assert.equal((await server.call('GET', '/api/v1/nothings')).code, 404);
    assert.equal((await server.call('GET', '/apis/apps/v9/deployments')).code, 404);
    assert.equal((await server.call('GET', `${maps}/a/status`)).code, 404);
    assert.equal((await server.call('DELETE', '/api/v1/namespaces')).code, 405);
    assert.equal((await server.call('POST', '/api/v1/configmaps', map('a'))).code, 405);
    assert.equal((await server.call('GET', '/api/v1/namespaces/x/nodes')).code, 404);
    assert.equal((await server.call('GET', '/api/v1/namespaces/%2e%2e/configmaps/%zz')).code, 404);
  });
});

describe('watch', () => {
  test('the state, then what happens', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const watch = await server.watch(`${maps}?watch=true`);
    await make(server, maps, map('b'));
    await server.call('PATCH', `${maps}/a`, { data: { x: 'y' } }, merge);
    await server.call('DELETE', `${maps}/b`);
    assert.deepEqual(
      watch.events.map(each => [each.type, each.object.metadata.name, each.object.metadata.resourceVersion]),
      [
        ['ADDED', 'a', '2'],
        ['ADDED', 'b', '3'],
        ['MODIFIED', 'a', '4'],
        ['DELETED', 'b', '5'],
      ],
    );
    assert.equal(watch.events[0].object.kind, 'ConfigMap');
    watch.close();
    assert.equal(watch.ended, true);
  });

  test('resumes after a version, and says when that is too old', async () => {
    await using server = await openTestServer();
    for (const name of ['a', 'b', 'c']) await make(server, maps, map(name));
    const resumed = await server.watch(`${maps}?watch=1&resourceVersion=3`);
    assert.deepEqual(
      resumed.events.map(each => each.object.metadata.name),
      ['c'],
    );
    resumed.close();
    await server.server.cache.compact(4);
    const old = await server.watch(`${maps}?watch=1&resourceVersion=2`);
    assert.equal(old.code, 200);
    assert.deepEqual(
      [old.events[0].type, old.events[0].object.reason, old.events[0].object.code, old.ended],
      ['ERROR', 'Expired', 410, true],
    );
  });

  test('selectors: what begins to match is added, what stops is deleted', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const watch = await server.watch(`${maps}?watch=1&labelSelector=x%3Dy`);
    await server.call('PATCH', `${maps}/a`, { metadata: { labels: { x: 'y' } } }, merge);
    await server.call('PATCH', `${maps}/a`, { data: { more: 'm' } }, merge);
    await server.call('PATCH', `${maps}/a`, { metadata: { labels: { x: 'z' } } }, merge);
    await server.call('DELETE', `${maps}/a`);
    assert.deepEqual(
      watch.events.map(each => [each.type, each.object.metadata.labels?.x, each.object.metadata.resourceVersion]),
      [
        ['ADDED', 'y', '3'],
        ['MODIFIED', 'y', '4'],
        ['DELETED', 'y', '5'],
      ],
    );
    watch.close();
  });

  test('by field: each node sees its pods come and go', async () => {
    await using server = await openTestServer();
    await make(server, pods, pod('p'));
    const mine = await server.watch('/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn');
    const unassigned = await server.watch('/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3D');
    const binding = { metadata: { name: 'p' }, target: { kind: 'Node', name: 'n' } };
    const bound = await server.call('POST', `${pods}/p/binding`, binding);
    assert.deepEqual([bound.code, bound.body.status], [201, 'Success']);
    assert.deepEqual(
      mine.events.map(each => each.type),
      ['ADDED'],
    );
    assert.deepEqual(
      unassigned.events.map(each => each.type),
      ['ADDED', 'DELETED'],
    );
    const again = await server.call('POST', `${pods}/p/binding`, binding);
    assert.equal(again.code, 409);
    const { body } = await server.call('GET', `${pods}/p`);
    assert.equal(body.status.conditions[0].type, 'PodScheduled');
    mine.close();
    unassigned.close();
  });

  test('initial events end with a marked bookmark; bookmarks follow every minute', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const watch = await server.watch(
      `${maps}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=100`,
    );
    assert.deepEqual(
      watch.events.map(each => each.type),
      ['ADDED', 'BOOKMARK'],
    );
    assert.deepEqual(watch.events[1].object, {
      kind: 'ConfigMap',
      apiVersion: 'v1',
      metadata: { resourceVersion: '2', annotations: { 'k8s.io/initial-events-end': 'true' } },
    });
    await make(server, '/api/v1/namespaces/default/secrets', { metadata: { name: 's' } });
    await server.clock.advance(61_000);
    assert.equal(watch.events[2].object.metadata.resourceVersion, '3');
    await server.clock.advance(38_000);
    assert.equal(watch.events.length, 4);
    assert.equal(watch.ended, false);
    await server.clock.advance(2_000);
    assert.equal(watch.ended, true);
  });

  test('options that make no sense are refused', async () => {
    await using server = await openTestServer();
    for (const query of [
      'continue=x',
      'sendInitialEvents=true',
      'resourceVersionMatch=NotOlderThan',
      'sendInitialEvents=true&resourceVersionMatch=Exact',
    ])
      assert.equal((await server.call('GET', `${maps}?watch=1&${query}`)).code, 422, query);
    assert.equal((await server.call('GET', `${maps}?watch=1`, undefined, { accept: 'application/yaml' })).code, 406);
  });

  test('tables have their columns in the first event only', async () => {
    await using server = await openTestServer();
    await make(server, pods, pod('p'));
    const watch = await server.watch(`${pods}?watch=1`, table);
    await make(server, pods, pod('q'));
    assert.deepEqual(
      watch.events.map(each => [each.object.kind, each.object.columnDefinitions?.length > 0]),
      [
        ['Table', true],
        ['Table', false],
      ],
    );
    watch.close();
  });

  test('one object, by the deprecated path', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    await make(server, maps, map('b'));
    const watch = await server.watch('/api/v1/watch/namespaces/default/configmaps/b');
    assert.deepEqual(
      watch.events.map(each => each.object.metadata.name),
      ['b'],
    );
    watch.close();
  });

  test('who does not read is cut off', async () => {
    await using server = await openTestServer();
    const { requestOf } = await import('./test-server.ts');
    const response = await server.server.handle(requestOf('GET', `${maps}?watch=1`, undefined, {}));
    assert.equal(response.kind, 'watch');
    let ended = false;
    let taken = 0;
    if (response.kind === 'watch') response.watch.toBytes({ push: () => ++taken < 2, end: () => void (ended = true) });
    for (const name of ['a', 'b', 'c']) await make(server, maps, map(name));
    assert.deepEqual([taken, ended], [2, true]);
  });
});

describe('subresources', () => {
  test('scale reads and sets replicas', async () => {
    await using server = await openTestServer();
    await make(server, deployments, deployment('web'));
    const { body } = await server.call('GET', `${deployments}/web/scale`);
    assert.deepEqual([body.kind, body.spec.replicas, body.status.selector], ['Scale', 2, 'app=web']);
    const put = await server.call('PUT', `${deployments}/web/scale`, { ...body, spec: { replicas: 7 } });
    assert.equal(put.code, 200, put.text);
    const patched = await server.call('PATCH', `${deployments}/web/scale`, { spec: { replicas: 8 } }, merge);
    assert.equal(patched.body.spec.replicas, 8);
    const after = (await server.call('GET', `${deployments}/web`)).body;
    assert.deepEqual([after.spec.replicas, after.metadata.generation], [8, 3]);
    assert.equal((await server.call('PUT', `${deployments}/web/scale`, { ...body, spec: { replicas: 1 } })).code, 409);
    assert.equal((await server.call('PATCH', `${deployments}/web/scale`, { spec: { replicas: -1 } }, merge)).code, 422);
  });

  test('eviction obeys the disruption budget', async () => {
    await using server = await openTestServer();
    const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
    await make(server, pods, pod('p', { labels: { a: 'b' } }, { nodeName: 'n' }));
    const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
    await server.call('PATCH', `${pods}/p/status`, { status }, merge);
    await make(server, budgets, {
      metadata: { name: 'b' },
      spec: { minAvailable: 1, selector: { matchLabels: { a: 'b' } } },
    });
    const evict = () =>
      server.call('POST', `${pods}/p/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'p' } });
    const early = await evict();
    assert.deepEqual([early.code, early.headers['retry-after']], [429, '10'], early.text);
    const known = {
      observedGeneration: 1,
      disruptionsAllowed: 0,
      currentHealthy: 1,
      desiredHealthy: 1,
      expectedPods: 1,
    };
    await server.call('PATCH', `${budgets}/b/status`, { status: known }, merge);
    const blocked = await evict();
    assert.equal(blocked.body.message, "Cannot evict pod as it would violate the pod's disruption budget.");
    assert.equal(
      blocked.body.details.causes[0].message,
      'The disruption budget b needs 1 healthy pods and has 1 currently',
    );
    await server.call('PATCH', `${budgets}/b/status`, { status: { ...known, disruptionsAllowed: 1 } }, merge);
    const evicted = await evict();
    assert.deepEqual([evicted.code, evicted.body.status], [201, 'Success']);
    const budget = (await server.call('GET', `${budgets}/b`)).body;
    assert.deepEqual([budget.status.disruptionsAllowed, Object.keys(budget.status.disruptedPods)], [0, ['p']]);
    assert.ok((await server.call('GET', `${pods}/p`)).body.metadata.deletionTimestamp);
  });

  test('ephemeral containers are only added', async () => {
    await using server = await openTestServer();
    await make(server, pods, pod('p', {}, { nodeName: 'n' }));
    const add = { spec: { ephemeralContainers: [{ name: 'debug', image: 'i' }] } };
    const added = await server.call('PATCH', `${pods}/p/ephemeralcontainers`, add, strategic);
    assert.equal(added.code, 200, added.text);
    assert.equal(added.body.spec.ephemeralContainers.length, 1);
    const removed = await server.call(
      'PATCH',
      `${pods}/p/ephemeralcontainers`,
      { spec: { ephemeralContainers: null } },
      merge,
    );
    assert.equal(removed.code, 422);
  });

  test('a certificate request is approved on its own path', async () => {
    await using server = await openTestServer();
    const requests = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
    const csr = {
      metadata: { name: 'c' },
      spec: {
        request: 'LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K',
        signerName: 'example.com/x',
        usages: ['client auth'],
      },
    };
    const made = await server.call('POST', `${requests}?dryRun=All`, csr);
    // The request is not a real one: kinds judge that; the path is what is tested here.
    assert.ok(made.code === 201 || made.code === 422, made.text);
  });
});

describe('services', () => {
  const services = '/api/v1/namespaces/default/services';
  const service = (name: string, spec: object = {}) => ({
    metadata: { name },
    spec: { ports: [{ port: 80 }], selector: { a: 'b' }, ...spec },
  });

  test('addresses and node ports are given out once', async () => {
    await using server = await openTestServer();
    const made = await Promise.all(
      Array.from({ length: 50 }, (_, index) => make(server, services, service(`s${index}`, { type: 'NodePort' }))),
    );
    const addresses = new Set(made.map(each => each.body.spec.clusterIP));
    const ports = new Set(made.map(each => each.body.spec.ports[0].nodePort));
    assert.deepEqual([addresses.size, ports.size], [50, 50]);
    for (const port of ports) assert.ok(port >= 30_000 && port <= 32_767);
    assert.deepEqual(made[0]?.body.spec.ipFamilies, ['IPv4']);
    const { clusterIP } = (made[0] as Answer).body.spec;
    const taken = await server.call('POST', services, service('t', { clusterIP }));
    assert.equal(taken.code, 422);
    assert.match(
      taken.body.message,
      /spec.clusterIPs: Invalid value: \["[\d.]+"\]: failed to allocate IP [\d.]+: provided IP is already allocated/,
    );
    await server.call('DELETE', `${services}/s0`);
    assert.equal((await make(server, services, service('t', { clusterIP }))).body.spec.clusterIP, clusterIP);
  });

  test("upstream's messages for what cannot be given", async () => {
    await using server = await openTestServer();
    const outside = await server.call('POST', services, service('a', { clusterIP: '1.2.3.4' }));
    assert.equal(
      outside.body.message,
      'Service "a" is invalid: spec.clusterIPs: Invalid value: ["1.2.3.4"]: failed to allocate IP 1.2.3.4: the provided network does not match the current range',
    );
    await make(server, services, service('b', { type: 'NodePort', ports: [{ port: 80, nodePort: 30_080 }] }));
    const again = await server.call(
      'POST',
      services,
      service('c', { type: 'NodePort', ports: [{ port: 80, nodePort: 30_080 }] }),
    );
    assert.match(
      again.body.message,
      /spec.ports\[0\].nodePort: Invalid value: 30080: provided port is already allocated/,
    );
    const far = await server.call(
      'POST',
      services,
      service('d', { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] }),
    );
    assert.match(far.body.message, /provided port is not in the valid range. The range of valid ports is 30000-32767/);
  });

  test('headless and external names take nothing; an update keeps what it has', async () => {
    await using server = await openTestServer();
    assert.equal((await make(server, services, service('h', { clusterIP: 'None' }))).body.spec.clusterIP, 'None');
    const external = await make(server, services, {
      metadata: { name: 'e' },
      spec: { type: 'ExternalName', externalName: 'example.com' },
    });
    assert.equal(external.body.spec.clusterIP, undefined);
    const { body } = await make(server, services, service('k'));
    const put = await server.call('PUT', `${services}/k`, service('k', { ports: [{ port: 81 }] }));
    assert.equal(put.body.spec.clusterIP, body.spec.clusterIP, put.text);
  });

  test('a dry run takes nothing', async () => {
    await using server = await openTestServer();
    const dry = await server.call('POST', `${services}?dryRun=All`, service('a', { clusterIP: '10.96.0.10' }));
    assert.equal(dry.code, 201, dry.text);
    await make(server, services, service('b', { clusterIP: '10.96.0.10' }));
  });
});

describe('versions of a kind', () => {
  test('an Event of events.k8s.io is the same Event in core', async () => {
    await using server = await openTestServer();
    const event = {
      metadata: { name: 'e' },
      eventTime: '2026-01-01T00:00:00.000000Z',
      reportingController: 'x.y/z',
      reportingInstance: 'i',
      action: 'Act',
      reason: 'Because',
      type: 'Normal',
      note: 'said',
      regarding: { kind: 'Pod', name: 'p', namespace: 'default' },
    };
    await make(server, '/apis/events.k8s.io/v1/namespaces/default/events', event);
    const core = (await server.call('GET', '/api/v1/namespaces/default/events/e')).body;
    assert.deepEqual([core.apiVersion, core.message, core.involvedObject.name], ['v1', 'said', 'p']);
    const other = (await server.call('GET', '/apis/events.k8s.io/v1/namespaces/default/events')).body;
    assert.equal(other.items[0].note, 'said');
    const watch = await server.watch('/apis/events.k8s.io/v1/events?watch=1');
    assert.equal(watch.events[0].object.note, 'said');
    watch.close();
  });

  test('Events are gone an hour after their last change', async () => {
    await using server = await openTestServer();
    const events = '/api/v1/namespaces/default/events';
    await make(server, events, { metadata: { name: 'e' }, involvedObject: { namespace: 'default' } });
    await server.clock.advance(3_000_000);
    await server.call('PATCH', `${events}/e`, { count: 2 }, merge);
    await server.clock.advance(900_000);
    assert.equal((await server.call('GET', `${events}/e`)).code, 200);
    await server.clock.advance(2_760_000);
    assert.equal((await server.call('GET', `${events}/e`)).code, 404);
  });
});

describe('around the verbs', () => {
  test('health, version, metrics', async () => {
    await using server = await openTestServer();
    assert.equal((await server.call('GET', '/readyz')).text, 'ok');
    assert.match(
      (await server.call('GET', '/livez?verbose&exclude=ping')).text,
      /\[\+\]ping excluded: ok\n[\s\S]*livez check passed/,
    );
    assert.equal((await server.call('GET', '/readyz/etcd')).text, 'ok');
    assert.equal((await server.call('GET', '/version')).body.major, '1');
    await server.call('GET', maps);
    assert.match(
      (await server.call('GET', '/metrics')).text,
      /apiserver_request_total{verb="list"|apiserver_request_total\{verb="LIST"/,
    );
  });

  test('every answer has an audit id, also one that the client chose', async () => {
    await using server = await openTestServer();
    assert.ok((await server.call('GET', maps)).headers['audit-id']);
    assert.equal((await server.call('GET', maps, undefined, { 'audit-id': 'mine' })).headers['audit-id'], 'mine');
    assert.equal((await server.call('GET', maps)).headers['cache-control'], 'no-cache, private');
  });

  test('what takes longer than it may is answered with 504', async () => {
    const never = { name: 'slow', handles: () => true, admit: () => new Promise<void>(() => {}) };
    await using server = await openTestServer({ admission: [never] });
    const waiting = server.call('POST', `${maps}?timeout=1500ms`, map('a'));
    await server.clock.advance(1_499);
    await server.clock.advance(1);
    const { code, body } = await waiting;
    assert.deepEqual(
      [code, body.message],
      [504, 'Timeout: request did not complete within requested timeout - context deadline exceeded'],
    );
    // Less than nothing asks for the server's own time, of which a write gets 34 seconds.
    const patient = server.call('POST', `${maps}?timeout=-5s`, map('a'));
    let isOver = false;
    void patient.then(() => (isOver = true));
    await server.clock.advance(33_999);
    assert.equal(isOver, false);
    await server.clock.advance(1);
    assert.equal((await patient).code, 504);
    for (const [timeout, why] of [
      ['soon', 'time: invalid duration "soon"'],
      ['5', 'time: missing unit in duration "5"'],
      ['5d', 'time: unknown unit "d" in duration "5d"'],
    ]) {
      const refused = await server.call('GET', `${maps}?timeout=${timeout}`);
      assert.deepEqual(
        [refused.code, refused.body.message],
        [400, `invalid timeout specified in the request URL - ${why}`],
      );
    }
  });

  test('nobody is let in without permission', async () => {
    await using server = await openTestServer({
      authorizer: { name: 'no', authorize: () => ({ decision: 'noOpinion', reason: '' }) },
    });
    const { code, body } = await server.call('GET', maps);
    assert.equal(code, 403);
    assert.equal(
      body.message,
      'configmaps is forbidden: User "system:apiserver" cannot list resource "configmaps" in API group "" in the namespace "default"',
    );
  });

  test('a server that starts again on its store has everything, history included', async () => {
    const storage = openMemoryStorage();
    let version = '';
    {
      await using first = await openTestServer({ storage: { ...proxyOf(storage) } });
      version = (await make(first, maps, map('a'))).body.metadata.resourceVersion;
      await first.call('PATCH', `${maps}/a`, { data: { x: 'y' } }, merge);
      await make(first, maps, map('b'));
      await first.call('DELETE', `${maps}/b`);
    }
    await using second = await openTestServer({ storage });
    const { body } = await second.call('GET', `${maps}/a`);
    assert.deepEqual([body.kind, body.data.x, body.metadata.resourceVersion], ['ConfigMap', 'y', '3']);
    const watch = await second.watch(`${maps}?watch=1&resourceVersion=${version}`);
    assert.deepEqual(
      watch.events.map(each => each.type),
      ['MODIFIED', 'ADDED', 'DELETED'],
    );
    watch.close();
  });

  test('history is bounded', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const max = limits.watchHistoryEventsMax;
    for (let index = 0; index < max * 1.3; index++)
      await server.storage.put(
        '/registry/configmaps/default/a',
        { bytes: Buffer.from(`{"metadata":{"name":"a","namespace":"default"},"data":{"i":"${index}"}}`) },
        'any',
      );
    const old = await server.watch(`${maps}?watch=1&resourceVersion=2`);
    assert.equal(old.events[0].object.reason, 'Expired');
    const { body } = await server.call('GET', `${maps}/a`);
    assert.equal(body.data.i, String(max * 1.3 - 1));
  });
});

/** The same store without its end: the first server must not close what the second opens. */
function proxyOf(storage: ReturnType<typeof openMemoryStorage>) {
  return {
    currentRevision: () => storage.currentRevision(),
    get: storage.get.bind(storage),
    range: storage.range.bind(storage),
    put: storage.put.bind(storage),
    delete: storage.delete.bind(storage),
    watch: storage.watch.bind(storage),
    compact: storage.compact.bind(storage),
    snapshot: storage.snapshot.bind(storage),
    async [Symbol.asyncDispose]() {},
  };
}
