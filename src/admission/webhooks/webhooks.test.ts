import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { ManualClock, systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { ApiError } from '#api/machinery/errors.ts';
import { MutatingWebhookConfiguration } from '#api/admissionregistration/v1/mutating-webhook-configuration.ts';
import { ValidatingWebhookConfiguration } from '#api/admissionregistration/v1/validating-webhook-configuration.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { admit, world, type World } from '../sources.fixture.ts';
import { httpsWebhookCaller, type WebhookCaller } from './call.ts';
import { mutatingWebhooks, validatingWebhooks } from './webhooks.ts';

interface Review {
  readonly request: {
    readonly uid: string;
    readonly operation: string;
    readonly object: {
      readonly metadata: { readonly labels?: Record<string, string> };
      readonly data?: Record<string, string>;
    };
    readonly userInfo: { readonly username: string };
    readonly dryRun: boolean;
  };
}
type Answer = (review: Review) => object | undefined;

let server: ReturnType<typeof createServer>;
let caBundle: string;
let caller: WebhookCaller;
let answers: Record<string, Answer>;
const seen: { path: string; review: Review }[] = [];

before(async () => {
  const issuing = { clock: systemClock, random: systemRandom };
  const ca = await issueAuthority({ commonName: 'webhooks', validForMs: 3_600_000 }, issuing);
  const serving = await issue(
    ca,
    { commonName: 'hook', hosts: ['hook.ns.svc', 'localhost'], usages: ['server'], validForMs: 3_600_000 },
    issuing,
  );
  caBundle = Buffer.from(ca.certPem).toString('base64');
  server = createServer({ cert: serving.certPem, key: serving.keyPem }, async (request, response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request as AsyncIterable<Uint8Array>) chunks.push(chunk);
    const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
    const path = (request.url ?? '').split('?')[0] ?? '';
    seen.push({ path, review });
    const answer = answers[path]?.(review);
    if (!answer) return void response.writeHead(302, { location: 'https://elsewhere/' }).end();
    const full = { uid: review.request.uid, ...answer };
    response.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: full }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  caller = httpsWebhookCaller(systemClock);
});

beforeEach(() => {
  seen.length = 0;
  answers = {};
});

after(() => {
  caller[Symbol.dispose]();
  server.closeAllConnections();
  server.close();
});

const everything = [{ operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*'], scope: '*' }];

function hook(name: string, more: object = {}) {
  const port = (server.address() as AddressInfo).port;
  return {
    name,
    clientConfig: { url: `https://localhost:${port}/${name}`, caBundle },
    rules: everything,
    admissionReviewVersions: ['v1'],
    failurePolicy: 'Fail',
    sideEffects: 'None',
    timeoutSeconds: 5,
    ...more,
  };
}

async function with_(sources: World, kind: 'validating' | 'mutating', ...webhooks: object[]) {
  const plugins = kind === 'validating' ? [validatingWebhooks(sources, caller)] : [mutatingWebhooks(sources, caller)];
  if (kind === 'validating') sources.put(ValidatingWebhookConfiguration, { metadata: { name: 'c' }, webhooks });
  else sources.put(MutatingWebhookConfiguration, { metadata: { name: 'c' }, webhooks });
  await sources.settled();
  return plugins;
}

async function refusal(run: Promise<unknown>): Promise<ApiError> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return error;
  }
  return assert.fail('was not refused');
}

const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'm' }, data: { a: 'b' } };

