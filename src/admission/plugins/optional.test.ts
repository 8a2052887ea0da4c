import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '#api/machinery/errors.ts';
import type { Kind } from '#api/machinery/kind.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Event } from '#api/core/v1/event.ts';
import { LimitRange } from '#api/core/v1/limit-range.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Service } from '#api/core/v1/service.ts';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import { ClusterTrustBundle } from '#api/certificates/v1beta1/cluster-trust-bundle.ts';
import type { Authorizer } from '#auth/authorization/authorizer.ts';
import { admit, world } from '../sources.fixture.ts';
import { alwaysDeny } from './always-deny.ts';
import { alwaysPullImages } from './always-pull-images.ts';
import { clusterTrustBundleAttest } from './certificates.ts';
import { denyServiceExternalIPs } from './deny-service-external-ips.ts';
import { eventRateLimit } from './event-rate-limit.ts';
import { extendedResourceToleration } from './extended-resource-toleration.ts';
import { imagePolicyWebhook } from './image-policy-webhook.ts';
import { limitPodHardAntiAffinityTopology } from './limit-pod-hard-anti-affinity-topology.ts';
import { limitRanger } from './limit-ranger.ts';
import { namespaceAutoProvision } from './namespace-auto-provision.ts';
import { namespaceExists } from './namespace-exists.ts';
import { nodeDeclaredFeatureValidator } from './node-declared-feature-validator.ts';
import { ownerReferencesPermissionEnforcement } from './owner-references-permission-enforcement.ts';
import { podNodeSelector } from './pod-node-selector.ts';
import { podResizeValidator } from './pod-resize-validator.ts';
import { podSecurity } from './pod-security.ts';
import { podTolerationRestriction } from './pod-toleration-restriction.ts';
import { resourceQuota } from './resource-quota.ts';

async function refusal(run: Promise<unknown>): Promise<{ readonly code: number; readonly message: string }> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return { code: error.code, message: error.message };
  }
  return assert.fail('was not refused');
}

const pod = (spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', ...metadata },
  spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
});

/** Allows what is written `verb resource/subresource/name`. */
function allowing(...allowed: readonly string[]): Authorizer {
  return {
    name: 'test',
    authorize: ({ verb, resource, subresource, name }) => ({
      decision: allowed.includes(`${verb} ${resource}/${subresource}/${name}`) ? 'allow' : 'noOpinion',
      reason: '',
    }),
  };
}

test('AlwaysDeny refuses everything', async () => {
  assert.deepEqual(await refusal(admit([alwaysDeny], ConfigMap, { metadata: { name: 'm' } })), {
    code: 403,
    message: 'configmaps "m" is forbidden: admission control is denying all modifications',
  });
});

test('AlwaysPullImages changes all containers, but not a pod that keeps its images', async () => {
  const never = { name: 'c', image: 'i', imagePullPolicy: 'Never' };
  const wanted = pod({ containers: [never], initContainers: [{ ...never, name: 'init' }] });
  const { object } = await admit([alwaysPullImages], Pod, wanted);
  assert.deepEqual(
    [...(object.spec?.containers ?? []), ...(object.spec?.initContainers ?? [])].map(each => each.imagePullPolicy),
    ['Always', 'Always'],
  );
  const kept = await admit([alwaysPullImages], Pod, wanted, { operation: 'UPDATE', old: wanted });
  assert.equal(kept.object.spec?.containers[0]?.imagePullPolicy, 'Never');
  // Somebody later in the chain has changed it back.
  const { validate, ...judge } = alwaysPullImages;
  const back = { ...judge, ...(validate && { validate }), admit: () => undefined };
  assert.equal(
    (await refusal(admit([back], Pod, wanted))).message,
    'pods "p" is forbidden: spec.initContainers[0].imagePullPolicy: Unsupported value: "Never": supported values: "Always"',
  );
});

test('DenyServiceExternalIPs lets stay what is there', async () => {
  const service = (...externalIPs: readonly string[]) => ({ metadata: { name: 's' }, spec: { externalIPs } });
  const plugins = [denyServiceExternalIPs];
  assert.deepEqual(await refusal(admit(plugins, Service, service('1.2.3.4'))), {
    code: 403,
    message: 'services "s" is forbidden: Use of external IPs is denied by admission control',
  });
  const old = service('1.2.3.4', '1.2.3.5');
  await admit(plugins, Service, service('1.2.3.4'), { operation: 'UPDATE', old });
  await refusal(admit(plugins, Service, service('1.2.3.6'), { operation: 'UPDATE', old }));
});

