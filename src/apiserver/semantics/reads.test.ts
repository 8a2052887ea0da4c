/** Get, list, selectors and watch: reference sections 3 to 5. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Answer, openTestServer, requestOf, type TestServer } from '../test-server.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const pods = '/api/v1/namespaces/default/pods';
const map = (name: string, metadata: object = {}) => ({ metadata: { name, ...metadata }, data: { a: 'b' } });
const names = (answer: Answer) => answer.body.items.map((each: { metadata: { name: string } }) => each.metadata.name);
const merge = { 'content-type': 'application/merge-patch+json' };

async function make(server: TestServer, path: string, ...objects: object[]): Promise<void> {
  for (const object of objects) {
    const made = await server.call('POST', path, object);
    assert.equal(made.code, 201, made.text);
  }
}

function refused(answer: Answer, code: number, reason: string, message: string): void {
  assert.deepEqual([answer.body?.message, answer.body?.reason, answer.code], [message, reason, code], answer.text);
}

describe('get', () => {
  test('may ask for at least a version', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    for (const version of ['', '0', '1', '2'])
      assert.equal((await server.call('GET', `${maps}/a?resourceVersion=${version}`)).code, 200, version);
    const late = server.call('GET', `${maps}/a?resourceVersion=50`);
    await server.clock.advance(3_000);
    assert.equal((await late).code, 504);
  });

  test('of a named object is a get, whatever watch says', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const { code, body } = await server.call('GET', `${maps}/a?watch=true`);
    assert.deepEqual([code, body.kind, body.metadata.name], [200, 'ConfigMap', 'a']);
  });

  test('knows no export', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    refused(
      await server.call('GET', `${maps}/a?export=true`),
      400,
      'BadRequest',
      'the export parameter, deprecated since v1.14, is no longer supported',
    );
  });
});

describe('lists', () => {
  test('combinations of options that make no sense are refused in upstream words', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'), map('b'));
    const token = (await server.call('GET', `${maps}?limit=1`)).body.metadata.continue;
    const invalid = 'ListOptions.meta.k8s.io "" is invalid';
    const match = 'resourceVersionMatch: Forbidden: resourceVersionMatch';
    const cases = [
      ['resourceVersionMatch=Exact', `${invalid}: ${match} is forbidden unless resourceVersion is provided`],
      [
        `resourceVersionMatch=Exact&resourceVersion=2&continue=${token}`,
        `${invalid}: ${match} is forbidden when continue is provided`,
      ],
      [
        'resourceVersionMatch=Exact&resourceVersion=0',
        `${invalid}: ${match} "exact" is forbidden for resourceVersion "0"`,
      ],
      ['sendInitialEvents=true', `${invalid}: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list`],
      [
        'resourceVersionMatch=Odd&resourceVersion=2',
        `${invalid}: resourceVersionMatch: Unsupported value: "Odd": supported values: "Exact", "NotOlderThan", ""`,
      ],
    ] as const;
    for (const [query, message] of cases)
      refused(await server.call('GET', `${maps}?${query}`), 422, 'Invalid', message);
  });

  test('a version that is no number is 400 for a list and 500 for a watch', async () => {
    await using server = await openTestServer();
    const list = await server.call('GET', `${maps}?resourceVersion=x`);
    assert.deepEqual([list.code, list.body.reason], [400, 'BadRequest']);
    assert.match(list.body.message, /^invalid resource version: /i);
    const watch = await server.call('GET', `${maps}?watch=1&resourceVersion=x`);
    assert.deepEqual([watch.code, watch.body.reason], [500, undefined]);
  });

  test('a version of the future is waited for, then 504 with what client-go looks for', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const waiting = server.call('GET', `${maps}?resourceVersion=99`);
    await server.clock.advance(3_000);
    const { code, body, headers } = await waiting;
    assert.deepEqual([code, headers['retry-after']], [504, '1']);
    assert.equal(body.reason, 'Timeout');
    assert.equal(body.message, 'Timeout: Too large resource version: 99, current: 2');
    assert.equal(body.details.retryAfterSeconds, 1);
    assert.deepEqual(body.details.causes, [
      { reason: 'ResourceVersionTooLarge', message: 'Too large resource version' },
    ]);
    const soon = server.call('GET', `${maps}?resourceVersion=3`);
    await make(server, maps, map('b'));
    assert.deepEqual(names(await soon), ['a', 'b']);
  });

  test('what is compacted cannot be listed any more', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'), map('b'), map('c'));
    await server.server.cache.compact(3);
    const { code, body } = await server.call('GET', `${maps}?resourceVersion=2&resourceVersionMatch=Exact`);
    assert.deepEqual([code, body.reason], [410, 'Expired']);
  });

  test('versions are one counter of plain numbers', async () => {
    await using server = await openTestServer();
    const version = async (path: string, object: object) =>
      BigInt((await server.call('POST', path, object)).body.metadata.resourceVersion);
    const first = await version(maps, map('a'));
    const second = await version('/api/v1/namespaces/default/secrets', { metadata: { name: 's' } });
    const third = await version(maps, map('b'));
    assert.ok(first < second && second < third);
    assert.match(String(first), /^[1-9]\d*$/);
  });

  test('a continue token is upstream’s', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'), map('b'));
    const { metadata } = (await server.call('GET', `${maps}?limit=1`)).body;
    assert.doesNotMatch(metadata.continue, /[=+/]/);
    assert.deepEqual(JSON.parse(Buffer.from(metadata.continue, 'base64url').toString()), {
      v: 'meta.k8s.io/v1',
      rv: 3,
      start: 'a\0',
    });
    assert.equal(metadata.remainingItemCount, 1);
    const selected = await server.call('GET', `${maps}?limit=1&labelSelector=!x`);
    assert.equal(selected.body.metadata.remainingItemCount, undefined);
    refused(
      await server.call('GET', `${maps}?continue=${metadata.continue}&resourceVersion=2`),
      400,
      'BadRequest',
      'specifying resource version is not allowed when using continue',
    );
    assert.deepEqual(names(await server.call('GET', `${maps}?continue=${metadata.continue}&resourceVersion=0`)), ['b']);
  });

  test('an expired token comes with one that goes on', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'), map('b'));
    const token = (await server.call('GET', `${maps}?limit=1`)).body.metadata.continue;
    await make(server, maps, map('c'));
    await server.server.cache.compact(4);
    const { code, body } = await server.call('GET', `${maps}?continue=${token}`);
    assert.deepEqual([code, body.reason], [410, 'Expired']);
    assert.match(body.message, /^The provided continue parameter is too old to display a consistent list result\./);
    const fresh = JSON.parse(Buffer.from(body.metadata.continue, 'base64url').toString());
    assert.equal(fresh.rv, -1);
    assert.deepEqual(names(await server.call('GET', `${maps}?continue=${body.metadata.continue}`)), ['b', 'c']);
  });

  test('shards of lists are an alpha feature that is off: the parameter is not looked at', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    assert.deepEqual(names(await server.call('GET', `${maps}?shardSelector=x`)), ['a']);
  });
});

describe('selectors', () => {
  test('a field that the kind does not know is 400, in the words of its kind', async () => {
    await using server = await openTestServer();
    refused(
      await server.call('GET', `${maps}?fieldSelector=spec.x%3Dy`),
      400,
      'BadRequest',
      '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"',
    );
    refused(
      await server.call('GET', `${pods}?fieldSelector=spec.x%3Dy`),
      400,
      'BadRequest',
      'field label not supported: spec.x',
    );
  });

  test('a selector beside a name has to name the same object', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'), map('b'));
    const path = '/api/v1/watch/namespaces/default/configmaps/a?fieldSelector=';
    const message = "fieldSelector metadata.name doesn't match requested name";
    for (const selector of ['metadata.name%3Db', 'metadata.namespace%3Ddefault'])
      refused(await server.call('GET', `${path}${selector}`), 400, 'BadRequest', message);
    const watch = await server.watch(`${path}metadata.name%3Da`);
    assert.deepEqual(
      watch.events.map(each => each.object.metadata.name),
      ['a'],
    );
    watch.close();
  });

  test('labels: every operator', async () => {
    await using server = await openTestServer();
    await make(
      server,
      maps,
      map('a', { labels: { k: '1' } }),
      map('b', { labels: { k: '2' } }),
      map('c', { labels: { k: 'x' } }),
      map('d'),
    );
    const found = async (selector: string) =>
      names(await server.call('GET', `${maps}?labelSelector=${encodeURIComponent(selector)}`)).join('');
    const cases = [
      ['k=1', 'a'],
      ['k==1', 'a'],
      ['k!=1', 'bcd'],
      ['k in (1,x)', 'ac'],
      ['k notin (1,x)', 'bd'],
      ['k', 'abc'],
      ['!k', 'd'],
      ['k,k!=1', 'bc'],
      ['k>1', 'b'],
      ['k<2', 'a'],
      ['', 'abcd'],
    ] as const;
    for (const [selector, expected] of cases) assert.equal(await found(selector), expected, selector);
    const bad = await server.call('GET', `${maps}?labelSelector=${encodeURIComponent('a b')}`);
    assert.equal(bad.code, 400);
    assert.match(bad.body.message, /unable to parse requirement|found 'b', expected/);
  });

  test('fields: operators, escapes, and what a pod has by default', async () => {
    await using server = await openTestServer();
    const pod = (name: string, spec: object = {}) => ({
      metadata: { name },
      spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
    });
    await make(server, pods, pod('a'), pod('b', { nodeName: 'n' }));
    const found = async (selector: string) =>
      names(await server.call('GET', `${pods}?fieldSelector=${encodeURIComponent(selector)}`)).join('');
    assert.equal(await found('status.phase=Pending'), 'ab');
    assert.equal(await found('status.phase==Pending,spec.nodeName='), 'a');
    assert.equal(await found('spec.nodeName!='), 'b');
    assert.equal(await found('spec.host=n'), 'b');
    assert.equal(await found('metadata.name=a'), 'a');
    assert.equal(await found('metadata.name!=a,metadata.namespace=default'), 'b');
    assert.equal(await found(String.raw`metadata.name=a\,b`), '');
    assert.equal((await server.call('GET', `${pods}?fieldSelector=${encodeURIComponent('metadata.name')}`)).code, 400);
    assert.equal(
      (await server.call('GET', `${pods}?fieldSelector=${encodeURIComponent('metadata.name in (a)')}`)).code,
      400,
    );
  });

  test('Events are found by what they are about', async () => {
    await using server = await openTestServer();
    const events = '/api/v1/namespaces/default/events';
    const about = (name: string) => ({
      metadata: { name },
      involvedObject: { kind: 'Pod', name, namespace: 'default', uid: `u-${name}` },
      reason: `R${name}`,
      type: 'Normal',
    });
    await make(server, events, about('a'), about('b'));
    for (const selector of [
      'involvedObject.name=a',
      'involvedObject.uid=u-a',
      'reason=Ra',
      'involvedObject.kind=Pod,reason=Ra',
    ])
      assert.deepEqual(
        names(await server.call('GET', `${events}?fieldSelector=${encodeURIComponent(selector)}`)),
        ['a'],
        selector,
      );
    const other = await server.call(
      'GET',
      `/apis/events.k8s.io/v1/namespaces/default/events?fieldSelector=${encodeURIComponent('regarding.name=a')}`,
    );
    assert.deepEqual(names(other), ['a']);
  });
});

describe('watches', () => {
  test('say what they are: JSON, protobuf, no YAML', async () => {
    await using server = await openTestServer();
    const typeFor = async (accept: string) => {
      const abort = new AbortController();
      const response = await server.server.handle(
        requestOf('GET', `${maps}?watch=1`, undefined, { accept }, abort.signal),
      );
      abort.abort();
      return response.headers['content-type'];
    };
    assert.equal(await typeFor('application/json'), 'application/json');
    assert.equal(await typeFor('application/json;stream=watch'), 'application/json');
    assert.equal(
      await typeFor('application/vnd.kubernetes.protobuf'),
      'application/vnd.kubernetes.protobuf;stream=watch',
    );
    assert.equal((await server.call('GET', `${maps}?watch=1`, undefined, { accept: 'application/yaml' })).code, 406);
  });

  test('protobuf frames: a length, then an event whose object has the magic', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const accept = 'application/vnd.kubernetes.protobuf';
    const abort = new AbortController();
    const response = await server.server.handle(
      requestOf('GET', `${maps}?watch=1`, undefined, { accept }, abort.signal),
    );
    const chunks: Uint8Array[] = [];
    assert.ok(response.kind === 'watch');
    response.watch.toBytes({ push: bytes => chunks.push(bytes) > 0, end: () => {} });
    const frame = Buffer.concat(chunks);
    abort.abort();
    assert.equal(frame.readUInt32BE(0), frame.length - 4);
    assert.equal(frame.subarray(4, 11).toString(), '\n\x05ADDED');
    assert.notEqual(frame.subarray(4, 8).toString(), 'k8s\0');
    assert.ok(frame.includes('k8s\0'));
  });

  test('what is too old is an event, in upstream words', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'), map('b'), map('c'));
    await server.server.cache.compact(4);
    const watch = await server.watch(`${maps}?watch=1&resourceVersion=2`);
    const [event] = watch.events;
    assert.deepEqual(
      [watch.code, event.type, event.object.kind, event.object.code, event.object.reason, watch.ended],
      [200, 'ERROR', 'Status', 410, 'Expired', true],
    );
    assert.match(
      event.object.message,
      /^too old resource version: 2 \(\d+\)$|^The resourceVersion for the provided watch is too old\.$/,
    );
  });

  test('from a number: what came after it; from 0: what is there; of one object by its name', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'), map('b'));
    const seen = async (query: string) => {
      const watch = await server.watch(`${maps}?watch=1&${query}`);
      watch.close();
      return watch.events.map(each => `${each.type} ${each.object.metadata.name}`);
    };
    assert.deepEqual(await seen(''), ['ADDED a', 'ADDED b']);
    assert.deepEqual(await seen('resourceVersion=0'), ['ADDED a', 'ADDED b']);
    assert.deepEqual(await seen('resourceVersion=2'), ['ADDED b']);
    assert.deepEqual(await seen('resourceVersion=3'), []);
    assert.deepEqual(await seen('fieldSelector=metadata.name%3Db'), ['ADDED b']);
  });

  test('what is deleted carries its last state and the version of the deletion', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const watch = await server.watch(`${maps}?watch=1&resourceVersion=2`);
    await server.call('DELETE', `${maps}/a`);
    const [event] = watch.events;
    assert.deepEqual(
      [event.type, event.object.data, event.object.metadata.resourceVersion],
      ['DELETED', { a: 'b' }, '3'],
    );
    watch.close();
  });

  test('end cleanly after timeoutSeconds, and without it between half an hour and an hour', async () => {
    await using server = await openTestServer();
    const short = await server.watch(`${maps}?watch=1&timeoutSeconds=5`);
    const long = await server.watch(`${maps}?watch=1`);
    await server.clock.advance(4_999);
    assert.equal(short.ended, false);
    await server.clock.advance(1);
    assert.equal(short.ended, true);
    await server.clock.advance(1_800_000 - 5_001);
    assert.equal(long.ended, false);
    await server.clock.advance(1_800_001);
    assert.equal(long.ended, true);
  });

  test('initial events: what they need, and what they end with', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'));
    const invalid = 'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden';
    refused(
      await server.call('GET', `${maps}?watch=1&sendInitialEvents=true`),
      422,
      'Invalid',
      `${invalid}: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan`,
    );
    refused(
      await server.call('GET', `${maps}?watch=1&resourceVersionMatch=NotOlderThan`),
      422,
      'Invalid',
      `${invalid}: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided`,
    );
    for (const version of ['', '0', '2']) {
      const query = `watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=${version}`;
      const watch = await server.watch(`${maps}?${query}`);
      await server.call('PATCH', `${maps}/a`, { data: { more: version } }, merge);
      assert.deepEqual(watch.events.map(each => each.type).slice(0, 2), ['ADDED', 'BOOKMARK'], version);
      assert.equal(watch.events[1].object.metadata.annotations['k8s.io/initial-events-end'], 'true');
      assert.equal(watch.events[2]?.type, 'MODIFIED', version);
      watch.close();
    }
  });

  test('the deprecated paths: of one object, of a namespace, of all', async () => {
    await using server = await openTestServer();
    await make(server, maps, map('a'), map('b'));
    for (const [path, expected] of [
      ['/api/v1/watch/namespaces/default/configmaps/a', 'a'],
      ['/api/v1/watch/namespaces/default/configmaps', 'ab'],
      ['/api/v1/watch/configmaps', 'ab'],
    ] as const) {
      const watch = await server.watch(path);
      assert.equal(watch.events.map(each => each.object.metadata.name).join(''), expected);
      watch.close();
    }
  });
});
