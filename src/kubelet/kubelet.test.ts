import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ClusterTrustBundle } from '#api/certificates/v1beta1/cluster-trust-bundle.ts';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Event } from '#api/core/v1/event.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { seededRandom } from '#base/random.ts';
import { HollowRuntime, type HollowRuntimeOptions } from '#runtime/hollow/runtime.ts';
import { defaultKubeletConfiguration, type KubeletConfiguration } from './configuration.ts';
import { startKubelet, type Kubelet, type KubeletOptions } from './kubelet.ts';
import { MemoryApi } from './testing/memory-api.ts';
import { until } from './testing/until.ts';

type Json = Record<string, unknown>;

/** A node with a pretended runtime, an API in memory and a clock that stands still. */
async function open(
  options: Partial<HollowRuntimeOptions> = {},
  configuration: Partial<KubeletConfiguration> = {},
  more: Partial<KubeletOptions> = {},
) {
  const clock = new ManualClock();
  const api = new MemoryApi(clock);
  const rootDir = await mkdtemp(join(tmpdir(), 'windlass-kubelet-'));
  const runtime = new HollowRuntime({ clock, random: seededRandom(1), ...options });
  const start = () =>
    startKubelet({
      client: api.client,
      runtime,
      nodeName: 'node-1',
      nodeIPs: ['192.0.2.1'],
      rootDir,
      clock,
      random: seededRandom(2),
      log: silentLog,
      clusterDNS: ['10.96.0.10'],
      clusterDomain: 'cluster.local',
      configuration: { ...defaultKubeletConfiguration, ...configuration },
      ...more,
    });
  let kubelet: Kubelet = await start();
  const pod = (name = 'a') => api.object(Pod, name, 'default');
  const main = { name: 'main', image: 'busybox', imagePullPolicy: 'IfNotPresent', terminationMessagePolicy: 'File' };
  return {
    clock,
    api,
    runtime,
    rootDir,
    pod,
    main,
    create: (spec: Json = {}, name = 'a') =>
      api.client.create(Pod, {
        metadata: { name, namespace: 'default' },
        spec: {
          nodeName: 'node-1',
          restartPolicy: 'Always',
          terminationGracePeriodSeconds: 30,
          containers: [main],
          ...spec,
        } as object,
        status: { phase: 'Pending', conditions: [{ type: 'PodScheduled', status: 'True' }] },
      }),
    phase: (phase: string, name = 'a') => until(`${name} is ${phase}`, () => pod(name)?.status?.phase === phase),
    ready: (isReady: boolean, name = 'a') =>
      until(`${name} is ${isReady ? '' : 'not '}ready`, () =>
        pod(name)?.status?.conditions?.some(each => each.type === 'Ready' && (each.status === 'True') === isReady),
      ),
    waiting: (reason: string, name = 'a') =>
      until(`${name} waits: ${reason}`, () => {
        const { containerStatuses = [], initContainerStatuses = [] } = pod(name)?.status ?? {};
        return [...initContainerStatuses, ...containerStatuses].find(each => each.state?.waiting?.reason === reason)
          ?.state?.waiting;
      }),
    gone: (name = 'a') => until(`${name} is gone`, () => pod(name) === undefined),
    reasons: () => api.objects(Event).map(({ reason }) => reason),
    restart: async () => {
      await kubelet[Symbol.asyncDispose]();
      kubelet = await start();
      return kubelet;
    },
    get kubelet() {
      return kubelet;
    },
    async [Symbol.asyncDispose]() {
      await kubelet[Symbol.asyncDispose]();
      await runtime[Symbol.asyncDispose]();
      await rm(rootDir, { recursive: true, force: true });
    },
  };
}

