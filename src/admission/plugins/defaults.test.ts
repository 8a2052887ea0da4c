import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '#api/machinery/errors.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Node } from '#api/core/v1/node.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { LimitRange } from '#api/core/v1/limit-range.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import { Ingress } from '#api/networking/v1/ingress.ts';
import { IngressClass } from '#api/networking/v1/ingress-class.ts';
import { RuntimeClass } from '#api/node/v1/runtime-class.ts';
import { PriorityClass } from '#api/scheduling/v1/priority-class.ts';
import { StorageClass } from '#api/storage/v1/storage-class.ts';
import { alwaysAllow } from '#auth/authorization/always-allow.ts';
import { nodeUser } from '#auth/user.ts';
import { admissionChain, namesInTable } from '../chain.ts';
import { pluginNames } from '../plugin-names.ts';
import { admit, world, type World } from '../sources.fixture.ts';
import { httpsWebhookCaller } from '../webhooks/call.ts';
import { defaultIngressClass } from './default-ingress-class.ts';
import { defaultStorageClass } from './default-storage-class.ts';
import { defaultTolerationSeconds } from './default-toleration-seconds.ts';
import { limitRanger } from './limit-ranger.ts';
import { namespaceLifecycle } from './namespace-lifecycle.ts';
import { nodeRestriction } from './node-restriction.ts';
import { persistentVolumeClaimResize } from './persistent-volume-claim-resize.ts';
import { podTopologyLabels } from './pod-topology-labels.ts';
import { priority } from './priority.ts';
import { runtimeClass } from './runtime-class.ts';
import { serviceAccount } from './service-account.ts';
import { storageObjectInUseProtection } from './storage-object-in-use-protection.ts';
import { taintNodesByCondition } from './taint-nodes-by-condition.ts';

function pod(spec: object = {}, metadata: object = {}) {
  return { metadata: { name: 'web', ...metadata }, spec: { containers: [{ name: 'c', image: 'i' }], ...spec } };
}

async function refusal(run: Promise<unknown>, code = 403): Promise<string> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.code, code);
    return error.message;
  }
  return assert.fail('was not refused');
}

/** Makes the plugins first, so that their informers run before objects come. */
async function prepared<Plugins>(make: (world: World) => Plugins, fill: (world: World) => void) {
  const around = world();
  const plugins = make(around);
  fill(around);
  await around.settled();
  return { world: around, plugins, [Symbol.dispose]: () => around[Symbol.dispose]() };
}

test('NamespaceLifecycle: nothing in a namespace that is missing or going away', async () => {
  using around = await prepared(
    sources => [namespaceLifecycle(sources)],
    ({ put }) => {
      put(Namespace, { metadata: { name: 'ns' }, status: { phase: 'Active' } });
      put(Namespace, { metadata: { name: 'old' }, status: { phase: 'Terminating' } });
    },
  );
  const { plugins } = around;
  await admit(plugins, ConfigMap, { metadata: { name: 'c' } });
  assert.equal(
    await refusal(admit(plugins, ConfigMap, { metadata: { name: 'c' } }, { namespace: 'nowhere' }), 404),
    'namespaces "nowhere" not found',
  );
  assert.equal(
    await refusal(admit(plugins, ConfigMap, { metadata: { name: 'c' } }, { namespace: 'old' })),
    'configmaps "c" is forbidden: unable to create new content in namespace old because it is being terminated',
  );
  await admit(plugins, ConfigMap, { metadata: { name: 'c' } }, { namespace: 'old', operation: 'UPDATE' });
  assert.equal(
    await refusal(admit(plugins, Namespace, undefined, { operation: 'DELETE', name: 'kube-system' })),
    'namespaces "kube-system" is forbidden: this namespace may not be deleted',
  );
  await admit(plugins, Namespace, undefined, { operation: 'DELETE', name: 'ns' });
});

