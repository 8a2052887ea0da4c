import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable, Writable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import {
  ApiException,
  AppsV1Api,
  Attach,
  CoreV1Api,
  Cp,
  Exec,
  KubeConfig,
  KubernetesObjectApi,
  Log,
  makeInformer,
  PatchStrategy,
  PortForward,
  setHeaderOptions,
  VersionApi,
  Watch,
  type V1ConfigMap,
  type V1Status,
} from '@kubernetes/client-node';
import { realContainers, startScenarioCluster, type ScenarioCluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { container, deployment, pod, service } from './objects.ts';

const namespace = 'default';

describe('@kubernetes/client-node against a cluster with real containers', { skip: realContainers }, () => {
  let cluster: ScenarioCluster;
  const config = new KubeConfig();
  let core: CoreV1Api;
  before(async () => {
    cluster = await startScenarioCluster();
    const { registry } = cluster;
    await cluster.apply(
      deployment('web', 1, container(`${registry}/web:v1`, { readyPath: '/healthz' })),
      service('web'),
      pod('client', container(`${registry}/client`)),
      pod('speaker', container(`${registry}/busybox`, { script: speak })),
    );
    config.loadFromFile(cluster.kubeconfig);
    core = config.makeApiClient(CoreV1Api);
    for (const what of ['pod/client', 'pod/speaker']) await cluster.kubectl('wait', what, '--for=condition=Ready');
    await cluster.kubectl('rollout', 'status', 'deployment/web');
  });
  after(async () => {
    await cluster?.[Symbol.asyncDispose]();
  });

  const makeConfigMap = (name: string, data: Record<string, string> = {}, labels: Record<string, string> = {}) =>
    core.createNamespacedConfigMap({ namespace, body: { metadata: { name, labels }, data } });

  test('creates, reads, patches, replaces and deletes typed objects', async () => {
    const { gitVersion } = await config.makeApiClient(VersionApi).getCode();
    assert.match(gitVersion, /^v1\.36\./);
    const made = await makeConfigMap('typed', { a: '1' });
    assert.ok(made.metadata?.creationTimestamp instanceof Date);
    const patches: readonly [string, object][] = [
      [PatchStrategy.JsonPatch, [{ op: 'add', path: '/data/b', value: '2' }]],
      [PatchStrategy.MergePatch, { data: { a: null, c: '3' } }],
      [PatchStrategy.StrategicMergePatch, { metadata: { labels: { patched: 'yes' } } }],
    ];
    for (const [type, body] of patches)
      await core.patchNamespacedConfigMap({ namespace, name: 'typed', body }, setHeaderOptions('Content-Type', type));
    const patched = await core.readNamespacedConfigMap({ namespace, name: 'typed' });
    assert.deepEqual([patched.data, patched.metadata?.labels], [{ b: '2', c: '3' }, { patched: 'yes' }]);
    await core.replaceNamespacedConfigMap({ namespace, name: 'typed', body: { ...patched, data: { d: '4' } } });
    const stale = core.replaceNamespacedConfigMap({ namespace, name: 'typed', body: { ...patched, data: {} } });
    assert.match(await refusal(stale, 409), /the object has been modified/);
    assert.equal((await core.deleteNamespacedConfigMap({ namespace, name: 'typed' })).status, 'Success');
    assert.match(
      await refusal(core.readNamespacedConfigMap({ namespace, name: 'typed' }), 404),
      /configmaps \\"typed\\" not found/,
    );
    const apps = config.makeApiClient(AppsV1Api);
    const scale = await apps.readNamespacedDeploymentScale({ namespace, name: 'web' });
    assert.deepEqual([scale.spec?.replicas, scale.status?.replicas], [1, 1]);
  });

  test('lists in pieces', async () => {
    const names = Array.from({ length: 25 }, (_, index) => `piece-${String(index).padStart(2, '0')}`);
    await Promise.all(names.map(name => makeConfigMap(name, {}, { pieces: 'yes' })));
    const found: (string | undefined)[] = [];
    const remaining: (number | undefined)[] = [];
    for (let next: string | undefined; ; ) {
      const page = await core.listNamespacedConfigMap({
        namespace,
        labelSelector: 'pieces in (yes)',
        limit: 10,
        ...(next !== undefined && { _continue: next }),
      });
      found.push(...page.items.map(({ metadata }) => metadata?.name));
      remaining.push(page.items.length);
      next = page.metadata?._continue;
      if (!next) break;
      // Between two pieces the list changes; what they show does not.
      if (remaining.length === 1) await makeConfigMap('piece-99', {}, { pieces: 'yes' });
    }
    assert.deepEqual(found, names);
    assert.deepEqual(remaining, [10, 10, 5]);
    await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: 'pieces=yes' });
    assert.deepEqual((await core.listNamespacedConfigMap({ namespace, labelSelector: 'pieces=yes' })).items, []);
  });

  test('watches', async () => {
    const seen: string[] = [];
    const ended = Promise.withResolvers<unknown>();
    const { metadata } = await core.listNamespacedConfigMap({ namespace });
    const stop = await new Watch(config).watch(
      `/api/v1/namespaces/${namespace}/configmaps`,
      { labelSelector: 'watched', resourceVersion: metadata?.resourceVersion, allowWatchBookmarks: true },
      (type: string, object: V1ConfigMap) => {
        if (type !== 'BOOKMARK') seen.push(`${type} ${object.metadata?.name} ${object.data?.a ?? ''}`);
      },
      error => ended.resolve(error),
    );
    await makeConfigMap('not-watched');
    await makeConfigMap('watched', { a: '1' }, { watched: '' });
    const patch = (body: object) =>
      core.patchNamespacedConfigMap(
        { namespace, name: 'watched', body },
        setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
      );
    await patch({ data: { a: '2' } });
    // Leaving the selection is a deletion, entering it an addition.
    await patch({ metadata: { labels: { watched: null } } });
    await patch({ metadata: { labels: { watched: 'again' } } });
    await core.deleteNamespacedConfigMap({ namespace, name: 'watched' });
    await eventually('all events are seen', () => seen.length >= 5);
    assert.deepEqual(seen, [
      'ADDED watched 1',
      'MODIFIED watched 2',
      'DELETED watched 2',
      'ADDED watched 2',
      'DELETED watched 2',
    ]);
    stop.abort();
    await ended.promise;
  });

  test('an informer goes on after the control plane was restarted', async () => {
    const informer = makeInformer(
      config,
      `/api/v1/namespaces/${namespace}/configmaps`,
      () => core.listNamespacedConfigMap({ namespace, labelSelector: 'informed=yes' }),
      'informed=yes',
    );
    const events: string[] = [];
    let failures = 0;
    for (const verb of ['add', 'update', 'delete'] as const)
      informer.on(verb, object => events.push(`${verb} ${object.metadata?.name} ${object.data?.a}`));
    let stopped = false;
    informer.on('error', () => {
      failures++;
      // As the client's own example does it, only that it does not wait for a fixed time.
      if (!stopped) eventually('the server is back', () => core.getAPIResources()).then(() => informer.start());
    });
    const informed = { informed: 'yes' };
    await makeConfigMap('before', { a: '1' }, informed);
    await informer.start();
    await eventually('the first is seen', () => events.length === 1);

    const pid = cluster.pid('control-plane');
    process.kill(pid, 'SIGKILL');
    await eventually('another control plane answers', async () => {
      if (cluster.pid('control-plane') === pid) return false;
      await core.getAPIResources();
      return true;
    });
    await makeConfigMap('after', { a: '2' }, informed);
    const body = { data: { a: '3' } };
    await core.patchNamespacedConfigMap(
      { namespace, name: 'before', body },
      setHeaderOptions('Content-Type', PatchStrategy.MergePatch),
    );
    await core.deleteNamespacedConfigMap({ namespace, name: 'after' });
    await eventually('what came after it is seen', () => events.includes('delete after 2'));
    stopped = true;
    await informer.stop();
    assert.deepEqual(events, ['add before 1', 'add after 2', 'update before 3', 'delete after 2']);
    assert.ok(failures > 0, 'it noticed that its watch ended');
    assert.equal(informer.get('before', namespace)?.data?.a, '3');
    assert.equal(informer.list().length, 1);
  });

  test('executes commands: output, exit code, input, terminal', async () => {
    const plain = await execute(['sh', '-c', 'echo out; echo err >&2']);
    assert.deepEqual([plain.out, plain.err, plain.status.status], ['out\n', 'err\n', 'Success']);

    const failing = await execute(['sh', '-c', 'exit 7']);
    assert.equal(failing.status.reason, 'NonZeroExitCode');
    assert.deepEqual(failing.status.details?.causes, [{ reason: 'ExitCode', message: '7' }]);
    assert.match(failing.status.message ?? '', /command terminated with non-zero exit code/);

    const missing = await execute(['/no/such/command']);
    assert.equal(missing.status.status, 'Failure');

    // Ends because its input ends.
    const bytes = 3_000_000;
    const counting = await execute(['wc', '-c'], Readable.from([Buffer.alloc(bytes, 'x')]));
    assert.equal(counting.out.trim(), String(bytes));
    const copying = await execute(['cat'], Readable.from([Buffer.alloc(bytes, 'y')]));
    assert.equal(copying.out.length, bytes);

    const terminal = await execute(['tty'], new PassThrough(), true);
    assert.match(terminal.out, /^\/dev\/pts\/\d+\r\n$/);

    const nowhere = new Exec(config).exec(
      namespace,
      'client',
      'nobody',
      ['true'],
      new PassThrough(),
      null,
      null,
      false,
    );
    await assert.rejects(nowhere);

    async function execute(command: string[], stdin: Readable | null = null, tty = false) {
      const [out, err] = [collector(), collector()];
      const status = await new Promise<V1Status>((resolve, reject) => {
        new Exec(config)
          .exec(namespace, 'client', 'main', command, out, tty ? null : err, stdin, tty, resolve)
          .catch(reject);
      });
      return { out: out.text(), err: err.text(), status };
    }
  });

  test('attaches', async () => {
    const out = collector();
    const socket = await new Attach(config).attach(namespace, 'speaker', 'main', out, null, null, false);
    await eventually('it hears two lines', () => out.text().split('\n').length > 3);
    socket.close();
  });

  test('copies files out', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'windlass-copy-'));
    try {
      await cluster.kubectl('exec', 'client', '--', 'sh', '-c', 'yes a file | head -c 700000 >/tmp/there');
      await new Cp(config).cpFromPod(namespace, 'client', 'main', 'there', folder, '/tmp');
      await eventually('it came', () => readFileSync(join(folder, 'there'), 'utf8').length === 700_000);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('follows a log', async () => {
    const log = new Log(config);
    const whole = collector();
    // It ends because we end it, which the client says nowhere but here.
    whole.on('pipe', (source: Readable) => source.on('error', error => assert.equal(error.name, 'AbortError')));
    const stop = await log.log(namespace, 'speaker', 'main', whole, { follow: true, tailLines: 2, timestamps: true });
    await eventually('it goes on', () => whole.text().split('\n').length > 6);
    stop.abort();
    const lines = whole.text().split('\n').slice(0, -1);
    const numbers = lines.map(line => Number(/^\d{4}-\d\d-\d\dT[\d:.]+Z line (\d+)$/.exec(line)?.[1]));
    assert.deepEqual(
      numbers,
      numbers.map((_, index) => (numbers[0] ?? 0) + index),
    );
    const head = collector();
    await log.log(namespace, 'speaker', 'main', head, { limitBytes: 13 });
    await once(head, 'finish');
    assert.equal(head.text(), 'line 0\nline 1');
    await assert.rejects(
      log.log(namespace, 'speaker', 'nobody', collector()),
      (error: unknown) => error instanceof ApiException && error.code === 400,
    );
  });

  test('forwards ports', async () => {
    const forward = new PortForward(config);
    const [{ metadata }] = (await core.listNamespacedPod({ namespace, labelSelector: 'app=web' })).items as [
      V1ConfigMap,
    ];
    const name = metadata?.name ?? '';
    await using server = createServer(socket => {
      forward.portForward(namespace, name, [80], socket, null, socket).catch((error: unknown) => {
        socket.destroy(error as Error);
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const ask = async () => {
      const socket = connect(port, '127.0.0.1');
      const answer = collector();
      socket.pipe(answer);
      socket.write('GET / HTTP/1.0\r\n\r\n');
      await eventually('an answer', () => answer.text().includes(`web v1 ${name}`));
      socket.destroy();
    };
    await Promise.all([ask(), ask(), ask()]);
    const [input, output] = [new PassThrough(), collector()];
    const socket = await forward.portForwardService(namespace, 'web', [80], output, null, input);
    input.write('GET / HTTP/1.0\r\n\r\n');
    await eventually('an answer through the service', () => output.text().includes(`web v1 ${name}`));
    if (typeof socket !== 'function') socket.close();
  });

  test('applies on the server, and is told of conflicts', async () => {
    const objects = KubernetesObjectApi.makeApiClient(config);
    const apply = (fieldManager: string, data: Record<string, string>, force?: boolean) =>
      objects.patch<V1ConfigMap>(
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied', namespace }, data } as V1ConfigMap,
        undefined,
        undefined,
        fieldManager,
        force,
        PatchStrategy.ServerSideApply,
      );
    const owners = (object: V1ConfigMap) =>
      object.metadata?.managedFields?.map(({ manager, operation }) => `${manager} ${operation}`).toSorted();
    const first = await apply('one', { a: '1', b: '1' });
    assert.deepEqual(owners(first), ['one Apply']);
    const second = await apply('two', { a: '1', c: '2' });
    assert.deepEqual(second.data, { a: '1', b: '1', c: '2' });
    assert.deepEqual(owners(second), ['one Apply', 'two Apply']);
    const conflict = await refusal(apply('two', { b: '2', c: '2' }), 409);
    assert.match(conflict, /Apply failed with 1 conflict: conflict with \\?"one\\?": \.data\.b/);
    assert.match(conflict, /FieldManagerConflict/);
    assert.deepEqual((await apply('two', { b: '2', c: '2' }, true)).data, { a: '1', b: '2', c: '2' });
    // What a manager no longer says, and nobody else does, goes.
    assert.deepEqual((await apply('one', {})).data, { b: '2', c: '2' });
  });
});

const speak = "trap 'exit 0' TERM; i=0; while :; do echo line $i; i=$((i+1)); sleep 0.1; done";

/** A stream that keeps what is written to it. */
function collector(): Writable & { text(): string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  return Object.assign(stream, { text: () => Buffer.concat(chunks).toString() });
}

/** The body of a refusal with a certain code. */
async function refusal(request: Promise<unknown>, code: number): Promise<string> {
  try {
    await request;
  } catch (error) {
    assert.ok(error instanceof ApiException, String(error));
    assert.equal(error.code, code);
    return typeof error.body === 'string' ? error.body : JSON.stringify(error.body);
  }
  return assert.fail(`the request was not refused with ${code}`);
}