test('LimitPodHardAntiAffinityTopology allows nodes alone', async () => {
  const apart = (topologyKey: string) =>
    pod({ affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey }] } } });
  await admit([limitPodHardAntiAffinityTopology], Pod, apart('kubernetes.io/hostname'));
  assert.equal(
    (await refusal(admit([limitPodHardAntiAffinityTopology], Pod, apart('zone')))).message,
    'pods "p" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key kubernetes.io/hostname is allowed',
  );
});

test('a namespace comes into being, or has to be there', async () => {
  using sources = world();
  await refusal(admit([namespaceExists(sources)], ConfigMap, { metadata: { name: 'm' } }, { namespace: 'new' })).then(
    ({ code, message }) => assert.deepEqual([code, message], [404, 'namespaces "new" not found']),
  );
  await admit([namespaceAutoProvision(sources)], ConfigMap, { metadata: { name: 'm' } }, { namespace: 'new' });
  await sources.settled();
  await admit([namespaceExists(sources)], ConfigMap, { metadata: { name: 'm' } }, { namespace: 'new' });
  assert.equal((await sources.client.get(Namespace, 'new')).metadata.name, 'new');
});

test('ExtendedResourceToleration: who asks for a device may go where it is', async () => {
  const asking = pod({
    containers: [{ name: 'c', resources: { requests: { 'example.com/gpu': '1', cpu: '1', 'kubernetes.io/x': '1' } } }],
  });
  const { object } = await admit([extendedResourceToleration], Pod, asking);
  const added = [{ key: 'example.com/gpu', operator: 'Exists', effect: 'NoSchedule' }];
  assert.deepEqual(object.spec?.tolerations, added);
  const again = await admit([extendedResourceToleration], Pod, object);
  assert.deepEqual(again.object.spec?.tolerations, added);
});

test('PodNodeSelector merges the selector of the namespace and holds to its bounds', async () => {
  using sources = world();
  const annotations = { 'scheduler.alpha.kubernetes.io/node-selector': 'env=test, tier=a' };
  sources.put(Namespace, { metadata: { name: 'ns', annotations } });
  sources.put(Namespace, { metadata: { name: 'plain' } });
  await sources.settled();
  const plugins = [podNodeSelector(sources, { clusterDefaultNodeSelector: 'pool=x', plain: 'pool=x,zone=b' })];
  const own = await admit(plugins, Pod, pod({ nodeSelector: { disk: 'ssd' } }));
  assert.deepEqual({ ...own.object.spec?.nodeSelector }, { env: 'test', tier: 'a', disk: 'ssd' });
  assert.equal(
    (await refusal(admit(plugins, Pod, pod({ nodeSelector: { env: 'live' } })))).message,
    'pods "p" is forbidden: pod node label selector conflicts with its namespace node label selector',
  );
  const inPlain = { namespace: 'plain' };
  const given = await admit(plugins, Pod, pod({ nodeSelector: { zone: 'b' } }), inPlain);
  assert.deepEqual({ ...given.object.spec?.nodeSelector }, { pool: 'x', zone: 'b' });
  assert.equal(
    (await refusal(admit(plugins, Pod, pod({ nodeSelector: { disk: 'ssd' } }), inPlain))).message,
    'pods "p" is forbidden: pod node label selector labels conflict with its namespace whitelist',
  );
});

test('PodTolerationRestriction merges what a namespace gives and allows what it lists', async () => {
  using sources = world();
  const key = (name: string) => `scheduler.alpha.kubernetes.io/${name}`;
  const given = { key: 'team', operator: 'Equal', value: 'a', effect: 'NoSchedule' };
  sources.put(Namespace, {
    metadata: {
      name: 'ns',
      annotations: {
        [key('defaultTolerations')]: JSON.stringify([given]),
        [key('tolerationsWhitelist')]: JSON.stringify([{ key: 'team', operator: 'Exists' }]),
      },
    },
  });
  sources.put(Namespace, { metadata: { name: 'free' } });
  await sources.settled();
  const plugins = [podTolerationRestriction(sources, { default: [{ key: 'all', operator: 'Exists' }] })];
  const { object } = await admit(plugins, Pod, pod());
  assert.deepEqual(object.spec?.tolerations, [given]);
  // One that covers another one takes its place.
  const wide = { key: 'team', operator: 'Exists' };
  assert.deepEqual((await admit(plugins, Pod, pod({ tolerations: [wide] }))).object.spec?.tolerations, [wide]);
  assert.deepEqual(await refusal(admit(plugins, Pod, pod({ tolerations: [{ operator: 'Exists' }] }))), {
    code: 500,
    message:
      'pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist',
  });
  const requests = { resources: { requests: { cpu: '1' } } };
  const burstable = pod({ containers: [{ name: 'c', ...requests }] });
  assert.deepEqual(
    (await admit(plugins, Pod, burstable, { namespace: 'free' })).object.spec?.tolerations?.map(each => each.key),
    ['all', 'node.kubernetes.io/memory-pressure'],
  );
});

