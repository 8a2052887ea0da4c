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
import { HorizontalPodAutoscaler as ScalerV1 } from '#api/autoscaling/v1/horizontal-pod-autoscaler.ts';
import { HorizontalPodAutoscaler } from '#api/autoscaling/v2/horizontal-pod-autoscaler.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { alwaysAllow } from '#auth/authorization/always-allow.ts';
import type { AdmissionPlugin } from '../admission.ts';
import { webhookMetrics } from './metrics.ts';
import { Registry } from 'prom-client';
import { admit, world, type World } from '../sources.fixture.ts';
import { httpsWebhookCaller, type WebhookCaller } from './call.ts';
import { mutatingWebhooks, validatingWebhooks } from './webhooks.ts';

interface Review {
  readonly apiVersion: string;
  readonly request: {
    readonly uid: string;
    readonly operation: string;
    readonly kind: { readonly version: string };
    readonly resource: { readonly version: string };
    readonly requestKind: { readonly version: string };
    readonly object: {
      readonly apiVersion: string;
      readonly metadata: { readonly labels?: Record<string, string> };
      readonly data?: Record<string, string>;
    };
    readonly userInfo: { readonly username: string };
    readonly dryRun: boolean;
  };
}
type Answer = (review: Review) => Record<string, unknown> | undefined;

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
    if (answer && 'code' in answer) return void response.writeHead(Number(answer.code)).end(String(answer['text']));
    if (!answer) return void response.writeHead(302, { location: 'https://elsewhere/' }).end();
    const full = { uid: review.request.uid, ...answer };
    const { apiVersion } = review;
    response.end(JSON.stringify({ apiVersion, kind: 'AdmissionReview', response: full }));
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

const patch = (...operations: object[]) => ({
  allowed: true,
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
});

test('a webhook is asked in the version that its rules name, and its changes come back', async () => {
  using sources = world();
  const rules = [{ operations: ['*'], apiGroups: ['autoscaling'], apiVersions: ['v1'], resources: ['*'] }];
  const convert = (version: string) => (object: ApiObject) => ({ ...object, apiVersion: `autoscaling/${version}` });
  const served = {
    find: () => undefined,
    findResource: () => undefined,
    equivalents: () => [{ kind: ScalerV1 as unknown as Kind, convert: convert('v1'), revert: convert('v2') }],
  };
  const autoscaler = {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: 'h' },
    spec: { maxReplicas: 3, scaleTargetRef: { kind: 'Deployment', name: 'd' } },
  };
  const plugins = await with_(
    sources,
    'mutating',
    hook('old', { rules }),
    hook('exact', { rules, matchPolicy: 'Exact' }),
  );
  answers['/old'] = () => patch({ op: 'add', path: '/metadata/labels', value: { seen: 'v1' } });
  const { object } = await admit(plugins, HorizontalPodAutoscaler, autoscaler, { served });
  assert.deepEqual(
    seen.map(each => each.path),
    ['/old'],
  );
  const { request } = seen[0]?.review ?? assert.fail();
  assert.deepEqual(
    [request.kind.version, request.resource.version, request.requestKind.version, request.object.apiVersion],
    ['v1', 'v1', 'v2', 'autoscaling/v1'],
  );
  assert.deepEqual([object.apiVersion, object.metadata.labels], ['autoscaling/v2', { seen: 'v1' }]);
});

test('built-in plugins look again after a webhook, and a webhook that asks for it after them', async () => {
  using sources = world();
  const looks: string[] = [];
  const builtIn: AdmissionPlugin = {
    name: 'BuiltIn',
    handles: () => true,
    admit({ object, reinvocation }) {
      looks.push(reinvocation?.isSecond ? 'second' : 'first');
      // As a plugin does that fills in what a new container lacks.
      if (object?.metadata.labels?.['hooked']) object.metadata.labels['filled'] = 'yes';
    },
  };
  const [webhooks] = await with_(sources, 'mutating', hook('twice', { reinvocationPolicy: 'IfNeeded' }), hook('once'));
  answers['/twice'] = ({ request }) =>
    request.object.metadata.labels?.['hooked'] === undefined
      ? patch({ op: 'add', path: '/metadata/labels', value: { hooked: 'yes' } })
      : { allowed: true };
  answers['/once'] = () => ({ allowed: true });
  const { object, annotations } = await admit([builtIn, webhooks as AdmissionPlugin], ConfigMap, configMap);
  assert.deepEqual(looks, ['first', 'second']);
  assert.deepEqual(object.metadata.labels, { hooked: 'yes', filled: 'yes' });
  assert.deepEqual(
    seen.map(each => each.path),
    ['/twice', '/once', '/twice'],
  );
  const mutation = (mutated: boolean, webhook: string) => JSON.stringify({ configuration: 'c', webhook, mutated });
  const prefix = 'mutation.webhook.admission.k8s.io/round_';
  assert.equal(annotations[`${prefix}0_index_0`], mutation(true, 'twice'));
  assert.equal(annotations[`${prefix}0_index_1`], mutation(false, 'once'));
  assert.equal(annotations[`${prefix}1_index_0`], mutation(false, 'twice'));
  assert.deepEqual(JSON.parse(annotations['patch.webhook.admission.k8s.io/round_0_index_0'] ?? ''), {
    configuration: 'c',
    webhook: 'twice',
    patch: [{ op: 'add', path: '/metadata/labels', value: { hooked: 'yes' } }],
    patchType: 'JSONPatch',
  });
});