test('a webhook sees the request, and its refusal is the answer', async () => {
  using sources = world();
  const plugins = await with_(sources, 'validating', hook('a'), hook('b'));
  answers['/a'] = () => ({ allowed: true, warnings: ['mind'], auditAnnotations: { k: 'v' } });
  answers['/b'] = () => ({ allowed: true });
  const { warnings, annotations } = await admit(plugins, ConfigMap, configMap);
  assert.deepEqual(warnings, ['mind']);
  assert.deepEqual(annotations, { 'a/k': 'v' });
  const { request } = seen.find(each => each.path === '/a')?.review ?? assert.fail();
  assert.deepEqual(
    [request.operation, request.userInfo.username, request.dryRun, request.object.data],
    ['CREATE', 'ann', false, { a: 'b' }],
  );
  answers['/b'] = () => ({ allowed: false, status: { code: 418, message: 'no tea', reason: 'Teapot' } });
  const denied = await refusal(admit(plugins, ConfigMap, configMap));
  assert.deepEqual([denied.code, denied.message], [418, 'admission webhook "b" denied the request: no tea']);
  answers['/b'] = () => ({ allowed: false, status: { code: 200 } });
  const silent = await refusal(admit(plugins, ConfigMap, configMap));
  assert.deepEqual(
    [silent.code, silent.message],
    [400, 'admission webhook "b" denied the request without explanation'],
  );
});

test('a webhook changes the object, which is decoded and defaulted anew; an earlier one looks again', async () => {
  using sources = world();
  const plugins = await with_(sources, 'mutating', hook('a', { reinvocationPolicy: 'IfNeeded' }), hook('b'));
  const patch = (operations: object[]) => ({
    allowed: true,
    patchType: 'JSONPatch',
    patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
  });
  answers['/a'] = ({ request }) =>
    request.object.metadata.labels?.['b']
      ? patch([{ op: 'add', path: '/metadata/labels/a', value: 'saw b' }])
      : { allowed: true };
  answers['/b'] = () =>
    patch([
      { op: 'add', path: '/metadata/labels', value: { b: '1' } },
      { op: 'add', path: '/spec/containers/-', value: { name: 'side', nonsense: 1, ports: [{ containerPort: 1 }] } },
    ]);
  const { object } = await admit(plugins, Pod, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { containers: [{ name: 'c', image: 'i' }] },
  });
  assert.deepEqual(object.metadata.labels, { a: 'saw b', b: '1' });
  const side = object.spec?.containers[1];
  assert.equal(side?.ports?.[0]?.protocol, 'TCP');
  assert.ok(!('nonsense' in (side ?? {})));
  assert.deepEqual(
    seen.map(each => each.path),
    ['/a', '/b', '/a'],
  );
});

test('a call that fails refuses or is passed over, as the policy says', async () => {
  using sources = world();
  const broken = await with_(sources, 'validating', hook('gone'));
  const failed = await refusal(admit(broken, ConfigMap, configMap));
  assert.equal(failed.code, 500);
  assert.match(
    failed.message,
    /^Internal error occurred: failed calling webhook "gone": failed to call webhook: .*status code 302/,
  );
  sources.put(ValidatingWebhookConfiguration, {
    metadata: { name: 'c' },
    webhooks: [hook('gone', { failurePolicy: 'Ignore' })],
  });
  await sources.settled();
  const { annotations } = await admit(broken, ConfigMap, configMap);
  assert.deepEqual(annotations, { 'failed-open.validating.webhook.admission.k8s.io/round_0_index_0': 'gone' });
  answers['/liar'] = () => ({ uid: 'another', allowed: true });
  sources.put(ValidatingWebhookConfiguration, { metadata: { name: 'c' }, webhooks: [hook('liar')] });
  await sources.settled();
  assert.match((await refusal(admit(broken, ConfigMap, configMap))).message, /expected response.uid=.*got "another"/);
  const foreign = hook('a', { clientConfig: { url: `https://localhost:${(server.address() as AddressInfo).port}/a` } });
  sources.put(ValidatingWebhookConfiguration, { metadata: { name: 'c' }, webhooks: [foreign] });
  await sources.settled();
  assert.match((await refusal(admit(broken, ConfigMap, configMap))).message, /failed calling webhook "a"/);
});

