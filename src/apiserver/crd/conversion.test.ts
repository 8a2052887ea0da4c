import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { openTestServer, type TestServer } from '../test-server.ts';

interface Thing {
  apiVersion: string;
  kind: string;
  metadata: Record<string, unknown>;
  spec?: Record<string, unknown>;
}

interface Review {
  readonly apiVersion: string;
  readonly request: { readonly uid: string; readonly desiredAPIVersion: string; readonly objects: readonly Thing[] };
}

let hook: ReturnType<typeof createServer>;
let caBundle: string;
const reviews: Review[] = [];
let answer: (review: Review) => object | undefined;

before(async () => {
  const issuing = { clock: systemClock, random: systemRandom };
  const ca = await issueAuthority({ commonName: 'webhooks', validForMs: 3_600_000 }, issuing);
  const serving = await issue(
    ca,
    { commonName: 'hook', hosts: ['localhost'], usages: ['server'], validForMs: 3_600_000 },
    issuing,
  );
  caBundle = Buffer.from(ca.certPem).toString('base64');
  hook = createServer({ cert: serving.certPem, key: serving.keyPem }, async (request, response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request as AsyncIterable<Uint8Array>) chunks.push(chunk);
    const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
    reviews.push(review);
    const given = answer(review);
    if (!given) return void response.writeHead(500).end();
    response.end(JSON.stringify(given));
  });
  hook.listen(0, '127.0.0.1');
  await once(hook, 'listening');
});

beforeEach(() => {
  reviews.length = 0;
  answer = converted;
});

after(() => {
  hook.closeAllConnections();
  hook.close();
});

/** v1 has `spec.host` as `name:port`, v2 has the two apart. */
function convertThing(thing: Thing, desired: string): Thing {
  const { host = '', port } = (thing.spec ?? {}) as { host?: string; port?: string };
  const [name, number] = host.split(':');
  const spec = desired.endsWith('/v2') ? { host: name, port: number ?? '' } : { host: `${host}:${port ?? ''}` };
  return { ...thing, apiVersion: desired, spec };
}

function converted(review: Review) {
  const { uid, objects, desiredAPIVersion } = review.request;
  const convertedObjects = objects.map(each => convertThing(each, desiredAPIVersion));
  return reviewWith({ uid, result: { status: 'Success' }, convertedObjects }, review.apiVersion);
}

function reviewWith(response: object, apiVersion = 'apiextensions.k8s.io/v1') {
  return { kind: 'ConversionReview', apiVersion, response };
}

function definition(stored: 'v1' | 'v2', more: { reviews?: string[]; caBundle?: string } = {}) {
  const text = { type: 'string' };
  const spec = { type: 'object', properties: { host: text, port: text } };
  const schema = { openAPIV3Schema: { type: 'object', properties: { spec } } };
  const clientConfig = {
    url: `https://localhost:${(hook.address() as AddressInfo).port}/convert`,
    caBundle: more.caBundle ?? caBundle,
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'things.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'things', kind: 'Thing' },
      versions: [
        { name: 'v1', served: true, storage: stored === 'v1', schema },
        {
          name: 'v2',
          served: true,
          storage: stored === 'v2',
          schema,
          selectableFields: [{ jsonPath: '.spec.port' }],
          additionalPrinterColumns: [{ name: 'Port', type: 'string', jsonPath: '.spec.port' }],
        },
      ],
      conversion: {
        strategy: 'Webhook',
        webhook: { clientConfig, conversionReviewVersions: more.reviews ?? ['v1'] },
      },
    },
  };
}

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const one = `${definitions}/things.example.com`;
const things = (version: string) => `/apis/example.com/${version}/namespaces/default/things`;

async function until(condition: () => Promise<boolean> | boolean) {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (await condition()) return;
    await pause(5);
  }
  throw new Error('cannot see what was waited for');
}

async function open(...given: Parameters<typeof definition>): Promise<TestServer> {
  const server = await openTestServer();
  const created = await server.call('POST', definitions, definition(...given));
  assert.equal(created.code, 201, created.text);
  await until(async () => (await server.call('GET', things('v1'))).code === 200);
  return server;
}

function thing(name: string, version: 'v1' | 'v2', spec: object, metadata: object = {}) {
  return { apiVersion: `example.com/${version}`, kind: 'Thing', metadata: { name, ...metadata }, spec };
}

