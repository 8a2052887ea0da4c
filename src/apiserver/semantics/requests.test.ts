/** What holds for every request and every answer: reference sections 1 and 2. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errors } from '#api/machinery/errors.ts';
import type { Attributes } from '#auth/authorization/authorizer.ts';
import { alwaysAllow } from '#auth/authorization/always-allow.ts';
import { type Answer, openTestServer } from '../test-server.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const map = (name: string, more: object = {}) => ({ metadata: { name, ...more }, data: { a: 'b' } });

function refused(answer: Answer, code: number, reason: string, message: string): void {
  assert.deepEqual([answer.body?.message, answer.body?.reason, answer.code], [message, reason, code], answer.text);
}

/** A server that writes down what its authorizer is asked. */
async function listening() {
  const asked: Attributes[] = [];
  const server = await openTestServer({
    authorizer: {
      name: 'ear',
      authorize: (attributes: Attributes) => {
        asked.push(attributes);
        return alwaysAllow.authorize(attributes);
      },
    },
  });
  const last = async (method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string) => {
    asked.length = 0;
    await server.call(method, path);
    return asked[0] as Attributes;
  };
  return { server, last };
}

describe('what a request is, is read from its method and path', () => {
  test('verbs, names, subresources and what is no resource', async () => {
    const { server, last } = await listening();
    await using _ = server;
    const cases = [
      ['GET', maps, 'list', 'configmaps', '', ''],
      ['GET', `${maps}?watch=0`, 'list', 'configmaps', '', ''],
      ['GET', `${maps}/a`, 'get', 'configmaps', '', 'a'],
      ['POST', maps, 'create', 'configmaps', '', ''],
      ['PUT', `${maps}/a`, 'update', 'configmaps', '', 'a'],
      ['PATCH', `${maps}/a`, 'patch', 'configmaps', '', 'a'],
      ['DELETE', `${maps}/a`, 'delete', 'configmaps', '', 'a'],
      ['DELETE', maps, 'deletecollection', 'configmaps', '', ''],
      ['GET', `${maps}?fieldSelector=metadata.name%3Da`, 'list', 'configmaps', '', 'a'],
      ['GET', '/api/v1/namespaces/n/status', 'get', 'namespaces', 'status', 'n'],
      ['PUT', '/api/v1/namespaces/n/finalize', 'update', 'namespaces', 'finalize', 'n'],
      ['GET', '/api/v1/namespaces/n', 'get', 'namespaces', '', 'n'],
      ['GET', '/api/v1/namespaces', 'list', 'namespaces', '', ''],
    ] as const;
    for (const [method, path, verb, resource, subresource, name] of cases) {
      const seen = await last(method, path);
      assert.deepEqual(
        [seen.verb, seen.resource, seen.subresource, seen.name],
        [verb, resource, subresource, name],
        path,
      );
    }
    for (const path of ['/version', '/api', '/api/v1', '/apis', '/apis/apps', '/apis/apps/v1']) {
      const { resourceRequest, verb } = await last('GET', path);
      assert.deepEqual([resourceRequest, verb], [false, 'get'], path);
    }
  });

  test('what watch cannot be read from asks for a watch', async () => {
    const { server, last } = await listening();
    await using _ = server;
    for (const value of ['1', 'true', 'maybe', ''])
      assert.equal((await last('GET', `${maps}?watch=${value}&timeoutSeconds=x`)).verb, 'watch', value);
    for (const value of ['false', '0']) assert.equal((await last('GET', `${maps}?watch=${value}`)).verb, 'list', value);
  });

  test('authorizers see the selectors', async () => {
    const { server, last } = await listening();
    await using _ = server;
    const seen = await last('GET', `${maps}?labelSelector=a%3Db&fieldSelector=metadata.name%3Dx`);
    assert.deepEqual([seen.labelSelector, seen.fieldSelector], ['a=b', 'metadata.name=x']);
  });
});

