/** Whatever comes in: an answer below 500, soon, and a server that goes on. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Kind } from '#api/machinery/kind.ts';
import { kinds } from '#api/kinds.ts';
import { type Answer, openTestServer, type TestServer } from './test-server.ts';

const reference = new URL('../../../shared/reference/kubernetes-1.36/testdata/', import.meta.url);
const runs = Number(process.env['BAD_INPUT_RUNS'] ?? 400);
const seed = Number(process.env['BAD_INPUT_SEED'] ?? 36);
const maps = '/api/v1/namespaces/default/configmaps';
const slowMs = 5_000;

const served = kinds.filter(each => each.served && each.verbs.length > 0);
const collectionOf = ({ group, version, namespaced, plural }: Kind) =>
  `${group === '' ? '/api' : `/apis/${group}`}/${version}${namespaced ? '/namespaces/default' : ''}/${plural}`;

const endpoints = served.flatMap(kind => {
  const collection = collectionOf(kind);
  const one = `${collection}/a`;
  // What streams has tests of its own: the answer is no document.
  const streams = ['exec', 'attach', 'portforward', 'proxy', 'log'];
  const below = Object.keys(kind.subresources).filter(name => !streams.includes(name));
  return [collection, one, ...below.map(name => `${one}/${name}`)];
});

const contentTypes = [
  'application/json',
  'application/yaml',
  'application/vnd.kubernetes.protobuf',
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
  'text/plain',
];

/** Numbers, texts and shapes that decoders trip over, as JSON text. */
const odd = fc.oneof(
  fc.constantFrom(
    'null',
    'true',
    '-1',
    '1e999',
    '9223372036854775808',
    '-9007199254740993',
    '0.1',
    '""',
    '"\\u0000"',
    '"\\ud800"',
    '[]',
    '{}',
    '[null]',
    '[[[]]]',
    '[{}]',
    '{"__proto__":{"a":1}}',
    '{"constructor":{"prototype":{"a":1}}}',
    '{"":""}',
    `"${'x'.repeat(70_000)}"`,
  ),
  fc.json({ maxDepth: 3 }),
);

/** The server must answer, in time, with something that is not its own failure. */
async function answers(server: TestServer, ...call: Parameters<TestServer['call']>): Promise<Answer> {
  const start = performance.now();
  const answer = await server.call(...call);
  const [method, path, body] = call;
  const what = () => `${answer.text.slice(0, 500)} ← ${method} ${path} ${String(body)}`;
  assert.ok(answer.code < 500 || isUpstreamFailure(answer), what());
  assert.ok(performance.now() - start < slowMs, `slow: ${what()}`);
  return answer;
}

/** Refusals that upstream itself gives the code of a failure; the words say what the client did wrong. */
function isUpstreamFailure({ body }: Answer): boolean {
  const said = [
    'resourceVersion should not be set on objects to be created',
    'failed to create typed patch object',
    'resourceVersion: Invalid value',
    'target.kind: Unsupported value',
    'target.name: Required value',
  ];
  return said.some(each => (body?.message ?? '').includes(each));
}