test('a webhook makes every version out of every other, for reads, writes and watches', async () => {
  await using server = await open('v1');
  const watch = await server.watch(`${things('v2')}?watch=1&fieldSelector=spec.port=80`);
  assert.equal((await server.call('POST', things('v1'), thing('a', 'v1', { host: 'one:80' }))).code, 201);
  const a = await server.call('GET', `${things('v2')}/a`);
  assert.deepEqual(a.body.spec, { host: 'one', port: '80' });
  assert.equal(a.body.apiVersion, 'example.com/v2');
  const created = await server.call('POST', things('v2'), thing('b', 'v2', { host: 'two', port: '81' }));
  assert.equal(created.code, 201, created.text);
  assert.deepEqual([created.body.apiVersion, created.body.spec], ['example.com/v2', { host: 'two', port: '81' }]);
  assert.deepEqual((await server.call('GET', `${things('v1')}/b`)).body.spec, { host: 'two:81' });
  const patched = await server.call(
    'PATCH',
    `${things('v2')}/b`,
    { spec: { port: '80' } },
    { 'content-type': 'application/merge-patch+json' },
  );
  assert.deepEqual(patched.body.spec, { host: 'two', port: '80' });
  assert.deepEqual((await server.call('GET', `${things('v1')}/b`)).body.spec, { host: 'two:80' });
  await server.call(
    'PATCH',
    `${things('v1')}/a`,
    { spec: { host: 'one:99' } },
    { 'content-type': 'application/merge-patch+json' },
  );
  await until(() => watch.events.length === 3);
  assert.deepEqual(
    watch.events.map(({ type, object }) => [type, object.metadata.name, object.apiVersion, object.spec.port]),
    [
      ['ADDED', 'a', 'example.com/v2', '80'],
      ['ADDED', 'b', 'example.com/v2', '80'],
      ['DELETED', 'a', 'example.com/v2', '80'],
    ],
  );
  watch.close();
  const selected = await server.call('GET', `${things('v2')}?fieldSelector=spec.port=80&limit=1`);
  assert.deepEqual(
    selected.body.items.map((each: Thing) => each.metadata['name']),
    ['b'],
  );
  const table = await server.call('GET', things('v2'), undefined, {
    accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
  });
  assert.deepEqual(
    table.body.rows.map((row: { cells: string[] }) => row.cells),
    [
      ['a', '99'],
      ['b', '80'],
    ],
  );
  assert.equal((await server.call('DELETE', `${things('v2')}/b`)).code, 200);
});

test('a list is asked for at once, and what was converted is not asked for again', async () => {
  await using server = await open('v1');
  for (let index = 0; index < 5; index++)
    await server.call('POST', things('v1'), thing(`t${index}`, 'v1', { host: `h:${index}` }));
  assert.equal(reviews.length, 0);
  const [one, two] = await Promise.all([server.call('GET', things('v2')), server.call('GET', things('v2'))]);
  assert.deepEqual(
    one.body.items.map((each: Thing) => each.spec?.['port']),
    ['0', '1', '2', '3', '4'],
  );
  assert.equal(two.text, one.text);
  await server.call('GET', `${things('v2')}/t3`);
  assert.deepEqual(
    reviews.map(each => each.request.objects.length),
    [5],
  );
  const { request, apiVersion } = reviews[0] as Review;
  assert.equal(apiVersion, 'apiextensions.k8s.io/v1');
  assert.equal(request.desiredAPIVersion, 'example.com/v2');
  assert.equal(request.objects[0]?.apiVersion, 'example.com/v1');
});

test('what is stored in a version of old is converted when it is read, and stored anew when it is written', async () => {
  await using server = await open('v1', { reviews: ['v3', 'v1beta1'] });
  await server.call('POST', things('v1'), thing('a', 'v1', { host: 'one:80' }));
  const before = (await server.call('GET', one)).body;
  const changed = { ...definition('v2', { reviews: ['v1beta1'] }), metadata: before.metadata };
  assert.equal((await server.call('PUT', one, changed)).code, 200);
  await until(async () => (await server.call('GET', one)).body.status.storedVersions.length === 2);
  await until(async () => (await server.call('GET', `${things('v2')}/a`)).body?.apiVersion === 'example.com/v2');
  const a = (await server.call('GET', `${things('v2')}/a`)).body;
  assert.deepEqual(a.spec, { host: 'one', port: '80' });
  assert.equal(reviews.at(-1)?.apiVersion, 'apiextensions.k8s.io/v1beta1');
  const written = await server.call('PUT', `${things('v2')}/a`, a);
  assert.equal(written.code, 200, written.text);
  assert.notEqual(written.body.metadata.resourceVersion, a.metadata.resourceVersion);
  reviews.length = 0;
  assert.deepEqual((await server.call('GET', `${things('v2')}/a`)).body.spec, { host: 'one', port: '80' });
  assert.equal(reviews.length, 0);
});