test('EventRateLimit counts by namespace, user and source, and forgets with time', async () => {
  using sources = world();
  const plugins = [
    eventRateLimit(sources, [
      { type: 'Namespace', qps: 1, burst: 2, cacheSize: 2 },
      { type: 'User', qps: 10, burst: 10 },
    ]),
  ];
  const event = (namespace: string) => admit(plugins, Event, { metadata: { name: 'e' } }, { namespace });
  await event('a');
  await event('a');
  assert.deepEqual(await refusal(event('a')), {
    code: 429,
    message: 'Too many requests: limit reached on type Namespace for key a',
  });
  await event('b');
  await sources.clock.advance(1000);
  await event('a');
  // Two keys are remembered: the one that was not used for the longest time begins anew.
  await event('b');
  await event('c');
  await event('a');
});

test('OwnerReferencesPermissionEnforcement asks for delete, and for finalizers of who is to wait', async () => {
  const served = {
    find: (_apiVersion: string, kind: string) => (kind === 'Deployment' ? (Deployment as unknown as Kind) : undefined),
    findResource: () => undefined,
    equivalents: () => [],
  };
  const reference = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'd', uid: '1' };
  const owned = (more: object = {}) => ({ metadata: { name: 'm', ownerReferences: [{ ...reference, ...more }] } });
  const judge = (object: object, old: object | undefined, ...allowed: readonly string[]) =>
    admit([ownerReferencesPermissionEnforcement(allowing(...allowed))], ConfigMap, object, {
      served,
      ...(old && { old, operation: 'UPDATE' as const }),
    });
  assert.deepEqual(await refusal(judge(owned(), undefined)), {
    code: 403,
    message: 'configmaps "m" is forbidden: cannot set an ownerRef on a resource you can\'t delete: , <nil>',
  });
  await judge(owned(), undefined, 'delete configmaps//m');
  await judge(owned(), owned());
  const blocking = owned({ blockOwnerDeletion: true });
  assert.equal(
    (await refusal(judge(blocking, owned(), 'delete configmaps//m'))).message,
    'configmaps "m" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can\'t set finalizers on: , <nil>',
  );
  await judge(blocking, owned(), 'delete configmaps//m', 'update deployments/finalizers/d');
  await judge(blocking, undefined, 'delete configmaps//m', '* *//');
  assert.match(
    (await refusal(judge(owned({ kind: 'Nothing', blockOwnerDeletion: true }), undefined, 'delete configmaps//m')))
      .message,
    /cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion apps\/v1 Kind Nothing: /,
  );
});

test('ClusterTrustBundleAttest: who speaks for a signer needs its word', async () => {
  const bundle = (signerName: string) => ({ metadata: { name: 'b' }, spec: { signerName, trustBundle: 'x' } });
  const plugins = [clusterTrustBundleAttest(allowing('attest signers//example.com/*'))];
  await admit(plugins, ClusterTrustBundle, bundle('example.com/a'));
  await admit(plugins, ClusterTrustBundle, bundle(''));
  assert.equal(
    (await refusal(admit(plugins, ClusterTrustBundle, bundle('other.com/a')))).message,
    'clustertrustbundles.certificates.k8s.io "b" is forbidden: user not permitted to attest for signerName "other.com/a"',
  );
  const old = bundle('other.com/a');
  await admit(plugins, ClusterTrustBundle, old, { operation: 'UPDATE', old });
});