describe('errors', () => {
  test('are Status objects, whole', async () => {
    await using server = await openTestServer();
    assert.deepEqual((await server.call('GET', `${maps}/none`)).body, {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: 'configmaps "none" not found',
      reason: 'NotFound',
      details: { name: 'none', kind: 'configmaps' },
      code: 404,
    });
    const { body } = await server.call('GET', '/apis/apps/v1/namespaces/default/deployments/none');
    assert.deepEqual(
      [body.message, body.details],
      ['deployments.apps "none" not found', { name: 'none', group: 'apps', kind: 'deployments' }],
    );
  });

  test('come in the form that was asked for', async () => {
    await using server = await openTestServer();
    const yaml = await server.call('GET', `${maps}/none`, undefined, { accept: 'application/yaml' });
    assert.match(yaml.text, /^apiVersion: v1\ncode: 404\n/);
    const protobuf = await server.call('GET', `${maps}/none`, undefined, {
      accept: 'application/vnd.kubernetes.protobuf',
    });
    assert.equal(protobuf.text.slice(0, 4), 'k8s\0');
    assert.equal(protobuf.headers['content-type'], 'application/vnd.kubernetes.protobuf');
    const table = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
    assert.equal((await server.call('GET', `${maps}/none`, undefined, table)).body.kind, 'Status');
  });

  test('of an Accept that nobody can serve stay what they are, in JSON', async () => {
    await using server = await openTestServer();
    const answer = await server.call('GET', `${maps}/none`, undefined, { accept: 'text/html' });
    assert.deepEqual([answer.code, answer.body.reason], [406, 'NotAcceptable']);
  });

  test('401 says nothing more', async () => {
    await using server = await openTestServer({
      authenticate: () => {
        throw errors.unauthorized();
      },
    });
    refused(await server.call('GET', maps), 401, 'Unauthorized', 'Unauthorized');
    refused(await server.call('GET', '/nothing'), 401, 'Unauthorized', 'Unauthorized');
  });

  test('403 names user, verb, resource and place, with markup escaped', async () => {
    await using server = await openTestServer({
      authorizer: { name: 'no', authorize: () => ({ decision: 'noOpinion', reason: 'because' }) },
      authenticate: () => ({ name: '<u>', uid: '', groups: [], extra: new Map() }) as never,
    });
    const user = 'User "&lt;u&gt;" cannot';
    const cases = [
      [
        `${maps}/a`,
        `configmaps "a" is forbidden: ${user} get resource "configmaps" in API group "" in the namespace "default"`,
      ],
      ['/api/v1/nodes', `nodes is forbidden: ${user} list resource "nodes" in API group "" at the cluster scope`],
      [
        '/apis/apps/v1/namespaces/n/deployments/d/scale',
        `deployments.apps "d" is forbidden: ${user} get resource "deployments/scale" in API group "apps" in the namespace "n"`,
      ],
      ['/x<y', `forbidden: ${user} get path "/x&lt;y"`],
    ] as const;
    for (const [path, message] of cases) {
      const answer = await server.call('GET', path);
      refused(answer, 403, 'Forbidden', `${message}: because`);
      assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    }
  });

  test('404: a known group has a Status, an unknown path plain text', async () => {
    await using server = await openTestServer();
    const message = 'the server could not find the requested resource';
    refused(await server.call('GET', '/api/v1/nothings'), 404, 'NotFound', message);
    const plain = await server.call('GET', '/nothing');
    assert.deepEqual([plain.code, plain.text], [404, '404 page not found\n']);
  });
});

test('JSON is indented for people: by parameter, by Accept, for browsers, curl and Wget', async () => {
  await using server = await openTestServer();
  await server.call('POST', maps, map('a'));
  const indented = async (path: string, headers: Record<string, string>) =>
    (await server.call('GET', path, undefined, headers)).text.startsWith('{\n  "');
  assert.ok(await indented(`${maps}/a?pretty=true`, {}));
  assert.ok(await indented(`${maps}/a?pretty=1`, {}));
  assert.ok(await indented(`${maps}/a`, { accept: 'application/json;pretty=1' }));
  for (const agent of ['curl/8.0', 'Wget/1.2', 'Mozilla/5.0 (X11)'])
    assert.ok(await indented(`${maps}/a`, { 'user-agent': agent }), agent);
  assert.ok(!(await indented(`${maps}/a?pretty=false`, { 'user-agent': 'curl/8.0' })));
  assert.ok(!(await indented(`${maps}/a`, { 'user-agent': 'kubectl/v1.36.0' })));
});