test('a webhook that does not answer in time has failed', async () => {
  using sources = world();
  const clock = new ManualClock();
  using slow = httpsWebhookCaller(clock);
  const hanging = Promise.withResolvers<void>();
  const stuck = createServer({}, () => undefined);
  stuck.listen(0, '127.0.0.1');
  await once(stuck, 'listening');
  stuck.once('connection', () => hanging.resolve());
  const url = `https://localhost:${(stuck.address() as AddressInfo).port}/`;
  const plugins = [validatingWebhooks(sources, slow)];
  sources.put(ValidatingWebhookConfiguration, {
    metadata: { name: 'c' },
    webhooks: [hook('slow', { clientConfig: { url }, timeoutSeconds: 2 })],
  });
  await sources.settled();
  const refused = refusal(admit(plugins, ConfigMap, configMap));
  await hanging.promise;
  await clock.advance(2_000);
  assert.match((await refused).message, /Post "https:\/\/localhost:\d+\/\?timeout=2s": context deadline exceeded$/);
  stuck.close();
});

test('rules and selectors choose', async () => {
  using sources = world();
  const rules = [
    { operations: ['UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods/*'], scope: 'Namespaced' },
  ];
  const plugins = await with_(
    sources,
    'validating',
    hook('status', { rules }),
    hook('team', { namespaceSelector: { matchLabels: { team: 'a' } } }),
    hook('label', { objectSelector: { matchExpressions: [{ key: 'look', operator: 'Exists' }] } }),
  );
  sources.put(Namespace, { metadata: { name: 'ns', labels: { team: 'b' } } });
  sources.put(Namespace, { metadata: { name: 'a', labels: { team: 'a' } } });
  await sources.settled();
  for (const each of ['status', 'team', 'label']) answers[`/${each}`] = () => ({ allowed: true });
  const calls = async (run: Promise<unknown>) => {
    seen.length = 0;
    await run;
    return seen.map(each => each.path).sort();
  };
  assert.deepEqual(await calls(admit(plugins, ConfigMap, configMap)), []);
  assert.deepEqual(await calls(admit(plugins, ConfigMap, configMap, { namespace: 'a' })), ['/team']);
  assert.deepEqual(await calls(admit(plugins, ConfigMap, { metadata: { name: 'm', labels: { look: '' } } })), [
    '/label',
  ]);
  const pod = { metadata: { name: 'p', labels: { look: '' } } };
  assert.deepEqual(await calls(admit(plugins, Pod, pod, { operation: 'UPDATE', subresource: 'status', old: pod })), [
    '/status',
  ]);
  // A namespace is chosen by its own labels; the configuration of webhooks by none.
  assert.deepEqual(await calls(admit(plugins, Namespace, { metadata: { name: 'new', labels: { team: 'a' } } })), [
    '/team',
  ]);
  assert.deepEqual(
    await calls(admit(plugins, ValidatingWebhookConfiguration, { metadata: { name: 'x', labels: { look: '' } } })),
    [],
  );
});

test('a service is called at a ready endpoint, under its own name', async () => {
  using sources = world();
  const port = (server.address() as AddressInfo).port;
  sources.put(Service, {
    metadata: { name: 'hook', namespace: 'ns' },
    spec: { ports: [{ name: 'https', port: 443 }] },
  });
  sources.put(EndpointSlice, {
    metadata: { name: 'hook-1', namespace: 'ns' },
    ports: [{ name: 'https', port }],
    endpoints: [
      { addresses: ['192.0.2.1'], conditions: { ready: false } },
      { addresses: ['127.0.0.1'], conditions: { ready: true } },
    ],
  });
  answers['/check'] = () => ({ allowed: true });
  const plugins = await with_(
    sources,
    'validating',
    hook('s', { clientConfig: { service: { namespace: 'ns', name: 'hook', path: 'check' }, caBundle } }),
  );
  await admit(plugins, ConfigMap, configMap);
  assert.equal(seen[0]?.path, '/check');
  const dry = await with_(sources, 'validating', hook('s', { sideEffects: 'Some' }));
  const refused = await refusal(admit(dry, ConfigMap, configMap, { dryRun: true }));
  assert.deepEqual([refused.code, refused.message], [400, 'admission webhook "s" does not support dry run']);
});