test('PodResizeValidator: a pod does not outgrow its node', async () => {
  using sources = world();
  const labels = { 'kubernetes.io/os': 'linux' };
  sources.put(Node, { metadata: { name: 'n', labels }, status: { allocatable: { cpu: '2', memory: '1Gi' } } });
  sources.put(Node, { metadata: { name: 'w' }, status: { allocatable: { cpu: '2', memory: '1Gi' } } });
  await sources.settled();
  const sized = (cpu: string, nodeName = 'n') =>
    pod({ nodeName, containers: [{ name: 'c', resources: { requests: { cpu, memory: '1Mi' } } }] });
  const resize = (to: object, old: object) =>
    admit([podResizeValidator(sources)], Pod, to, { operation: 'UPDATE', subresource: 'resize', old });
  await resize(sized('2'), sized('1'));
  assert.deepEqual(await refusal(resize(sized('2500m'), sized('1'))), {
    code: 403,
    message: `pods "p" is forbidden: Node didn't have enough allocatable resources: cpu, requested: 2500, allocatable: 2000`,
  });
  await resize(sized('3'), sized('3'));
  assert.match((await refusal(resize(sized('2', 'w'), sized('1', 'w')))).message, /only supported on linux nodes/);
});

test('ImagePolicyWebhook asks once for the same images, and fails as it is told', async () => {
  using sources = world();
  const asked: string[] = [];
  let answer = { code: 200, text: '{"status":{"allowed":true,"auditAnnotations":{"by":"me"}}}' };
  const policy = {
    review: async (body: string) => {
      asked.push(body);
      return answer;
    },
    allowTtlMs: 1000,
    denyTtlMs: 1000,
    retryBackoffMs: 0,
    defaultAllow: false,
  };
  const plugins = [imagePolicyWebhook(sources, policy)];
  const wanted = pod({}, { annotations: { 'x.image-policy.k8s.io/break-glass': 'y', other: 'z' } });
  const { annotations } = await admit(plugins, Pod, wanted);
  await admit(plugins, Pod, wanted);
  assert.deepEqual(annotations, { 'imagepolicywebhook.image-policy.k8s.io/by': 'me' });
  assert.equal(asked.length, 1);
  assert.deepEqual(JSON.parse(asked[0] ?? '').spec, {
    containers: [{ image: 'i' }],
    annotations: { 'x.image-policy.k8s.io/break-glass': 'y' },
    namespace: 'ns',
  });
  await sources.clock.advance(1000);
  answer = { code: 200, text: '{"status":{"allowed":false,"reason":"old"}}' };
  assert.equal(
    (await refusal(admit(plugins, Pod, wanted))).message,
    'pods "p" is forbidden: image policy webhook backend denied one or more images: old',
  );
  await sources.clock.advance(1000);
  answer = { code: 400, text: 'no' };
  assert.equal(
    (await refusal(admit(plugins, Pod, wanted))).message,
    'pods "p" is forbidden: Error contacting webhook: 400',
  );
  const open = await admit([imagePolicyWebhook(sources, { ...policy, defaultAllow: true })], Pod, wanted);
  assert.deepEqual(open.annotations, { 'imagepolicywebhook.image-policy.k8s.io/failed-open': 'true' });
});

test('PodSecurity: defaults of the cluster, and whom nobody asks', async () => {
  using sources = world();
  for (const name of ['ns', 'spared']) sources.put(Namespace, { metadata: { name } });
  await sources.settled();
  const exemptions = { namespaces: ['spared'], usernames: ['root'], runtimeClasses: ['sandbox'] };
  const plugins = [podSecurity(sources, { defaults: { enforce: 'baseline', 'enforce-version': 'v1.30' }, exemptions })];
  const host = (spec: object = {}) => pod({ hostNetwork: true, ...spec });
  assert.equal(
    (await refusal(admit(plugins, Pod, host()))).message,
    'pods "p" is forbidden: violates PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true)',
  );
  const why = async (run: ReturnType<typeof admit>) => (await run).annotations['pod-security.kubernetes.io/exempt'];
  assert.equal(await why(admit(plugins, Pod, host(), { namespace: 'spared' })), 'namespace');
  assert.equal(await why(admit(plugins, Pod, host(), { user: { name: 'root', groups: [] } })), 'user');
  assert.equal(await why(admit(plugins, Pod, host({ runtimeClassName: 'sandbox' }))), 'runtimeClass');
});