test("what a webhook gets wrong is said in upstream's words", async () => {
  await using server = await open('v1');
  await server.call('POST', things('v1'), thing('a', 'v1', { host: 'one:80' }, { labels: { x: '1' } }));
  const says = async (next: typeof answer) => {
    answer = next;
    const { code, body } = await server.call('GET', `${things('v2')}/a`);
    return `${code} ${String(body.reason ?? '')} ${body.message}`.replaceAll(/[0-9a-f-]{36}/g, 'UID');
  };
  const about = 'conversion webhook for example.com/v1, Kind=Thing';
  const success = (change: (thing: Thing) => unknown) => (review: Review) =>
    reviewWith({
      uid: review.request.uid,
      result: { status: 'Success' },
      convertedObjects: review.request.objects.map(each => change(convertThing(each, 'example.com/v2'))),
    });
  assert.equal(
    await says(() => undefined),
    `500  ${about} failed: an error on the server ("") has prevented the request from succeeding`,
  );
  assert.equal(
    await says(() => ({ kind: 'ConversionReview' })),
    `500  ${about} failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got , Kind=ConversionReview`,
  );
  assert.equal(
    await says(() => ({ ...reviewWith({}), response: undefined })),
    `500  ${about} failed: no response provided`,
  );
  assert.equal(
    await says(() => reviewWith({ uid: 'x' })),
    `500  ${about} failed: expected response.uid="UID", got "x"`,
  );
  assert.equal(
    await says(({ request }) => reviewWith({ uid: request.uid, result: { status: 'Failure', message: 'no way' } })),
    `500  ${about} failed: no way`,
  );
  assert.equal(
    await says(({ request }) => reviewWith({ uid: request.uid, result: {} })),
    `500  ${about} failed: response.result.status was '', not 'Success'`,
  );
  assert.equal(
    await says(({ request }) => reviewWith({ uid: request.uid, result: { status: 'Success' }, convertedObjects: [] })),
    `500  ${about} returned 0 objects, expected 1`,
  );
  assert.equal(
    await says(success(each => ({ ...each, apiVersion: 'example.com/v1' }))),
    `500  ${about} returned invalid object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v1)`,
  );
  assert.equal(
    await says(success(each => ({ ...each, kind: 'Other' }))),
    `500  ${about} returned invalid object at index 0: invalid kind (expected Thing, received Other)`,
  );
  assert.equal(
    await says(success(each => ({ ...each, metadata: { ...each.metadata, uid: 'x' } }))),
    `500  ${about} returned invalid object: must have the same UID: UID != x`,
  );
  assert.equal(
    await says(success(each => ({ ...each, metadata: { ...each.metadata, labels: { 'no good': '' } } }))).then(text =>
      text.slice(0, 150),
    ),
    `500  ${about} returned invalid metadata: metadata.labels: Invalid value: "no good": name part must consist of`.slice(
      0,
      150,
    ),
  );
  assert.match(
    await says(success(each => ({ ...each, metadata: { ...each.metadata, labels: { a: 1 } } }))),
    /returned invalid metadata: metadata\.labels\[a\] must be a string, but is int64 in converted object$/,
  );
  answer = success(each => ({ ...each, metadata: { ...each.metadata, labels: { y: '2' }, finalizers: ['mine/own'] } }));
  const { metadata } = (await server.call('GET', `${things('v2')}/a`)).body;
  assert.deepEqual(
    [metadata.labels, metadata.finalizers],
    [{ y: '2' }, undefined],
    'only labels and annotations are its own',
  );
  answer = () => undefined;
  assert.equal((await server.call('POST', things('v2'), thing('b', 'v2', { host: 'h', port: '1' }))).code, 500);
  assert.equal((await server.call('GET', things('v1'))).body.items.length, 1, 'nothing was stored');
  const metrics = (await server.call('GET', '/metrics')).text;
  assert.match(
    metrics,
    /apiextensions_apiserver_conversion_webhook_request_total\{result="success",failure_type=""\} 1/,
  );
  assert.match(metrics, /failure_type="conversion_webhook_partial_response_failure"\} 1/);
});

test('a definition whose bundle holds no certificate is not established', async () => {
  await using server = await openTestServer();
  const broken = definition('v1', { caBundle: Buffer.from('nonsense').toString('base64') });
  assert.equal((await server.call('POST', definitions, broken)).code, 201);
  const condition = async () =>
    (await server.call('GET', one)).body.status.conditions?.find(
      (each: { type: string }) => each.type === 'Established',
    );
  await until(async () => (await condition()) !== undefined);
  const { status, reason, message } = await condition();
  assert.deepEqual(
    [status, reason, message],
    ['False', 'InvalidCABundle', 'The conversion webhook CABundle is invalid'],
  );
  const { metadata } = (await server.call('GET', one)).body;
  assert.equal((await server.call('PUT', one, { ...definition('v1'), metadata })).code, 200);
  await until(async () => (await condition()).status === 'True');
  const again = (await server.call('GET', one)).body;
  const refused = await server.call('PUT', one, { ...broken, metadata: again.metadata });
  assert.equal(refused.code, 422);
  assert.match(
    refused.body.message,
    /spec\.conversion\.webhookClientConfig\.caBundle: Invalid value: .*unable to load root certificates: unable to parse bytes as PEM block/,
  );
});