test('both versions of the review are spoken, and each is held to its rules', async () => {
  using sources = world();
  const old = { admissionReviewVersions: ['v9', 'v1beta1', 'v1'] };
  const plugins = await with_(sources, 'mutating', hook('old', old));
  // The older one never looked at uid and type of the patch.
  answers['/old'] = () => ({ ...patch({ op: 'add', path: '/data/b', value: 'c' }), patchType: undefined, uid: 'any' });
  const { object } = await admit(plugins, ConfigMap, configMap);
  assert.equal(seen[0]?.review.apiVersion, 'admission.k8s.io/v1beta1');
  assert.deepEqual(object.data, { a: 'b', b: 'c' });
  const [strict] = await with_(sources, 'mutating', hook('new'));
  const refused = async (answer: Record<string, unknown>) => {
    answers['/new'] = () => answer;
    return (await refusal(admit([strict as AdmissionPlugin], ConfigMap, configMap))).message;
  };
  const calling = 'Internal error occurred: failed calling webhook "new":';
  assert.equal(
    await refused({ ...patch({}), patchType: undefined }),
    `${calling} received invalid webhook response: webhook returned response.patch but not response.patchType`,
  );
  assert.match(await refused({ ...patch({}), patchType: 'Other' }), /unsupported patch type "Other"/);
  assert.match(
    await refused({ ...patch({}), patch: 'e30' }),
    /failed calling webhook "new": received undecodable patch in webhook response: it is no list/,
  );
  assert.equal(
    await refused({ code: 503, text: 'gone fishing' }),
    `${calling} failed to call webhook: the server is currently unable to handle the request`,
  );
  assert.equal(
    await refused({ code: 500, text: 'gone fishing' }),
    `${calling} failed to call webhook: an error on the server ("gone fishing") has prevented the request from succeeding`,
  );
  assert.match(
    await refused({ code: 200, text: 'x'.repeat(9 * 1024 * 1024) }),
    /failed to call webhook: Post "https:\/\/localhost:\d+\/new\?timeout=5s": the answer is larger than 8388608 bytes/,
  );
  const [validating] = await with_(sources, 'validating', hook('new'));
  answers['/new'] = () => patch({ op: 'add', path: '/data/b', value: 'c' });
  assert.match(
    (await refusal(admit([validating as AdmissionPlugin], ConfigMap, configMap))).message,
    /validating webhook may not return response.patch/,
  );
  const [unknown] = await with_(sources, 'validating', hook('new', { admissionReviewVersions: ['v9'] }));
  assert.match(
    (await refusal(admit([unknown as AdmissionPlugin], ConfigMap, configMap))).message,
    /could not create admission objects: webhook does not accept known AdmissionReview versions \(v1, v1beta1\)/,
  );
});

test('a deletion cannot be changed; who is missing is named in the words of a failed call', async () => {
  using sources = world();
  const plugins = await with_(sources, 'mutating', hook('a'));
  answers['/a'] = () => patch({ op: 'add', path: '/data/b', value: 'c' });
  const deleted = admit(plugins, ConfigMap, undefined, { operation: 'DELETE', name: 'm', old: configMap });
  assert.equal(
    (await refusal(deleted)).message,
    'Internal error occurred: admission webhook "a" attempted to modify the object, which is not supported for this operation',
  );
  const service = { namespace: 'ns', name: 'gone', path: '/x' };
  const [missing] = await with_(sources, 'validating', hook('s', { clientConfig: { service, caBundle } }));
  assert.equal(
    (await refusal(admit([missing as AdmissionPlugin], ConfigMap, configMap))).message,
    'Internal error occurred: failed calling webhook "s": failed to call webhook: Post "https://gone.ns.svc/x?timeout=5s": services "gone" not found',
  );
});

test('match conditions decide, and fail as the policy says; everything is measured', async () => {
  using sources = world();
  const metrics = webhookMetrics();
  const registry = new Registry();
  metrics.registerOn(registry);
  const condition = (expression: string) => ({ matchConditions: [{ name: 'c', expression }] });
  sources.put(ValidatingWebhookConfiguration, {
    metadata: { name: 'c' },
    webhooks: [
      hook('match', condition("request.userInfo.username == 'ann' && object.data.a == 'b'")),
      hook('not', condition("object.metadata.name == 'other'")),
      hook('open', { ...condition('object.nothing.there == 1'), failurePolicy: 'Ignore' }),
    ],
  });
  const plugins = [validatingWebhooks(sources, caller, { authorizer: alwaysAllow, metrics })];
  await sources.settled();
  answers['/match'] = () => ({ allowed: false });
  const refused = await refusal(admit(plugins, ConfigMap, configMap));
  assert.equal(refused.message, 'admission webhook "match" denied the request without explanation');
  assert.deepEqual(
    seen.map(each => each.path),
    ['/match'],
  );
  const text = await registry.metrics();
  const labels = 'name="match",type="validating",operation="CREATE"';
  assert.ok(
    text.includes(
      `apiserver_admission_webhook_rejection_count{${labels},error_type="no_error",rejection_code="400"} 1`,
    ),
    text,
  );
  assert.ok(text.includes(`apiserver_admission_webhook_request_total{${labels},code="400",rejected="true"} 1`));
  assert.match(
    text,
    /match_condition_exclusions_total\{name="not",kind="webhook",type="validating",operation="CREATE"\} 1/,
  );
  assert.match(text, /match_condition_evaluation_errors_total\{name="open",kind="webhook",type="validating"/);
  sources.put(ValidatingWebhookConfiguration, {
    metadata: { name: 'c' },
    webhooks: [hook('closed', condition('object.nothing.there == 1'))],
  });
  await sources.settled();
  assert.match(
    (await refusal(admit(plugins, ConfigMap, configMap))).message,
    /^configmaps "m" is forbidden: .*no such key: nothing/,
  );
});