describe('forms of bodies and answers', () => {
  const media = 'application/json, application/yaml, application/vnd.kubernetes.protobuf';

  test('a body of an unknown type is 415, one without a type JSON', async () => {
    await using server = await openTestServer();
    for (const type of ['text/plain', 'application/cbor'])
      refused(
        await server.call('POST', maps, map('a'), { 'content-type': type }),
        415,
        'UnsupportedMediaType',
        `the body of the request was in an unknown format - accepted media types include: ${media}`,
      );
    assert.equal((await server.call('POST', maps, map('a'), { 'content-type': '' })).code, 201);
    const sized = { 'content-type': 'application/json; charset=utf-8' };
    assert.equal((await server.call('POST', maps, map('b'), sized)).code, 201);
  });

  test('an Accept that nobody can serve is 406, the best of several is taken', async () => {
    await using server = await openTestServer();
    await server.call('POST', maps, map('a'));
    for (const accept of ['text/html', 'application/cbor', 'application/*'])
      refused(
        await server.call('GET', `${maps}/a`, undefined, { accept }),
        406,
        'NotAcceptable',
        `406: Not Acceptable\n\nAvailable representations: ${media}`,
      );
    refused(
      await server.call('GET', `${maps}/a`, undefined, { accept: 'application/json;as=Other' }),
      406,
      'NotAcceptable',
      `only the following media types are accepted: ${media}`,
    );
    const typeFor = async (accept: string) =>
      (await server.call('GET', `${maps}/a`, undefined, { accept })).headers['content-type'];
    assert.equal(await typeFor(''), 'application/json');
    assert.equal(await typeFor('*/*'), 'application/json');
    assert.equal(await typeFor('application/json;q=0.1, application/yaml;q=0.9'), 'application/yaml');
    assert.equal(await typeFor('text/html, application/yaml;q=0.5'), 'application/yaml');
    assert.equal(
      await typeFor('application/vnd.kubernetes.protobuf,application/json'),
      'application/vnd.kubernetes.protobuf',
    );
  });

  test('a Table is JSON or YAML; rows carry what is asked for', async () => {
    await using server = await openTestServer();
    await server.call('POST', maps, map('a'));
    const as = (type: string, version = 'v1') => ({ accept: `${type};as=Table;v=${version};g=meta.k8s.io` });
    const json = as('application/json');
    const { body } = await server.call('GET', maps, undefined, json);
    assert.deepEqual([body.kind, body.apiVersion, body.metadata.resourceVersion], ['Table', 'meta.k8s.io/v1', '2']);
    assert.deepEqual(Object.keys(body.columnDefinitions[0]), ['name', 'type', 'format', 'description', 'priority']);
    assert.equal(body.rows[0].object.kind, 'PartialObjectMetadata');
    const rowOf = async (query: string) => (await server.call('GET', `${maps}?${query}`, undefined, json)).body.rows[0];
    assert.equal((await rowOf('includeObject=None')).object, null);
    assert.deepEqual((await rowOf('includeObject=Object')).object.data, { a: 'b' });
    const beta = await server.call('GET', maps, undefined, as('application/json', 'v1beta1'));
    assert.equal(beta.body.apiVersion, 'meta.k8s.io/v1beta1');
    assert.match(
      (await server.call('GET', maps, undefined, as('application/yaml'))).text,
      /^apiVersion: meta.k8s.io\/v1\n/,
    );
    assert.equal((await server.call('GET', maps, undefined, as('application/vnd.kubernetes.protobuf'))).code, 406);
    await server.call('POST', maps, map('b'));
    const page = (await server.call('GET', `${maps}?limit=1`, undefined, json)).body;
    assert.equal(page.metadata.remainingItemCount, 1);
    assert.ok(page.metadata.continue);
  });

  test('metadata alone comes in every form, in lists and in watches', async () => {
    await using server = await openTestServer();
    await server.call('POST', maps, map('a', { labels: { x: 'y' } }));
    for (const version of ['v1', 'v1beta1']) {
      const as = (name: string) => ({ accept: `application/json;as=${name};v=${version};g=meta.k8s.io` });
      const one = (await server.call('GET', `${maps}/a`, undefined, as('PartialObjectMetadata'))).body;
      assert.deepEqual(
        [one.kind, one.apiVersion, one.metadata.labels, one.data],
        ['PartialObjectMetadata', `meta.k8s.io/${version}`, { x: 'y' }, undefined],
      );
      const watch = await server.watch(`${maps}?watch=1`, as('PartialObjectMetadata'));
      assert.equal(watch.events[0].object.kind, 'PartialObjectMetadata');
      watch.close();
    }
    const protobuf = { accept: 'application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' };
    const list = await server.call('GET', maps, undefined, protobuf);
    assert.match(list.text, /^k8s\0[\s\S]*PartialObjectMetadataList/);
  });

  test('items have no kind; managedFields are there, selfLink and empty times are not', async () => {
    await using server = await openTestServer();
    await server.call('POST', '/api/v1/namespaces/default/podtemplates', {
      metadata: { name: 'a' },
      template: { spec: { containers: [{ name: 'c', image: 'i' }] } },
    });
    const { body, text } = await server.call('GET', '/api/v1/namespaces/default/podtemplates');
    const [item] = body.items;
    assert.deepEqual([item.kind, item.apiVersion, item.metadata.selfLink], [undefined, undefined, undefined]);
    assert.equal(item.metadata.managedFields.length, 1);
    assert.doesNotMatch(text, /"creationTimestamp":null/);
  });

  test('a protobuf body is never asked for unknown fields', async () => {
    await using server = await openTestServer();
    // k8s\0, then Unknown{typeMeta{v1, ConfigMap}, raw: metadata{name: a} and a field 99 that nobody knows}.
    const field = (tag: number, bytes: Buffer) => Buffer.concat([Buffer.from([tag, bytes.length]), bytes]);
    const type = Buffer.concat([field(0x0a, Buffer.from('v1')), field(0x12, Buffer.from('ConfigMap'))]);
    const raw = Buffer.concat([
      field(0x0a, field(0x0a, Buffer.from('a'))),
      Buffer.from([0x9a, 0x06]),
      Buffer.from([1, 0x78]),
    ]);
    const body = Buffer.concat([Buffer.from('k8s\0'), field(0x0a, type), field(0x12, raw)]);
    const answer = await server.call('POST', `${maps}?fieldValidation=Strict`, body, {
      'content-type': 'application/vnd.kubernetes.protobuf',
    });
    assert.equal(answer.code, 201, answer.text);
    assert.equal(answer.body.metadata.name, 'a');
  });
});