test('ResourceQuota: what is limited by configuration needs a quota that counts it', async () => {
  using sources = world();
  const limited = [
    {
      apiGroup: '',
      resource: 'pods',
      matchContains: ['cpu'],
      matchScopes: [{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }],
    },
  ];
  const plugins = [resourceQuota(sources, limited)];
  await sources.settled();
  const asking = (spec: object = {}) =>
    pod({ containers: [{ name: 'c', resources: { requests: { cpu: '1' } } }], ...spec });
  assert.deepEqual(await refusal(admit(plugins, Pod, asking())), {
    code: 403,
    message: 'pods "p" is forbidden: insufficient quota to consume: cpu,requests.cpu',
  });
  await admit(plugins, Pod, pod());
  assert.deepEqual(await refusal(admit(plugins, Pod, pod({ priorityClassName: 'high' }))), {
    code: 500,
    message: 'insufficient quota to match these scopes: [{PriorityClass In [high]}]',
  });
  const hard = { cpu: '10', 'requests.cpu': '10', pods: '10' };
  const matchExpressions = [{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }];
  const used = { cpu: '0', 'requests.cpu': '0', pods: '0' };
  sources.put(ResourceQuota, {
    metadata: { name: 'q', namespace: 'ns' },
    spec: { hard, scopeSelector: { matchExpressions } },
    status: { hard, used },
  });
  await sources.settled();
  await admit(plugins, Pod, asking({ priorityClassName: 'high' }));
});

test('LimitRanger: sidecars count beside the containers, and every range speaks for itself', async () => {
  using sources = world();
  const plugins = [limitRanger(sources)];
  const range = (name: string, ...limits: readonly object[]) =>
    sources.put(LimitRange, { metadata: { name, namespace: 'ns' }, spec: { limits: limits as never } });
  range('a', { type: 'Pod', max: { cpu: '2' }, min: { memory: '1Mi' } });
  range(
    'b',
    { type: 'Container', defaultRequest: { memory: '2Mi' } },
    { type: 'Container', defaultRequest: { memory: '4Mi' } },
  );
  await sources.settled();
  const sized = (cpu: string) => ({ name: 'c', resources: { requests: { cpu }, limits: { cpu } } });
  const sidecar = (cpu: string) => ({ ...sized(cpu), name: 's', restartPolicy: 'Always' });
  const { object } = await admit(plugins, Pod, pod({ containers: [sized('1')], initContainers: [sidecar('1')] }));
  // Of one range the last item counts.
  assert.equal(object.spec?.containers[0]?.resources?.requests?.['memory'], '4Mi');
  assert.equal(
    (await refusal(admit(plugins, Pod, pod({ containers: [sized('1')], initContainers: [sidecar('1500m')] })))).message,
    'pods "p" is forbidden: maximum cpu usage per Pod is 2, but limit is 2500m',
  );
  await admit(plugins, Pod, pod({ containers: [sized('1')], initContainers: [{ ...sized('1500m'), name: 'i' }] }));
});

test('NodeDeclaredFeatureValidator: a node follows only the changes that it declares', async () => {
  using sources = world();
  const declares = (name: string, ...declaredFeatures: readonly string[]) =>
    sources.put(Node, { metadata: { name }, status: { declaredFeatures } });
  declares('new', 'GuaranteedQoSPodCPUResize');
  declares('old');
  await sources.settled();
  const sized = (nodeName: string, cpu: string, qosClass = 'Guaranteed', more: object = {}) => ({
    ...pod({ nodeName, containers: [{ name: 'c', resources: { requests: { cpu }, limits: { cpu } } }], ...more }),
    status: { qosClass },
  });
  const change = (to: object, from: object) =>
    admit([nodeDeclaredFeatureValidator(sources)], Pod, to, { operation: 'UPDATE', subresource: 'resize', old: from });
  await change(sized('new', '2'), sized('new', '1'));
  await change(sized('old', '1000m'), sized('old', '1'));
  await change(sized('old', '2', 'Burstable'), sized('old', '1', 'Burstable'));
  assert.deepEqual(await refusal(change(sized('old', '2'), sized('old', '1'))), {
    code: 403,
    message:
      'pods "p" is forbidden: pod update requires features GuaranteedQoSPodCPUResize which are not available on node "old"',
  });
  const whole = sized('new', '1', 'Guaranteed', { resources: { limits: { cpu: '3' } } });
  assert.match((await refusal(change(whole, sized('new', '1')))).message, /InPlacePodLevelResourcesVerticalScaling/);
});