test('ServiceAccount: the account, its token volume and its pull secrets', async () => {
  using around = await prepared(
    sources => [serviceAccount(sources)],
    ({ put }) => {
      put(ServiceAccount, { metadata: { name: 'default', namespace: 'ns' }, imagePullSecrets: [{ name: 'pull' }] });
      put(ServiceAccount, { metadata: { name: 'quiet', namespace: 'ns' }, automountServiceAccountToken: false });
    },
  );
  const { plugins } = around;
  const { object } = await admit(plugins, Pod, pod({ initContainers: [{ name: 'i' }] }));
  assert.equal(object.spec?.serviceAccountName, 'default');
  assert.deepEqual(object.spec?.imagePullSecrets, [{ name: 'pull' }]);
  const [volume] = object.spec?.volumes ?? [];
  assert.match(volume?.name ?? '', /^kube-api-access-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  assert.equal(volume?.projected?.sources?.length, 3);
  assert.equal(volume?.projected?.sources?.[0]?.serviceAccountToken?.expirationSeconds, 3607);
  const mount = { name: volume?.name, readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' };
  assert.deepEqual(object.spec?.containers[0]?.volumeMounts, [mount]);
  assert.deepEqual(object.spec?.initContainers?.[0]?.volumeMounts, [mount]);
  const quiet = await admit(plugins, Pod, pod({ serviceAccountName: 'quiet' }));
  assert.equal(quiet.object.spec?.volumes, undefined);
  const asked = await admit(plugins, Pod, pod({ serviceAccountName: 'quiet', automountServiceAccountToken: true }));
  assert.equal(asked.object.spec?.volumes?.length, 1);
  const own = { name: 'mine', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' };
  const mounted = await admit(plugins, Pod, pod({ containers: [{ name: 'c', volumeMounts: [own] }] }));
  assert.equal(mounted.object.spec?.volumes, undefined);
  assert.equal(
    await refusal(admit(plugins, Pod, pod({ serviceAccountName: 'nobody' }))),
    'pods "web" is forbidden: error looking up service account ns/nobody: serviceaccount "nobody" not found',
  );
});

test('ServiceAccount: a pod waits for the default account of a new namespace', async () => {
  using around = await prepared(
    sources => [serviceAccount(sources)],
    () => undefined,
  );
  const { plugins, world: sources } = around;
  const creation = admit(plugins, Pod, pod());
  await sources.settled();
  sources.put(ServiceAccount, { metadata: { name: 'default', namespace: 'ns' } });
  assert.equal((await creation).object.spec?.serviceAccountName, 'default');
  const forlorn = refusal(admit(plugins, Pod, pod(), { namespace: 'other' }));
  await sources.settled();
  await sources.clock.advance(1_500);
  assert.match(await forlorn, /error looking up service account other\/default/);
});

test('Priority: classes give the number, and nobody writes it by hand', async () => {
  using around = await prepared(
    sources => [priority(sources)],
    ({ put }) => {
      put(PriorityClass, { metadata: { name: 'high' }, value: 1000, preemptionPolicy: 'Never' });
      put(PriorityClass, { metadata: { name: 'usual' }, value: 5, globalDefault: true });
    },
  );
  const { plugins } = around;
  const high = (await admit(plugins, Pod, pod({ priorityClassName: 'high' }))).object.spec;
  assert.deepEqual([high?.priority, high?.preemptionPolicy], [1000, 'Never']);
  const usual = (await admit(plugins, Pod, pod())).object.spec;
  assert.deepEqual(
    [usual?.priority, usual?.priorityClassName, usual?.preemptionPolicy],
    [5, 'usual', 'PreemptLowerPriority'],
  );
  assert.match(
    await refusal(admit(plugins, Pod, pod({ priorityClassName: 'x' }))),
    /no PriorityClass with name x was found/,
  );
  assert.match(
    await refusal(admit(plugins, Pod, pod({ priority: 7 }))),
    /the integer value of priority \(7\) must not be provided in pod spec; priority admission controller computed 5 from/,
  );
  assert.match(
    await refusal(admit(plugins, PriorityClass, { metadata: { name: 'other' }, value: 1, globalDefault: true })),
    /PriorityClass usual is already marked as default. Only one default can exist/,
  );
});

test('DefaultTolerationSeconds, TaintNodesByCondition, StorageObjectInUseProtection', async () => {
  const { object } = await admit(
    [defaultTolerationSeconds()],
    Pod,
    pod({ tolerations: [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists' }] }),
  );
  assert.deepEqual(object.spec?.tolerations, [
    { key: 'node.kubernetes.io/not-ready', operator: 'Exists' },
    { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
  ]);
  const node = await admit([taintNodesByCondition], Node, { metadata: { name: 'n' } });
  assert.deepEqual(node.object.spec?.taints, [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }]);
  const claim = await admit([storageObjectInUseProtection], PersistentVolumeClaim, { metadata: { name: 'p' } });
  assert.deepEqual(claim.object.metadata.finalizers, ['kubernetes.io/pvc-protection']);
});

test('DefaultStorageClass and DefaultIngressClass take the newest default', async () => {
  using around = await prepared(
    sources => [defaultStorageClass(sources), defaultIngressClass(sources)],
    ({ put }) => {
      const annotations = { 'storageclass.kubernetes.io/is-default-class': 'true' };
      put(StorageClass, { metadata: { name: 'a', creationTimestamp: '2026-01-01T00:00:00Z', annotations } });
      put(StorageClass, { metadata: { name: 'b', creationTimestamp: '2026-02-01T00:00:00Z', annotations } });
      put(StorageClass, { metadata: { name: 'c', creationTimestamp: '2026-03-01T00:00:00Z' } });
      put(IngressClass, {
        metadata: { name: 'i', annotations: { 'ingressclass.kubernetes.io/is-default-class': 'true' } },
      });
    },
  );
  const { plugins } = around;
  assert.equal((await admit(plugins, PersistentVolumeClaim, { spec: {} })).object.spec?.storageClassName, 'b');
  assert.equal(
    (await admit(plugins, PersistentVolumeClaim, { spec: { storageClassName: '' } })).object.spec?.storageClassName,
    '',
  );
  assert.equal((await admit(plugins, Ingress, { spec: {} })).object.spec?.ingressClassName, 'i');
});

test('PersistentVolumeClaimResize: growing needs a bound claim and a class that can', async () => {
  using around = await prepared(
    sources => [persistentVolumeClaimResize(sources)],
    ({ put }) => {
      put(StorageClass, { metadata: { name: 'grows' }, allowVolumeExpansion: true });
      put(StorageClass, { metadata: { name: 'fixed' } });
    },
  );
  const claim = (size: string, storageClassName: string, phase = 'Bound') => ({
    metadata: { name: 'p' },
    spec: { storageClassName, resources: { requests: { storage: size } } },
    status: { phase },
  });
  const grow = (from: object, to: object) =>
    admit(around.plugins, PersistentVolumeClaim, to, { operation: 'UPDATE', old: from });
  await grow(claim('1Gi', 'grows'), claim('2Gi', 'grows'));
  await grow(claim('2Gi', 'fixed'), claim('2Gi', 'fixed'));
  assert.match(
    await refusal(grow(claim('1Gi', 'fixed'), claim('2Gi', 'fixed'))),
    /only dynamically provisioned pvc can be resized/,
  );
  assert.match(
    await refusal(grow(claim('1Gi', 'grows', 'Pending'), claim('2Gi', 'grows'))),
    /Only bound persistent volume claims/,
  );
});

test('RuntimeClass: overhead and scheduling', async () => {
  using around = await prepared(
    sources => [runtimeClass(sources)],
    ({ put }) =>
      put(RuntimeClass, {
        metadata: { name: 'vm' },
        handler: 'vm',
        overhead: { podFixed: { memory: '64Mi' } },
        scheduling: { nodeSelector: { vm: 'yes' }, tolerations: [{ key: 'vm', operator: 'Exists' }] },
      }),
  );
  const { plugins } = around;
  const { object } = await admit(plugins, Pod, pod({ runtimeClassName: 'vm' }));
  assert.deepEqual(object.spec?.overhead, { memory: '64Mi' });
  assert.deepEqual(object.spec?.nodeSelector, { vm: 'yes' });
  assert.deepEqual(object.spec?.tolerations, [{ key: 'vm', operator: 'Exists' }]);
  assert.match(await refusal(admit(plugins, Pod, pod({ runtimeClassName: 'x' }))), /RuntimeClass "x" not found/);
  assert.match(
    await refusal(admit(plugins, Pod, pod({ overhead: { cpu: '1' } }))),
    /without corresponding RuntimeClass/,
  );
  assert.match(
    await refusal(admit(plugins, Pod, pod({ runtimeClassName: 'vm', overhead: { memory: '1' } }))),
    /doesn't match/,
  );
  assert.match(
    await refusal(admit(plugins, Pod, pod({ runtimeClassName: 'vm', nodeSelector: { vm: 'no' } }))),
    /conflict: /,
  );
});

test('PodTopologyLabels: a binding carries the zone of its node', async () => {
  using around = await prepared(
    sources => [podTopologyLabels(sources)],
    ({ put }) => put(Node, { metadata: { name: 'n1', labels: { 'topology.kubernetes.io/zone': 'z', other: 'x' } } }),
  );
  const { object } = await admit(
    around.plugins,
    Pod,
    { target: { name: 'n1' } },
    { subresource: 'binding', name: 'web' },
  );
  assert.deepEqual(object.metadata.labels, { 'topology.kubernetes.io/zone': 'z' });
});

test('LimitRanger: defaults are filled in and noted, bounds hold', async () => {
  using around = await prepared(
    sources => [limitRanger(sources)],
    ({ put }) =>
      put(LimitRange, {
        metadata: { name: 'l', namespace: 'ns' },
        spec: {
          limits: [
            {
              type: 'Container',
              default: { cpu: '500m', memory: '1Gi' },
              defaultRequest: { cpu: '100m' },
              max: { cpu: '1' },
              min: { cpu: '50m' },
              maxLimitRequestRatio: { cpu: '8' },
            },
            { type: 'Pod', max: { cpu: '1500m' } },
            { type: 'PersistentVolumeClaim', min: { storage: '1Gi' }, max: { storage: '2Gi' } },
          ],
        },
      }),
  );
  const { plugins } = around;
  const { object } = await admit(plugins, Pod, pod());
  assert.deepEqual(object.spec?.containers[0]?.resources, {
    requests: { cpu: '100m' },
    limits: { cpu: '500m', memory: '1Gi' },
  });
  assert.equal(
    object.metadata.annotations?.['kubernetes.io/limit-ranger'],
    'LimitRanger plugin set: cpu request for container c; cpu, memory limit for container c',
  );
  const container = (requests: object, limits: object, name = 'c') => ({ name, resources: { requests, limits } });
  const one = (requests: object, limits: object) =>
    admit(plugins, Pod, pod({ containers: [container(requests, limits)] }));
  assert.equal(
    await refusal(one({ cpu: '10m' }, { cpu: '60m' })),
    'pods "web" is forbidden: minimum cpu usage per Container is 50m, but request is 10m',
  );
  assert.equal(
    await refusal(one({ cpu: '1' }, { cpu: '2' })),
    'pods "web" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Pod is 1500m, but limit is 2]',
  );
  assert.match(
    await refusal(one({ cpu: '50m' }, { cpu: '1' })),
    /cpu max limit to request ratio per Container is 8, but provided ratio is 20.000000/,
  );
  const two = pod({ containers: [container({ cpu: '1' }, { cpu: '1' }), container({ cpu: '1' }, { cpu: '1' }, 'd')] });
  assert.equal(
    await refusal(admit(plugins, Pod, two)),
    'pods "web" is forbidden: maximum cpu usage per Pod is 1500m, but limit is 2',
  );
  const claim = (storage: string) =>
    admit(plugins, PersistentVolumeClaim, { metadata: { name: 'p' }, spec: { resources: { requests: { storage } } } });
  await claim('1Gi');
  assert.match(
    await refusal(claim('500Mi')),
    /minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi/,
  );
  assert.match(
    await refusal(claim('3Gi')),
    /maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi/,
  );
});

test('NodeRestriction: a node changes itself and what runs on it', async () => {
  using around = await prepared(
    sources => [nodeRestriction(sources)],
    ({ put }) => {
      put(Node, { metadata: { name: 'n1', uid: 'u1' } });
      put(Pod, { metadata: { name: 'web', namespace: 'ns', uid: 'p1' }, spec: { nodeName: 'n1' } });
      put(Pod, { metadata: { name: 'far', namespace: 'ns', uid: 'p2' }, spec: { nodeName: 'n2' } });
    },
  );
  const { plugins } = around;
  const user = nodeUser('n1');
  const node = (labels: object, more: object = {}) => ({ metadata: { name: 'n1', labels, ...more } });
  await admit(plugins, Node, node({ 'kubernetes.io/hostname': 'n1', 'node.kubernetes.io/pool': 'a', mine: 'x' }), {
    user,
  });
  assert.equal(
    await refusal(
      admit(
        plugins,
        Node,
        node({ 'node-restriction.kubernetes.io/pool': 'gold', 'node-role.kubernetes.io/control-plane': '' }),
        { user },
      ),
    ),
    'nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: node-restriction.kubernetes.io/pool, node-role.kubernetes.io/control-plane',
  );
  assert.match(
    await refusal(admit(plugins, Node, { metadata: { name: 'n2' } }, { user })),
    /is not allowed to modify node "n2"/,
  );
  const update = (object: object) =>
    admit(plugins, Node, object, { user, operation: 'UPDATE', old: node({ a: 'b' }), name: 'n1' });
  await update(node({ a: 'c' }));
  assert.match(
    await refusal(update({ ...node({ a: 'b' }), spec: { taints: [{ key: 'x', effect: 'NoSchedule' }] } })),
    /modify taints/,
  );
  assert.match(
    await refusal(update(node({ a: 'b', 'x.node-restriction.kubernetes.io/p': '1' }))),
    /modify labels: x.node-restriction/,
  );
  assert.match(await refusal(update(node({ a: 'b' }, { ownerReferences: [{ name: 'x' }] }))), /modify ownerReferences/);

  const owner = { apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'u1', controller: true };
  const mirror = (spec: object = {}, ownerReferences: object[] = [owner]) =>
    pod({ nodeName: 'n1', ...spec }, { annotations: { 'kubernetes.io/config.mirror': 'x' }, ownerReferences });
  await admit(plugins, Pod, mirror(), { user });
  assert.match(await refusal(admit(plugins, Pod, pod({ nodeName: 'n1' }), { user })), /can only create mirror pods/);
  assert.match(await refusal(admit(plugins, Pod, mirror({ nodeName: 'n2' }), { user })), /spec.nodeName set to itself/);
  assert.match(await refusal(admit(plugins, Pod, mirror({}, []), { user })), /owner reference set to itself/);
  assert.match(await refusal(admit(plugins, Pod, mirror({}, [{ ...owner, uid: 'other' }]), { user })), /UID mismatch/);
  const secret = { volumes: [{ name: 'v', secret: { secretName: 's' } }] };
  assert.match(
    await refusal(admit(plugins, Pod, mirror(secret), { user })),
    /can not create pods that reference secrets/,
  );
  const ephemeral = { ephemeralContainers: [{ name: 'e', envFrom: [{ configMapRef: { name: 'c' } }] }] };
  assert.match(await refusal(admit(plugins, Pod, mirror(ephemeral), { user })), /reference configmaps/);

  const remove = (name: string) => admit(plugins, Pod, undefined, { user, operation: 'DELETE', name });
  await remove('web');
  assert.match(await refusal(remove('far')), /can only delete pods with spec.nodeName set to itself/);
  const status = (nodeName: string, labels?: object) =>
    admit(plugins, Pod, pod({ nodeName }, labels && { labels }), {
      user,
      operation: 'UPDATE',
      subresource: 'status',
      old: pod({ nodeName }),
    });
  await status('n1');
  assert.match(await refusal(status('n2')), /can only update pod status for pods/);
  assert.match(await refusal(status('n1', { a: 'b' })), /cannot update labels through pod status/);
  assert.match(
    await refusal(admit(plugins, Pod, pod(), { user, operation: 'UPDATE', subresource: 'resize' })),
    /unexpected pod subresource "resize"/,
  );

  const token = (boundObjectRef: object | undefined, audiences: string[] = []) =>
    admit(
      plugins,
      ServiceAccount,
      { spec: { boundObjectRef, audiences } },
      { user, subresource: 'token', name: 'robot' },
    );
  const reference = { apiVersion: 'v1', kind: 'Pod', name: 'web', uid: 'p1' };
  await token(reference);
  assert.match(await refusal(token(undefined)), /token not bound to a pod/);
  assert.match(await refusal(token({ ...reference, uid: '' })), /without a uid/);
  assert.match(await refusal(token({ ...reference, name: 'far', uid: 'p2' })), /scheduled on a different node/);
  assert.match(await refusal(token(reference, ['vault'])), /audience "vault" not found in pod spec volume/);
  await admit(plugins, Node, { metadata: { name: 'n2' } });
});

test('the chain is in upstream order', () => {
  using sources = world();
  using webhookCaller = httpsWebhookCaller(sources.clock);
  const options = { ...sources, authorizer: alwaysAllow, checkEscalation: async () => undefined, webhookCaller };
  const names = admissionChain(options).map(each => each.name);
  // What is part of the storage upstream comes before all of them.
  const ofStorage = ['RBACEscalation', 'DeviceAdminAccess'];
  assert.deepEqual(names.slice(0, 2), ofStorage);
  const upstream = [
    'NamespaceLifecycle',
    'LimitRanger',
    'ServiceAccount',
    'NodeRestriction',
    'TaintNodesByCondition',
    'PodSecurity',
    'Priority',
    'DefaultTolerationSeconds',
    'DefaultStorageClass',
    'StorageObjectInUseProtection',
    'PersistentVolumeClaimResize',
    'RuntimeClass',
    'CertificateApproval',
    'CertificateSigning',
    'ClusterTrustBundleAttest',
    'CertificateSubjectRestriction',
    'DefaultIngressClass',
    'PodTopologyLabels',
    'NodeDeclaredFeatureValidator',
    'PodResizeValidator',
    'MutatingAdmissionPolicy',
    'MutatingAdmissionWebhook',
    'ValidatingAdmissionPolicy',
    'ValidatingAdmissionWebhook',
    'ResourceQuota',
  ];
  assert.deepEqual(names.slice(2), upstream);
  assert.deepEqual(namesInTable, pluginNames);
  const chosen = admissionChain({
    ...options,
    choice: { enabled: ['AlwaysDeny', 'AlwaysPullImages'], disabled: ['LimitRanger', 'ResourceQuota'] },
  }).map(each => each.name);
  assert.deepEqual(chosen.slice(2, 7), [
    'NamespaceLifecycle',
    'ServiceAccount',
    'NodeRestriction',
    'TaintNodesByCondition',
    'AlwaysPullImages',
  ]);
  assert.equal(chosen.at(-1), 'AlwaysDeny');
  assert.throws(
    () => admissionChain({ ...options, choice: { enabled: ['Priority'], disabled: ['Priority'] } }),
    /\[Priority\] in enable-admission-plugins and disable-admission-plugins overlapped/,
  );
});