describe('anything', () => {
  test('bytes of every type, to every endpoint', async () => {
    await using server = await openTestServer();
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 64 }).map(bytes => Buffer.from(bytes)),
      fc.uint8Array({ maxLength: 64 }).map(bytes => Buffer.concat([Buffer.from('k8s\0'), bytes])),
      fc.string({ maxLength: 64 }),
      odd,
      fc.constantFrom(
        '{'.repeat(100_000),
        '['.repeat(100_000),
        '{"a":'.repeat(50_000),
        `${'[ '.repeat(20_000)}${']'.repeat(20_000)}`,
        '- '.repeat(20_000),
        'a: &a [*a, *a]\n',
        '{"metadata":{"name":"a","labels":{"a":1}}}',
        '{"kind":"Status","apiVersion":"v1"}',
        '{"apiVersion":"v1","kind":"List","items":[{}]}',
      ),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...endpoints),
        fc.constantFrom('POST', 'PUT', 'PATCH', 'DELETE'),
        fc.constantFrom(...contentTypes),
        body,
        async (path, method, type, sent) => {
          await answers(server, method, `${path}?fieldManager=m`, sent, { 'content-type': type });
        },
      ),
      { numRuns: runs * 3, seed },
    );
    assert.equal((await server.call('GET', '/readyz')).code, 200);
    assert.equal(({} as { a?: number }).a, undefined, 'no prototype was touched');
  });

  test('queries of every sort: selectors, tokens, versions, numbers', async () => {
    await using server = await openTestServer();
    await server.call('POST', maps, { metadata: { name: 'a', labels: { a: 'b' } } });
    const token = (text: string) => Buffer.from(text).toString('base64url');
    const value = fc.oneof(
      fc.string({ maxLength: 40 }),
      fc.constantFrom(
        '-1',
        '0',
        '1',
        'a=b',
        'a in (',
        '((((',
        'a>1e9',
        'metadata.name=a',
        '=',
        '!',
        ',',
        '\\',
        'x'.repeat(5_000),

        '18446744073709551615',
        '9223372036854775808',
        '99999999999999999999999',
        'NaN',
        '1e3',
        '0x10',
        ' 1',
        '__proto__',
        'constructor=1',
        'a.__proto__=b',
        'true',
        'All',
        'Exact',
        'NotOlderThan',
        'Foreground',
        token('{}'),
        token('{"v":"meta.k8s.io/v1","rv":-1,"start":"../../secrets"}'),
        token('{"v":"meta.k8s.io/v1","rv":1e400,"start":"a"}'),
        token('[['),
      ),
    );
    const names = [
      'labelSelector',
      'fieldSelector',
      'continue',
      'resourceVersion',
      'resourceVersionMatch',
      'limit',
      'pretty',
      'sendInitialEvents',
      'dryRun',
      'fieldManager',
      'fieldValidation',
      'force',
      'gracePeriodSeconds',
      'export',
      'propagationPolicy',
      'orphanDependents',
      'includeObject',
      'timeoutSeconds',
      '__proto__',
    ];
    const query = fc.array(fc.tuple(fc.constantFrom(...names), value), { maxLength: 3 });
    const lists = served.filter(each => each.verbs.includes('list')).map(collectionOf);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(maps, `${maps}/a`, ...lists),
        fc.constantFrom('GET', 'DELETE', 'POST', 'PUT'),
        query,
        async (path, method, pairs) => {
          const text = pairs.map(([name, each]) => `${name}=${encodeURIComponent(each)}`).join('&');
          const body = method === 'POST' || method === 'PUT' ? { metadata: { name: 'a' } } : undefined;
          const called = server.call(method, `${path}?dryRun=All&${text}`, body);
          // A version of the future is waited for: time has to go on.
          let done = false;
          void called.then(() => (done = true));
          for (let turn = 0; turn < 20 && !done; turn++) await new Promise(resolve => setImmediate(resolve));
          if (!done) await server.clock.advance(60_000);
          const answer = await called;
          const isTooLarge = answer.body?.details?.causes?.[0]?.reason === 'ResourceVersionTooLarge';
          assert.ok(answer.code < 500 || isTooLarge, `${method} ${path}?${text} → ${answer.text}`);
        },
      ),
      { numRuns: runs * 2, seed },
    );
  });

  test('headers and paths', async () => {
    await using server = await openTestServer();
    const text = fc.oneof(
      fc.string({ maxLength: 60 }),
      fc.constantFrom(
        '*/*;q=x',
        ';;;,,,',
        'application/json;as=',
        'application/json;as=Table;g=;v=',
        '%',
        '%zz',
        '..',
        '__proto__',
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...endpoints), text, text, text, async (endpoint, accept, type, more) => {
        const headers = { accept, 'content-type': type, 'impersonate-user': '', 'if-none-match': more };
        await answers(server, 'GET', endpoint, undefined, headers);
        await answers(server, 'GET', `${endpoint}/${more.replaceAll('?', '')}`, undefined, { accept });
        await answers(server, 'POST', endpoint, '{}', headers);
      }),
      { numRuns: runs / 2, seed },
    );
  });
});

test('something odd at any field of any kind', { skip: !existsSync(reference) }, async () => {
  const examples = readdirSync(reference)
    .filter(file => file.endsWith('.json'))
    .flatMap(file => {
      const text = readFileSync(new URL(file, reference), 'utf8');
      const { apiVersion = '', kind: name } = JSON.parse(text) as { apiVersion?: string; kind: string };
      const [version = '', group = ''] = apiVersion.split('/').reverse();
      const kind = served.find(each => each.group === group && each.version === version && each.kind === name);
      return kind?.verbs.includes('create') ? [{ kind, text: prepared(text, kind) }] : [];
    });
  assert.ok(examples.length > 50);
  await using server = await openTestServer();
  await fc.assert(
    fc.asyncProperty(fc.nat(examples.length - 1), fc.nat(), odd, fc.nat(3), async (example, at, value, how) => {
      const { kind, text } = examples[example] as (typeof examples)[number];
      const body = replaced(text, at, value);
      const path = collectionOf(kind);
      if (how < 3) await answers(server, 'POST', `${path}?dryRun=All`, body);
      else
        await answers(server, 'PATCH', `${path}/a-b?dryRun=All&fieldManager=m`, body, {
          'content-type': contentTypes[6] as string,
        });
    }),
    { numRuns: runs * 3, seed },
  );
});

function prepared(text: string, kind: Kind): string {
  const object = JSON.parse(text);
  const { resourceVersion: _version, managedFields: _fields, namespace: _namespace, ...metadata } = object.metadata;
  return JSON.stringify({
    ...object,
    metadata: { ...metadata, name: 'a-b', ...(kind.namespaced && { namespace: 'default' }) },
  });
}

/** The text with one value in it, whichever `at` comes to, replaced by another JSON text. */
function replaced(text: string, at: number, value: string): string {
  const places = placesOf(JSON.parse(text));
  const place = places[at % places.length] ?? [];
  const mark = '\uE000';
  const put = (node: unknown, [head, ...rest]: readonly string[]): unknown => {
    if (head === undefined) return mark;
    if (Array.isArray(node)) return node.map((each, index) => (String(index) === head ? put(each, rest) : each));
    return { ...(node as object), [head]: put((node as Record<string, unknown>)[head], rest) };
  };
  return JSON.stringify(put(JSON.parse(text), place)).replace(`"${mark}"`, () => value);
}

function placesOf(node: unknown, at: readonly string[] = []): (readonly string[])[] {
  if (typeof node !== 'object' || node === null) return [at];
  return [at, ...Object.entries(node).flatMap(([key, each]) => placesOf(each, [...at, key]))];
}
