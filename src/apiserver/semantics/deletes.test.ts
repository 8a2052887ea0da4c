/** Deletion, collections, subresources and discovery: reference sections 11 to 14. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { discoveryPaths } from '../discovery/discovery.ts';
import { type Answer, openTestServer, type TestServer } from '../test-server.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const pods = '/api/v1/namespaces/default/pods';
const deployments = '/apis/apps/v1/namespaces/default/deployments';
const merge = { 'content-type': 'application/merge-patch+json' };
const map = (name: string, metadata: object = {}) => ({ metadata: { name, ...metadata }, data: { a: 'b' } });
const pod = (name: string, spec: object = {}, metadata: object = {}) => ({
  metadata: { name, ...metadata },
  spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
});
const deployment = (name: string) => ({
  metadata: { name },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
  },
});

async function make(server: TestServer, path: string, ...objects: object[]): Promise<void> {
  for (const object of objects) {
    const made = await server.call('POST', path, object);
    assert.equal(made.code, 201, made.text);
  }
}

function refused(answer: Answer, code: number, reason: string, message: string | RegExp): void {
  assert.deepEqual([answer.code, answer.body?.reason], [code, reason], answer.text);
  if (typeof message === 'string') assert.equal(answer.body.message, message);
  else assert.match(answer.body.message, message);
}

describe('delete', () => {
  test('options come from the body, in three forms, or from the query', async () => {
    await using server = await openTestServer();
    const graceOf = (answer: Answer) => answer.body.metadata.deletionGracePeriodSeconds;
    await make(server, pods, pod('a', { nodeName: 'n' }), pod('b', { nodeName: 'n' }), pod('c', { nodeName: 'n' }));
    assert.equal(graceOf(await server.call('DELETE', `${pods}/a?gracePeriodSeconds=7`)), 7);
    const both = { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: 9 };
    assert.equal(graceOf(await server.call('DELETE', `${pods}/b?gracePeriodSeconds=7`, both)), 9);
    const yaml = { 'content-type': 'application/yaml' };
    const text = 'kind: DeleteOptions\napiVersion: v1\ngracePeriodSeconds: 11\n';
    assert.equal(graceOf(await server.call('DELETE', `${pods}/c`, text, yaml)), 11);
  });

  test('policies: both old and new, and unknown ones, are refused', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    refused(
      await server.call('DELETE', `${maps}/a`, { orphanDependents: true, propagationPolicy: 'Orphan' }),
      422,
      'Invalid',
      /propagationPolicy: Invalid value: .*orphanDependents and deletionPropagation cannot be both set/i,
    );
    refused(
      await server.call('DELETE', `${maps}/a?propagationPolicy=Odd`),
      422,
      'Invalid',
      /propagationPolicy: Unsupported value: "Odd"/,
    );
  });

  test('preconditions name both sides', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const { uid, resourceVersion } = (await server.call('GET', `${maps}/a`)).body.metadata;
    refused(
      await server.call('DELETE', `${maps}/a`, { preconditions: { uid: 'x' } }),
      409,
      'Conflict',
      `Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (x) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
    );
    refused(
      await server.call('DELETE', `${maps}/a`, { preconditions: { resourceVersion: '1' } }),
      409,
      'Conflict',
      /the ResourceVersion in the precondition \(1\) does not match the ResourceVersion in record \(2\)/,
    );
    assert.equal((await server.call('DELETE', `${maps}/a`, { preconditions: { uid, resourceVersion } })).code, 200);
  });

  test('202 only when somebody asks for dependents in the foreground in the old way', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a', { finalizers: ['x.y/z'] }), map('b', { finalizers: ['x.y/z'] }));
    assert.equal((await server.call('DELETE', `${maps}/a`)).code, 200);
    assert.equal((await server.call('DELETE', `${maps}/b`, { orphanDependents: false })).code, 202);
  });

  test('the kinds that answer with what was deleted', async () => {
    await using server = await openTestServer();
    const core = '/api/v1/namespaces/default';
    const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1' } } };
    const volume = { capacity: { storage: '1' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/x' } };
    const cases = [
      [`${core}/pods`, pod('x'), 'Pod'],
      [`${core}/services`, { metadata: { name: 'x' }, spec: { ports: [{ port: 80 }] } }, 'Service'],
      [`${core}/persistentvolumeclaims`, { metadata: { name: 'x' }, spec: claim }, 'PersistentVolumeClaim'],
      ['/api/v1/persistentvolumes', { metadata: { name: 'x' }, spec: volume }, 'PersistentVolume'],
      [`${core}/serviceaccounts`, { metadata: { name: 'x' } }, 'ServiceAccount'],
      [`${core}/resourcequotas`, { metadata: { name: 'x' }, spec: {} }, 'ResourceQuota'],
      [`${core}/podtemplates`, { metadata: { name: 'x' }, template: { spec: pod('y').spec } }, 'PodTemplate'],
      ['/apis/storage.k8s.io/v1/storageclasses', { metadata: { name: 'x' }, provisioner: 'a/b' }, 'StorageClass'],
      [`${core}/secrets`, { metadata: { name: 'x' } }, 'Status'],
      [deployments, deployment('x'), 'Status'],
    ] as const;
    for (const [path, object, kind] of cases) {
      await make(server, path, object);
      assert.equal((await server.call('DELETE', `${path}/x`)).body.kind, kind, path);
    }
  });

  test('a pod that nobody runs goes at once; a negative grace is a second', async () => {
    await using server = await openTestServer();
    await make(server, pods, pod('a'), pod('b', { nodeName: 'n' }), pod('c', { nodeName: 'n' }));
    await server.call('DELETE', `${pods}/a`);
    assert.equal((await server.call('GET', `${pods}/a`)).code, 404);
    await server.call('PATCH', `${pods}/b/status`, { status: { phase: 'Succeeded' } }, merge);
    await server.call('DELETE', `${pods}/b`);
    assert.equal((await server.call('GET', `${pods}/b`)).code, 404);
    const negative = await server.call('DELETE', `${pods}/c?gracePeriodSeconds=-5`);
    assert.equal(negative.body.metadata.deletionGracePeriodSeconds, 1);
    assert.ok(negative.body.metadata.generation >= 1);
  });

  test('events go at once, whatever is said of their dependents', async () => {
    await using server = await openTestServer();
    const events = '/api/v1/namespaces/default/events';
    for (const policy of ['Orphan', 'Foreground']) {
      const involvedObject = { kind: 'Pod', namespace: 'default', name: 'a' };
      assert.equal((await server.call('POST', events, { metadata: { name: 'e' }, involvedObject })).code, 201);
      await server.call('DELETE', `${events}/e?propagationPolicy=${policy}`);
      assert.equal((await server.call('GET', `${events}/e`)).code, 404, policy);
    }
  });

  test('grace gets shorter only, and never ends before now', async () => {
    await using server = await openTestServer();
    await make(server, pods, pod('a', { nodeName: 'n' }));
    const deleted = async (seconds: number) => {
      const { metadata } = (await server.call('DELETE', `${pods}/a?gracePeriodSeconds=${seconds}`)).body;
      return [Date.parse(metadata.deletionTimestamp), metadata.deletionGracePeriodSeconds];
    };
    const startMs = Math.floor(server.clock.now() / 1000) * 1000;
    assert.deepEqual(await deleted(60), [startMs + 60_000, 60]);
    assert.deepEqual(await deleted(90), [startMs + 60_000, 60]);
    await server.clock.advance(10_000);
    assert.deepEqual(await deleted(30), [startMs + 30_000, 30]);
    await server.clock.advance(10_000);
    assert.deepEqual(await deleted(5), [startMs + 20_000, 1], 'what has passed already ends now');
  });

  test('a collection goes by labels, fields and pages, and holds what is not gone yet', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'), map('b', { finalizers: ['x.y/z'] }), map('c'), map('d', { labels: { l: '1' } }));
    const deleted = async (query: string) => {
      const { code, body } = await server.call('DELETE', `${maps}?${query}`);
      assert.equal(code, 200);
      assert.equal(body.kind, 'ConfigMapList');
      return body.items.map((each: { metadata: { name: string } }) => each.metadata.name).join('');
    };
    assert.equal(await deleted('labelSelector=l%3D1'), 'd');
    assert.equal(await deleted('fieldSelector=metadata.name%3Dc'), 'c');
    assert.equal(await deleted('limit=1'), 'a');
    assert.equal(await deleted(''), 'b');
    assert.ok((await server.call('GET', `${maps}/b`)).body.metadata.deletionTimestamp);
  });
});

describe('subresources', () => {
  test('evictions: other names, no budget, more than one budget, pods that do not run', async () => {
    await using server = await openTestServer();
    const budgets = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
    const eviction = (name: string, apiVersion = 'policy/v1') => ({ apiVersion, kind: 'Eviction', metadata: { name } });
    await make(server, pods, pod('a'), pod('b', { nodeName: 'n' }, { labels: { x: 'y' } }), pod('old'));
    assert.equal((await server.call('POST', `${pods}/a/eviction`, eviction('other'))).code, 400);
    assert.equal((await server.call('POST', `${pods}/none/eviction`, eviction('none'))).code, 404);
    const { code, body } = await server.call('POST', `${pods}/a/eviction`, eviction('a'));
    assert.deepEqual([code, body.kind, body.status], [201, 'Status', 'Success']);
    assert.equal((await server.call('POST', `${pods}/old/eviction`, eviction('old', 'policy/v1beta1'))).code, 201);
    await server.call(
      'PATCH',
      `${pods}/b/status`,
      { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } },
      merge,
    );
    for (const name of ['one', 'two'])
      await make(server, budgets, {
        metadata: { name },
        spec: { minAvailable: 0, selector: { matchLabels: { x: 'y' } } },
      });
    const many = await server.call('POST', `${pods}/b/eviction`, eviction('b'));
    assert.match(
      many.body.message,
      /This pod has more than one PodDisruptionBudget, which the eviction subresource does not support\./,
    );
  });

  test('bindings name a node, and carry labels and annotations', async () => {
    await using server = await openTestServer();
    await make(server, pods, pod('a'), pod('b'));
    const binding = (name: string, target: object = { kind: 'Node', name: 'n' }) => ({
      metadata: { name, annotations: { k: 'v' } },
      target,
    });
    assert.equal((await server.call('POST', `${pods}/a/binding`, binding('a', { kind: 'Pod', name: 'n' }))).code, 500);
    const other = { ...binding('a'), metadata: { name: 'a', uid: 'x' } };
    refused(
      await server.call('POST', `${pods}/a/binding`, other),
      409,
      'Conflict',
      /Precondition failed: UID in precondition: x, /,
    );
    const bound = await server.call('POST', `${pods}/a/binding`, binding('a'));
    assert.deepEqual([bound.code, bound.body.status], [201, 'Success']);
    const { body } = await server.call('GET', `${pods}/a`);
    assert.deepEqual([body.spec.nodeName, body.metadata.annotations], ['n', { k: 'v' }]);
    const old = await server.call('POST', '/api/v1/namespaces/default/bindings', binding('b'));
    assert.equal(old.code, 201, old.text);
    refused(
      await server.call('POST', `${pods}/a/binding`, binding('a')),
      409,
      'Conflict',
      /pod a is already assigned to node "n"$/,
    );
  });

  test('resize changes resources, and nothing else', async () => {
    await using server = await openTestServer();
    const resources = { requests: { cpu: '1', memory: '1Gi' }, limits: { cpu: '2', memory: '2Gi' } };
    const containers = [{ name: 'c', image: 'i', resources }];
    await make(server, pods, pod('a', { nodeName: 'n', containers }));
    const resize = (container: object) =>
      server.call(
        'PATCH',
        `${pods}/a/resize`,
        { spec: { containers: [{ name: 'c', image: 'i', ...container }] } },
        merge,
      );
    const more = { ...resources, requests: { cpu: '1500m', memory: '1Gi' } };
    const ok = await resize({ resources: more });
    assert.equal(ok.code, 200, ok.text);
    assert.deepEqual([ok.body.spec.containers[0].resources.requests.cpu, ok.body.metadata.generation], ['1500m', 2]);
    const other = await resize({ resources: more, image: 'other' });
    assert.deepEqual([other.code, other.body.spec.containers[0].image], [200, 'i']);
    for (const [container, message] of [
      [
        { name: 'd', resources: more },
        'spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize',
      ],
      [
        { resources: { requests: more.requests } },
        'spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed',
      ],
    ] as const)
      refused(await resize(container), 422, 'Invalid', `Pod "a" is invalid: ${message}`);
  });

  test('namespaces are finalized by PUT; scale goes through autoscaling/v1', async () => {
    await using server = await openTestServer();
    await make(server, '/api/v1/namespaces', { metadata: { name: 'n' } });
    assert.equal((await server.call('PATCH', '/api/v1/namespaces/n/finalize', {}, merge)).code, 405);
    await make(server, deployments, deployment('d'));
    const { body } = await server.call('GET', `${deployments}/d/scale`);
    assert.deepEqual(
      [body.apiVersion, body.kind, body.metadata.name, body.metadata.namespace, body.spec, body.status],
      ['autoscaling/v1', 'Scale', 'd', 'default', { replicas: 2 }, { replicas: 0, selector: 'app=d' }],
    );
    assert.equal(
      (
        await server.call('PUT', `${deployments}/d/scale`, {
          ...body,
          metadata: { ...body.metadata, resourceVersion: '1' },
        })
      ).code,
      409,
    );
  });
});

describe('beside the resources', () => {
  const served = () =>
    openTestServer({
      rawPaths: registry =>
        discoveryPaths({
          kinds: () => registry.kinds,
          onChange: listen => registry.onChange(listen),
          serverAddress: '127.0.0.1',
        }),
    });

  test('discovery of old: versions, groups, resources, with and without a slash', async () => {
    await using server = await served();
    assert.equal((await server.call('GET', '/api')).body.kind, 'APIVersions');
    assert.equal((await server.call('GET', '/apis')).body.kind, 'APIGroupList');
    assert.equal((await server.call('GET', '/apis/apps')).body.kind, 'APIGroup');
    for (const path of ['/api/v1', '/api/v1/', '/apis/apps/v1', '/apis/apps/v1/'])
      assert.equal((await server.call('GET', path)).body?.kind, 'APIResourceList', path);
  });

  test('aggregated discovery in protobuf, and for those who only know v2beta1 the old one', async () => {
    await using server = await served();
    const protobuf = await server.call('GET', '/apis', undefined, {
      accept: 'application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
    });
    assert.equal(protobuf.text.slice(0, 4), 'k8s\0');
    assert.equal(
      protobuf.headers['content-type'],
      'application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
    );
    const beta = await server.call('GET', '/apis', undefined, {
      accept: 'application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json',
    });
    assert.equal(beta.body.kind, 'APIGroupList');
    const local = await server.call('GET', '/apis', undefined, {
      accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer',
    });
    assert.equal(local.body.kind, 'APIGroupDiscoveryList');
  });

  test('the version has all its fields, as strings', async () => {
    await using server = await openTestServer();
    const { body } = await server.call('GET', '/version');
    const fields =
      'buildDate compiler emulationMajor emulationMinor gitCommit gitTreeState gitVersion goVersion major minCompatibilityMajor minCompatibilityMinor minor platform';
    assert.deepEqual(Object.keys(body).sort(), fields.split(' '));
    assert.match(body.minor, /^\d+$/);
    assert.match(body.gitVersion, /^v1\.36\.\d+/);
    assert.ok(Object.values(body).every(value => typeof value === 'string'));
  });

  test('health: short, verbose, without some, of one, and when something is wrong', async () => {
    await using server = await openTestServer();
    for (const path of ['/healthz', '/livez', '/readyz']) {
      const short = await server.call('GET', path);
      assert.deepEqual([short.code, short.text], [200, 'ok'], path);
      assert.match(String(short.headers['content-type']), /^text\/plain/);
      const verbose = await server.call('GET', `${path}?verbose`);
      assert.match(verbose.text, new RegExp(`^\\[\\+\\]ping ok\n[\\s\\S]*${path.slice(1)} check passed\n$`));
      const without = await server.call('GET', `${path}?verbose&exclude=ping&exclude=log`);
      assert.match(without.text, /\[\+\]ping excluded: ok\n\[\+\]log excluded: ok\n/);
      assert.equal((await server.call('GET', `${path}/ping`)).text, 'ok');
    }
    assert.match(
      (await server.call('GET', '/readyz?verbose')).text,
      /\[\+\]etcd-readiness ok\n[\s\S]*\[\+\]informer-sync ok[\s\S]*\[\+\]poststarthook\/crd-informer-synced ok/,
    );
    const check = () => Promise.reject(new Error('secret'));
    await using ill = await openTestServer({ healthChecks: [{ name: 'ill', in: ['livez'], check }] });
    const { code, text } = await ill.call('GET', '/livez');
    assert.equal(code, 500);
    assert.match(text, /\[-\]ill failed: reason withheld\n[\s\S]*livez check failed\n$/);
    assert.equal((await ill.call('GET', '/readyz')).code, 200);
    assert.equal((await ill.call('GET', '/livez?exclude=ill')).code, 200);
  });

  test('metrics that dashboards look for', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    await server.call('GET', maps);
    const { text } = await server.call('GET', '/metrics');
    for (const name of [
      'apiserver_request_total',
      'apiserver_request_duration_seconds_bucket',
      'apiserver_resource_objects',
    ])
      assert.ok(text.includes(name), name);
    // Who has not been asked for is asked now.
    assert.match(
      (await server.call('GET', '/metrics/slis')).text,
      /kubernetes_healthcheck\{name="ping",type="livez"\} 1\n/,
    );
    assert.match(
      (await server.call('GET', '/metrics/slis')).text,
      /kubernetes_healthcheck\{name="etcd",type="readyz"\} 1\n[\s\S]*kubernetes_healthchecks_total\{name="etcd",status="success",type="readyz"\} 1\n/,
    );
  });
});

test('the oldest kinds leave what depends on them, when nothing is said of it', async () => {
  await using server = await openTestServer();
  const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
  const jobs = '/apis/batch/v1/namespaces/default/jobs';
  const job = { spec: { template: { ...template, spec: { ...template.spec, restartPolicy: 'Never' } } } };
  const controllers = '/api/v1/namespaces/default/replicationcontrollers';
  await server.call('POST', controllers, { metadata: { name: 'a' }, spec: { selector: { a: 'b' }, template } });
  const left = await server.call('DELETE', `${controllers}/a`);
  assert.deepEqual([left.body.metadata.finalizers, left.headers['warning']], [['orphan'], undefined]);
  for (const name of ['a', 'b']) await server.call('POST', jobs, { metadata: { name }, ...job });
  const warned = await server.call('DELETE', `${jobs}/a`);
  assert.deepEqual(warned.body.metadata.finalizers, ['orphan']);
  assert.match(String(warned.headers['warning']), /child pods are preserved by default when jobs are deleted/);
  const told = await server.call('DELETE', `${jobs}/b?propagationPolicy=Background`);
  assert.deepEqual([told.body.status, told.headers['warning']], ['Success', undefined]);
});