describe('kubelet on a hollow runtime', () => {
  test('the node is registered and ready', async () => {
    await using node = await open();
    const found = node.api.object(Node, 'node-1');
    assert.equal(found?.status?.conditions?.find(({ type }) => type === 'Ready')?.reason, 'KubeletReady');
    assert.deepEqual(found?.status?.addresses?.[0], { type: 'InternalIP', address: '192.0.2.1' });
    assert.match(found?.status?.allocatable?.['memory'] ?? '', /^\d+Ki$/);
  });

  test('a pod runs, is ready, and says what upstream says', async () => {
    await using node = await open();
    await node.create();
    await node.ready(true);
    const { status } = node.pod() ?? {};
    assert.equal(status?.phase, 'Running');
    assert.match(status?.podIP ?? '', /^\d+\./);
    const [container] = status?.containerStatuses ?? [];
    assert.match(container?.containerID ?? '', /^windlass:\/\//);
    assert.equal(container?.started, true);
    assert.deepEqual(container?.lastState, {});
    await until('five events', () => node.reasons().filter(reason => reason !== 'Starting').length >= 4);
    assert.deepEqual(
      node.reasons().filter(reason => reason !== 'Starting'),
      ['Pulling', 'Pulled', 'Created', 'Started'],
    );
    const hosts = await readFile(join(node.rootDir, 'pods', node.pod()?.metadata.uid ?? '', 'etc-hosts'), 'utf8');
    assert.match(hosts, new RegExp(`${status?.podIP}\ta\n`));
  });

  test('a deleted pod is stopped and gone, with nothing left', async () => {
    await using node = await open();
    await node.create();
    await node.ready(true);
    await node.api.client.delete(Pod, 'a', { namespace: 'default' });
    await node.gone();
    await until('no worker is left', () => node.kubelet.pods.size === 0);
    assert.deepEqual(await node.runtime.listPodSandbox(), []);
    assert.ok(node.reasons().includes('Killing'));
  });

  test('a container that ends is started again, later and later', async () => {
    await using node = await open({ behaviours: [{ behaviour: { runMs: 1000, exitCode: 1 } }] });
    await node.create();
    await node.phase('Running');
    await node.clock.advance(1000);
    await until('it was restarted', () => node.pod()?.status?.containerStatuses?.[0]?.restartCount === 1);
    await until('it runs again', () => node.pod()?.status?.containerStatuses?.[0]?.state?.running);
    await node.clock.advance(1000);
    const { message } = await node.waiting('CrashLoopBackOff');
    const uid = node.pod()?.metadata.uid;
    assert.equal(message, `back-off 10s restarting failed container=main pod=a_default(${uid})`);
    assert.equal(node.pod()?.status?.phase, 'Running');
    await node.clock.advance(9999);
    assert.equal(node.pod()?.status?.containerStatuses?.[0]?.restartCount, 1);
    await node.clock.advance(1);
    await until('it was restarted twice', () => node.pod()?.status?.containerStatuses?.[0]?.restartCount === 2);
    await until('an event tells of it', () => node.reasons().includes('BackOff'));
  });

  test('a pod that never restarts succeeds or fails', async () => {
    await using node = await open({
      behaviours: [{ behaviour: { runMs: 1000 } }, { image: 'bad', behaviour: { exitCode: 3 } }],
    });
    await node.create({ restartPolicy: 'Never' }, 'good');
    await node.create({ restartPolicy: 'Never', containers: [{ ...node.main, image: 'bad' }] }, 'bad');
    await node.phase('Running', 'good');
    await node.phase('Running', 'bad');
    await node.clock.advance(1000);
    await node.phase('Succeeded', 'good');
    await node.phase('Failed', 'bad');
    const conditions = node.pod('good')?.status?.conditions;
    assert.equal(conditions?.find(({ type }) => type === 'Ready')?.reason, 'PodCompleted');
    assert.equal(node.pod('bad')?.status?.containerStatuses?.[0]?.state?.terminated?.exitCode, 3);
    await node.api.client.delete(Pod, 'good', { namespace: 'default' });
    await node.gone('good');
  });

  test('trust bundles are mounted, and follow what the API has', async () => {
    await using node = await open();
    const certificate = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
    const bundle = (name: string, text: string) =>
      node.api.client.create(ClusterTrustBundle, {
        metadata: { name, labels: { live: 'yes' } },
        spec: { signerName: 'example.com/signer', trustBundle: certificate(text) },
      });
    await bundle('example.com:signer:one', 'one');
    const source = { signerName: 'example.com/signer', labelSelector: { matchLabels: { live: 'yes' } }, path: 'roots' };
    await node.create({
      volumes: [{ name: 'roots', projected: { sources: [{ clusterTrustBundle: source }], defaultMode: 0o644 } }],
    });
    await node.ready(true);
    const { uid = '' } = node.pod()?.metadata ?? {};
    const file = join(node.rootDir, 'pods', uid, 'volumes', 'kubernetes.io~projected', 'roots', 'roots');
    assert.equal(await readFile(file, 'utf8'), certificate('one'));
    await bundle('example.com:signer:two', 'two');
    await until('both are there', () => readFileSync(file, 'utf8') === certificate('one') + certificate('two'));
    await node.api.client.delete(Pod, 'a', { namespace: 'default' });
    await node.gone();
  });

  test('init containers run one after another, sidecars stay', async () => {
    await using node = await open({ behaviours: [{ image: 'step', behaviour: { runMs: 1000 } }] });
    const init = (name: string, more: Json = {}) => ({ ...node.main, name, image: 'step', ...more });
    const side = init('side', { image: 'side', restartPolicy: 'Always' });
    await node.create({ initContainers: [init('one'), side, init('two')] });
    const reasons = () => node.pod()?.status?.initContainerStatuses?.map(({ state }) => state?.waiting?.reason);
    await until('the pod is told of', () => reasons());
    // Before the first of them is made, too.
    assert.ok(reasons()?.every(reason => reason === undefined || reason === 'PodInitializing'));
    await until('the first runs', () => node.pod()?.status?.initContainerStatuses?.[0]?.state?.running);
    assert.equal(reasons()?.[2], 'PodInitializing');
    await node.clock.advance(1000);
    await until('the last runs', () => node.pod()?.status?.initContainerStatuses?.[2]?.state?.running);
    assert.ok(node.pod()?.status?.initContainerStatuses?.[1]?.state?.running);
    assert.equal(node.pod()?.status?.conditions?.find(({ type }) => type === 'Initialized')?.status, 'False');
    await node.clock.advance(1000);
    await node.ready(true);
    assert.ok(node.pod()?.status?.initContainerStatuses?.[1]?.state?.running);
  });

  test('a failed init container of a pod that never restarts fails the pod', async () => {
    await using node = await open({ behaviours: [{ image: 'step', behaviour: { runMs: 1000, exitCode: 2 } }] });
    await node.create({ restartPolicy: 'Never', initContainers: [{ ...node.main, name: 'one', image: 'step' }] });
    await until('it runs', () => node.pod()?.status?.initContainerStatuses?.[0]?.state?.running);
    await node.clock.advance(1000);
    await node.phase('Failed');
    assert.equal(node.pod()?.status?.containerStatuses?.[0]?.state?.waiting?.reason, 'PodInitializing');
  });

  test('an image that cannot be had is tried again and again', async () => {
    await using node = await open({ missingImages: new Set(['nowhere/none']) });
    await node.create({ containers: [{ ...node.main, image: 'nowhere/none' }] });
    await node.waiting('ErrImagePull');
    await node.clock.advance(1000);
    const { message } = await node.waiting('ImagePullBackOff');
    assert.match(message ?? '', /^Back-off pulling image "nowhere\/none": ErrImagePull: /);
    assert.equal(node.pod()?.status?.phase, 'Pending');
  });

  test('image names and policies that lead nowhere', async () => {
    await using node = await open();
    await node.create({ containers: [{ ...node.main, image: 'Not An Image' }] }, 'invalid');
    await node.create({ containers: [{ ...node.main, image: 'absent', imagePullPolicy: 'Never' }] }, 'never');
    const { message } = await node.waiting('InvalidImageName', 'invalid');
    assert.match(message ?? '', /couldn't parse image name "Not An Image": invalid reference format/);
    await node.waiting('ErrImageNeverPull', 'never');
  });

  test('a missing ConfigMap holds the pod back until it comes', async () => {
    await using node = await open();
    const env = [{ name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } }];
    await node.create({ containers: [{ ...node.main, env }] });
    const { message } = await node.waiting('CreateContainerConfigError');
    assert.equal(message, 'configmap "settings" not found');
    await node.api.client.create(ConfigMap, {
      metadata: { name: 'settings', namespace: 'default' },
      data: { colour: 'blue' },
    });
    await node.ready(true);
  });

  test('a volume that is missing is told, mounted when it comes, and follows changes', async () => {
    await using node = await open();
    const volumes = [{ name: 'settings', configMap: { name: 'settings', defaultMode: 0o644 } }];
    await node.create({ volumes });
    await until('an event tells of it', () => node.api.objects(Event).find(({ reason }) => reason === 'FailedMount'));
    const event = node.api.objects(Event).find(({ reason }) => reason === 'FailedMount');
    assert.equal(event?.message, 'MountVolume.SetUp failed for volume "settings" : configmap "settings" not found');
    await node.api.client.create(ConfigMap, { metadata: { name: 'settings', namespace: 'default' }, data: { a: '1' } });
    await node.ready(true);
    const file = join(
      node.rootDir,
      'pods',
      node.pod()?.metadata.uid ?? '',
      'volumes/kubernetes.io~configmap/settings/a',
    );
    assert.equal(await readFile(file, 'utf8'), '1');
    const patch = { data: { a: '2' } };
    await node.api.client.patch(ConfigMap, 'settings', { type: 'merge', patch }, { namespace: 'default' });
    for (let text = ''; text !== '2'; ) text = await readFile(file, 'utf8');
  });

  test('a restarted agent takes over what runs and touches nothing', async () => {
    await using node = await open();
    await node.create();
    await node.ready(true);
    const before = node.pod()?.status?.containerStatuses?.[0];
    await node.restart();
    await until('the pod is known again', () => node.kubelet.pods.size === 1);
    await node.clock.advance(60_000);
    assert.deepEqual(node.pod()?.status?.containerStatuses?.[0], before);
    assert.equal((await node.runtime.listContainers()).length, 1);
  });

  test('a pod that was ready stays so while its agent starts anew, until a probe says otherwise', async () => {
    await using node = await open();
    const readinessProbe = {
      exec: { command: ['check'] },
      periodSeconds: 10,
      failureThreshold: 3,
      successThreshold: 1,
    };
    await node.create({ containers: [{ ...node.main, readinessProbe: { ...readinessProbe, timeoutSeconds: 1 } }] });
    await until('its first probe is due', () => node.kubelet.pods.values().next().value?.running.length === 1);
    await node.clock.advance(1000);
    await node.ready(true);
    const seen: (boolean | undefined)[] = [];
    node.api.refuse = () =>
      seen.push(node.pod()?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True'));
    await node.restart();
    await until('the pod is known again', () => node.kubelet.pods.values().next().value?.running.length === 1);
    await node.clock.advance(60_000);
    await node.ready(true);
    assert.ok(!seen.includes(false));
  });

  test('what somebody else writes into the status of a pod in the same second is put right', async () => {
    await using node = await open();
    await node.create();
    await node.ready(true);
    // As the node lifecycle controller does when a node has not been heard of.
    const conditions = ['Ready', 'ContainersReady'].map(type => ({ type, status: 'False' }));
    for (let time = 0; time < 3; time++) {
      const patch = { status: { conditions } };
      await node.api.client.patch(
        Pod,
        'a',
        { type: 'strategic', patch },
        { namespace: 'default', subresource: 'status' },
      );
      await node.ready(true);
    }
  });

  test('a pod that fills its emptyDir beyond the limit is evicted', async () => {
    await using node = await open();
    const { metadata } = await node.create({ volumes: [{ name: 'data', emptyDir: { sizeLimit: '1Mi' } }] });
    await node.ready(true);
    const volume = join(node.rootDir, 'pods', metadata.uid ?? '', 'volumes', 'kubernetes.io~empty-dir', 'data');
    await writeFile(join(volume, 'much'), Buffer.alloc(2 * 1024 * 1024, 'x'));
    for (let look = 0; look < 3; look++) await node.clock.advance(10_000);
    await node.phase('Failed');
    const { status } = node.pod() ?? {};
    assert.equal(status?.reason, 'Evicted');
    assert.equal(status?.message, 'Usage of EmptyDir volume "data" exceeds the limit "1Mi". ');
    const target = status?.conditions?.find(({ type }) => type === 'DisruptionTarget');
    assert.deepEqual([target?.status, target?.reason], ['True', 'TerminationByKubelet']);
    assert.ok(node.reasons().includes('Evicted'));
  });

  test('a static pod runs by its file, and the API shows it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'windlass-static-'));
    const manifest = (image: string) =>
      `apiVersion: v1\nkind: Pod\nmetadata: {name: own}\nspec: {containers: [{name: main, image: ${image}}], terminationGracePeriodSeconds: 0}\n`;
    await writeFile(join(folder, 'own.yaml'), manifest('busybox'));
    await writeFile(join(folder, 'broken.yaml'), 'kind: Nothing\n');
    try {
      await using node = await open({}, { staticPodPath: folder });
      const mirror = () => node.pod('own-node-1');
      const images = () => mirror()?.status?.containerStatuses?.[0]?.image;
      await until('the API shows it', () => {
        void node.clock.advance(100);
        return mirror();
      });
      await node.ready(true, 'own-node-1');
      const { metadata, spec } = mirror() ?? {};
      const hash = metadata?.annotations?.['kubernetes.io/config.hash'] ?? '';
      assert.match(hash, /^[0-9a-f]{32}$/);
      assert.equal(metadata?.annotations?.['kubernetes.io/config.mirror'], hash);
      assert.equal(metadata?.annotations?.['kubernetes.io/config.source'], 'file');
      assert.equal(metadata?.ownerReferences?.[0]?.kind, 'Node');
      assert.equal(spec?.nodeName, 'node-1');

      // Whoever deletes the picture does not touch the pod.
      const [container] = await node.runtime.listContainers();
      await node.api.client.delete(Pod, 'own-node-1', { namespace: 'default', gracePeriodSeconds: 0 });
      await node.clock.advance(1000);
      await until('it is shown again', () => mirror() !== undefined && mirror()?.metadata.uid !== metadata?.uid);
      await node.ready(true, 'own-node-1');
      assert.equal((await node.runtime.listContainers())[0]?.id, container?.id);

      await node.restart();
      await node.ready(true, 'own-node-1');
      assert.deepEqual(
        (await node.runtime.listContainers()).map(({ id }) => id),
        [container?.id],
      );

      await writeFile(join(folder, 'own.yaml'), manifest('other'));
      await until('the changed one runs in its place', () => {
        void node.clock.advance(1000);
        return images() === 'other' && mirror()?.metadata.annotations?.['kubernetes.io/config.mirror'] !== hash;
      });
      await node.ready(true, 'own-node-1');
      assert.equal((await node.runtime.listPodSandbox()).length, 1);

      await rm(join(folder, 'own.yaml'));
      await until('it is gone', () => {
        void node.clock.advance(1000);
        return mirror() === undefined;
      });
      assert.equal((await node.runtime.listPodSandbox()).length, 0);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('pods are ended in order when the machine goes down: the critical ones last', async () => {
    const [shutdown, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const notice = { announced: shutdown.promise, release: released.resolve, [Symbol.dispose]: released.resolve };
    await using node = await open(
      {},
      { shutdownGracePeriod: '30s', shutdownGracePeriodCriticalPods: '10s' },
      { shutdownNotice: async () => notice },
    );
    await node.create({}, 'common');
    await node.create({ priority: 2_000_000_000 }, 'critical');
    await Promise.all(['common', 'critical'].map(name => node.ready(true, name)));
    shutdown.resolve();
    await node.phase('Failed', 'common');
    await node.phase('Failed', 'critical');
    await released.promise;
    const { reason, message, conditions } = node.pod('common')?.status ?? {};
    assert.equal(reason, 'Terminated');
    assert.equal(message, 'Pod was terminated in response to imminent node shutdown.');
    assert.equal(conditions?.find(({ type }) => type === 'DisruptionTarget')?.reason, 'TerminationByKubelet');
    const finished = (name: string) => node.pod(name)?.metadata.resourceVersion;
    assert.ok(Number(finished('common')) < Number(finished('critical')));
    const about = node.api.object(Node, 'node-1')?.status?.conditions?.find(({ type }) => type === 'Ready');
    assert.deepEqual([about?.status, about?.message], ['False', '[node is shutting down]']);
    await node.create({}, 'late');
    await node.phase('Failed', 'late');
    assert.equal(node.pod('late')?.status?.reason, 'NodeShutdown');
  });

  test('pods that were deleted while no agent was there are cleaned up', async () => {
    await using node = await open();
    await node.create();
    await node.ready(true);
    await node.kubelet[Symbol.asyncDispose]();
    await node.api.client.delete(Pod, 'a', { namespace: 'default', gracePeriodSeconds: 0 });
    await node.restart();
    let left = 1;
    while (left > 0) {
      left = (await node.runtime.listPodSandbox()).length;
      // The pretended runtime answers at once: files and timers need their turn, too.
      await new Promise(resolve => setImmediate(resolve));
    }
  });

  test('liveness decides about life, readiness about traffic, startup about both', async () => {
    await using node = await open({ behaviours: [{ image: 'sick', behaviour: { execExitCode: 1 } }] });
    const probe = {
      exec: { command: ['check'] },
      periodSeconds: 1,
      timeoutSeconds: 1,
      failureThreshold: 2,
      successThreshold: 1,
    };
    await node.create({ containers: [{ ...node.main, readinessProbe: { ...probe, initialDelaySeconds: 5 } }] }, 'slow');
    await node.create(
      { containers: [{ ...node.main, image: 'sick', livenessProbe: probe }], terminationGracePeriodSeconds: 0 },
      'sick',
    );
    await node.phase('Running', 'slow');
    await node.ready(false, 'slow');
    await node.phase('Running', 'sick');
    await until('it is ready', () => {
      void node.clock.advance(1000);
      return node.pod('slow')?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
    });
    await until('it was restarted', () => {
      void node.clock.advance(1000);
      return (node.pod('sick')?.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0;
    });
    const killing = node.api.objects(Event).find(({ reason }) => reason === 'Killing');
    assert.equal(killing?.message, 'Container main failed liveness probe, will be restarted');
  });

  test('a pod past its deadline is failed', async () => {
    await using node = await open();
    await node.create({ activeDeadlineSeconds: 60 });
    await node.ready(true);
    await node.clock.advance(60_000);
    await node.phase('Failed');
    assert.equal(node.pod()?.status?.reason, 'DeadlineExceeded');
  });

  test('a pod that does not fit is refused', async () => {
    await using node = await open();
    await node.create({ containers: [{ ...node.main, resources: { requests: { cpu: '1000' } } }] }, 'big');
    await node.create({ nodeSelector: { disk: 'ssd' } }, 'picky');
    await node.phase('Failed', 'big');
    await node.phase('Failed', 'picky');
    assert.equal(node.pod('big')?.status?.reason, 'OutOfcpu');
    assert.match(
      node.pod('big')?.status?.message ?? '',
      /^Pod was rejected: Node didn't have enough resource: cpu, requested: 1000000, used: 0, capacity: \d+$/,
    );
    assert.equal(node.pod('picky')?.status?.reason, 'NodeAffinity');
  });
});
