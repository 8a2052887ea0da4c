import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import https from 'node:https';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { Pod } from '#api/core/v1/pod.ts';
import { missingForOci } from '#runtime/oci/runtime.ts';
import { eventually } from '../scenarios/eventually.ts';
import { startRealNode, type RealNode } from './cluster.ts';

const missing = await missingForOci();

/** Real containers, driven with the real kubectl. */
describe('a node with real containers', { skip: missing.length > 0 && missing.join(', ') }, () => {
  let node: RealNode;
  let scratch: string;

  before(async () => {
    node = await startRealNode();
    scratch = await mkdtemp(join(tmpdir(), 'windlass-kubectl-'));
  });
  after(async () => {
    await node?.[Symbol.asyncDispose]();
    if (scratch) await rm(scratch, { recursive: true, force: true });
  });

  const ok = async (args: readonly string[], options = {}) => {
    const { exitCode, stdout, stderr } = await node.kubectl(args, options);
    assert.equal(exitCode, 0, `kubectl ${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  const apply = async (...objects: object[]) => {
    const file = join(scratch, 'objects.yaml');
    await writeFile(file, objects.map(object => `---\n${JSON.stringify(object)}\n`).join(''));
    await ok(['apply', '-f', file]);
  };
  const shell = (script: string, more: object = {}) => ({
    name: 'main',
    image: 'busybox',
    imagePullPolicy: 'IfNotPresent',
    command: ['sh', '-c', script],
    ...more,
  });
  const forever = 'trap exit TERM; while :; do sleep 1000 & wait; done';
  const pod = (name: string, spec: object) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: { terminationGracePeriodSeconds: 5, ...spec },
  });
  const ready = (name: string) => ok(['wait', '--for=condition=Ready', `pod/${name}`, '--timeout=30s']);
  const ended = (name: string, phase: string) =>
    ok(['wait', `--for=jsonpath={.status.phase}=${phase}`, `pod/${name}`, '--timeout=30s']);
  const exec = (name: string, script: string) => ok(['exec', name, '-c', 'main', '--', 'sh', '-c', script]);
  const status = async (name: string) => (await node.client.get(Pod, name, { namespace: 'default' })).status;

  test('logs, exec and cp, over WebSocket and SPDY', async () => {
    await apply(pod('talk', { containers: [shell(`echo first; echo second >&2; ${forever}`)] }));
    await ready('talk');
    assert.equal(await ok(['logs', 'talk']), 'first\nsecond\n');
    assert.equal(await ok(['logs', 'talk', '--tail=1']), 'second\n');
    assert.match(await ok(['logs', 'talk', '--timestamps', '--tail=1']), /^\d{4}-\d\d-\d\dT\S+ second\n$/);
    for (const spdy of [false, true]) {
      assert.equal(await ok(['exec', 'talk', '--', 'echo', 'hello'], { spdy }), 'hello\n');
      const failed = await node.kubectl(['exec', 'talk', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'], { spdy });
      assert.equal(failed.exitCode, 7);
      assert.equal(failed.stdout, 'out\n');
      assert.match(failed.stderr, /^err\n/);
      const file = join(scratch, 'random');
      await writeFile(file, Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7919) % 251)));
      await ok(['cp', file, 'talk:/tmp/random'], { spdy });
      await ok(['cp', 'talk:/tmp/random', `${file}-back`], { spdy });
      assert.ok(readFileSync(file).equals(readFileSync(`${file}-back`)));
    }
  });

  test('port-forward reaches the pod, over WebSocket and SPDY', async () => {
    await apply(
      pod('web', {
        containers: [
          {
            name: 'main',
            image: 'web:v1',
            imagePullPolicy: 'IfNotPresent',
            readinessProbe: { httpGet: { path: '/', port: 80 }, periodSeconds: 1 },
          },
        ],
      }),
    );
    await ready('web');
    for (const spdy of [false, true]) {
      const environment = { ...process.env, KUBECTL_PORT_FORWARD_WEBSOCKETS: String(!spdy) };
      const forward = spawn('kubectl', ['--kubeconfig', node.kubeconfig, 'port-forward', 'pod/web', ':80'], {
        env: environment,
      });
      try {
        const port = await new Promise<number>((resolve, reject) => {
          let said = '';
          forward.stdout.on('data', (chunk: Buffer) => {
            said += chunk.toString();
            const match = /127\.0\.0\.1:(\d+)/.exec(said);
            if (match) resolve(Number(match[1]));
          });
          forward.on('exit', () => reject(new Error(`kubectl port-forward ended: ${said}`)));
        });
        for (let round = 0; round < 3; round++) assert.match(await get(port), /web v1 web/);
      } finally {
        forward.kill();
      }
    }
  });

  test('environment, volumes and downward API', async () => {
    await apply(
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'settings' },
        data: { colour: 'blue', 'app.conf': 'x=1\n' },
      },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'keys' }, stringData: { password: 'geheim' } },
      pod('full', {
        securityContext: { fsGroup: 2000 },
        volumes: [
          { name: 'settings', configMap: { name: 'settings' } },
          { name: 'keys', secret: { secretName: 'keys', defaultMode: 0o400 } },
          { name: 'scratch', emptyDir: {} },
          { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '4Mi' } },
          { name: 'about', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
        ],
        containers: [
          shell(forever, {
            resources: { limits: { memory: '64Mi', cpu: '500m' } },
            env: [
              { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } },
              { name: 'SENTENCE', value: 'it is $(COLOUR), not $$(COLOUR)' },
              { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'keys', key: 'password' } } },
              { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
              { name: 'LIMIT', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
            ],
            volumeMounts: [
              { name: 'settings', mountPath: '/settings' },
              { name: 'settings', mountPath: '/app.conf', subPath: 'app.conf' },
              { name: 'keys', mountPath: '/keys' },
              { name: 'scratch', mountPath: '/scratch' },
              { name: 'scratch', mountPath: '/deep', subPath: 'a/b' },
              { name: 'memory', mountPath: '/memory' },
              { name: 'about', mountPath: '/about' },
            ],
          }),
        ],
      }),
    );
    await ready('full');
    const environment = await exec(
      'full',
      'echo "$COLOUR|$SENTENCE|$PASSWORD|$POD_IP|$LIMIT|$KUBERNETES_SERVICE_HOST"',
    );
    const ip = (await status('full'))?.podIP;
    assert.equal(environment, `blue|it is blue, not $(COLOUR)|geheim|${ip}|64|10.111.0.1\n`);
    assert.equal(await exec('full', 'cat /settings/colour /app.conf /keys/password'), 'bluex=1\ngeheim');
    assert.equal(
      await exec('full', 'stat -c %a:%g /scratch; stat -L -c %a:%g /keys/password'),
      '2777:2000\n440:2000\n',
    );
    assert.match(await exec('full', 'mount | grep " /memory "'), /tmpfs.*size=4096k/);
    assert.equal(await exec('full', 'cat /about/labels'), 'app="full"');
    assert.equal(await exec('full', 'echo hi > /deep/x; cat /scratch/a/b/x'), 'hi\n');
    await ok(['patch', 'configmap', 'settings', '-p', '{"data":{"colour":"green"}}']);
    await exec('full', 'until grep -q green /settings/colour; do sleep 0.1; done');
    await ok(['label', 'pod', 'full', 'more=yes']);
    await exec('full', 'until grep -q more /about/labels; do sleep 0.1; done');
  });

  test('init containers, hooks, messages and previous logs', async () => {
    await apply(
      pod('steps', {
        volumes: [{ name: 'shared', emptyDir: {} }],
        initContainers: [
          shell('echo init > /shared/order', {
            name: 'init',
            volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
          }),
          shell(`echo side >> /shared/order; ${forever}`, {
            name: 'side',
            restartPolicy: 'Always',
            startupProbe: { exec: { command: ['grep', 'side', '/shared/order'] }, periodSeconds: 1 },
            volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
          }),
        ],
        containers: [
          shell(`echo main >> /shared/order; ${forever}`, {
            lifecycle: { postStart: { exec: { command: ['sh', '-c', 'echo hook >> /shared/hook'] } } },
            volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
          }),
        ],
      }),
      pod('fails', { restartPolicy: 'Never', containers: [shell('echo why > /dev/termination-log; exit 9')] }),
      pod('again', {
        containers: [
          shell('echo "attempt $(hostname)"; sleep 0.2; exit 1', { terminationMessagePolicy: 'FallbackToLogsOnError' }),
        ],
      }),
    );
    await ready('steps');
    assert.equal(await exec('steps', 'cat /shared/order /shared/hook'), 'init\nside\nmain\nhook\n');
    await ended('fails', 'Failed');
    const end = (await status('fails'))?.containerStatuses?.[0]?.state?.terminated;
    assert.deepEqual([end?.exitCode, end?.reason, end?.message], [9, 'Error', 'why\n']);
    await ok([
      'wait',
      '--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff',
      'pod/again',
      '--timeout=30s',
    ]);
    const last = (await status('again'))?.containerStatuses?.[0]?.lastState?.terminated;
    assert.equal(last?.message, 'attempt again\n');
    assert.equal(await ok(['logs', 'again', '--previous']), 'attempt again\n');
  });

  test('debug containers, hooks on the way out, the host network and images as volumes', async () => {
    await apply(
      pod('odd', {
        hostNetwork: true,
        shareProcessNamespace: true,
        volumes: [
          { name: 'image', image: { reference: 'web:v1', pullPolicy: 'IfNotPresent' } },
          { name: 'host', hostPath: { path: join(scratch, 'shared'), type: 'DirectoryOrCreate' } },
        ],
        containers: [
          shell(forever, {
            lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo bye > /shared/bye'] } } },
            securityContext: {
              runAsUser: 0,
              readOnlyRootFilesystem: true,
              allowPrivilegeEscalation: false,
              capabilities: { drop: ['ALL'], add: ['DAC_OVERRIDE'] },
            },
            volumeMounts: [
              { name: 'image', mountPath: '/image' },
              { name: 'host', mountPath: '/shared' },
            ],
          }),
        ],
      }),
    );
    await ready('odd');
    assert.equal((await status('odd'))?.podIP, '127.0.0.1');
    assert.match(await exec('odd', 'ls /image'), /bin/);
    assert.match(
      await exec('odd', 'grep -E "CapEff|NoNewPrivs" /proc/self/status; touch /x 2>&1 || true'),
      /CapEff:\t0000000000000002\nNoNewPrivs:\t1\n.*Read-only/,
    );
    const container = {
      name: 'debugger',
      image: 'busybox',
      imagePullPolicy: 'IfNotPresent',
      command: ['sh', '-c', forever],
      targetContainerName: 'main',
    };
    const patch = { spec: { ephemeralContainers: [container] } };
    await node.client.patch(
      Pod,
      'odd',
      { type: 'strategic', patch },
      { namespace: 'default', subresource: 'ephemeralcontainers' },
    );
    await ok([
      'wait',
      '--for=jsonpath={.status.ephemeralContainerStatuses[0].state.running}',
      'pod/odd',
      '--timeout=30s',
    ]);
    assert.equal(await ok(['exec', 'odd', '-c', 'debugger', '--', 'echo', 'here']), 'here\n');
    await ok(['delete', 'pod', 'odd', '--timeout=30s']);
    assert.equal(await readFile(join(scratch, 'shared/bye'), 'utf8'), 'bye\n');
  });

  test('a missing image is told as upstream tells it', async () => {
    await apply(pod('nowhere', { containers: [{ name: 'main', image: '127.0.0.1:1/none:v1' }] }));
    await ok([
      'wait',
      '--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff',
      'pod/nowhere',
      '--timeout=30s',
    ]);
    const described = await ok(['describe', 'pod', 'nowhere']);
    assert.match(described, /Pulling image "127\.0\.0\.1:1\/none:v1"/);
    assert.match(described, /Failed to pull image "127\.0\.0\.1:1\/none:v1": /);
    assert.match(described, /Error: ErrImagePull/);
  });

  test('nobody is served without saying who he is, nor without the right', async () => {
    const anonymous = await ask(node, '/pods', {});
    assert.equal(anonymous.code, 401);
    assert.equal((await ask(node, '/healthz', {})).code, 401);
    await ok(['create', 'serviceaccount', 'nosy']);
    const token = (await ok(['create', 'token', 'nosy'])).trim();
    const headers = { authorization: `Bearer ${token}` };
    const refused = await ask(node, '/pods', { headers });
    assert.equal(refused.code, 403);
    assert.match(refused.body, /^Forbidden \(user=system:serviceaccount:default:nosy, verb=get, resource=nodes/);
    assert.equal((await ask(node, '/pods', { headers: { authorization: 'Bearer nonsense' } })).code, 401);
    const rights = ['--verb=get', '--resource=nodes/metrics'];
    await ok(['create', 'clusterrole', 'metrics-reader', ...rights]);
    await ok(['create', 'clusterrolebinding', 'nosy', '--clusterrole=metrics-reader', '--serviceaccount=default:nosy']);
    const metrics = await ask(node, '/metrics/cadvisor', { headers });
    assert.equal(metrics.code, 200);
    assert.match(
      metrics.body,
      /container_memory_working_set_bytes\{container="main",namespace="default",pod="talk"\} \d+/,
    );
    const own = (await ask(node, '/metrics', { headers })).body;
    for (const name of [
      'kubelet_running_pods',
      'kubelet_started_pods_total',
      'kubelet_started_containers_total{container_type="container"}',
      'kubelet_runtime_operations_total{operation_type="run_podsandbox"}',
      'kubelet_runtime_operations_duration_seconds_bucket',
      'kubelet_pod_start_duration_seconds_count',
    ])
      assert.match(own, new RegExp(`^${RegExp.escape(name)}.* [1-9]`, 'm'));
    assert.equal((await ask(node, '/exec/default/talk/main?command=id&output=1', { headers })).code, 403);
  });

  test('the older WebSocket protocols', async () => {
    const certificate = {
      cert: readFileSync(join(node.directory, 'pki/apiserver-kubelet-client.crt')),
      key: readFileSync(join(node.directory, 'pki/apiserver-kubelet-client.key')),
    };
    const url = `wss://127.0.0.1:${node.kubelet.port}`;
    const talk = async (path: string, protocol: string, first?: string) => {
      const ws = new WebSocket(url + path, protocol, { ...certificate, rejectUnauthorized: false });
      const messages: string[] = [];
      ws.on('message', data => messages.push((data as Buffer).toString('latin1')));
      ws.on('open', () => first !== undefined && ws.send(first));
      const closed = new Promise<void>((resolve, reject) => ws.on('close', () => resolve()).on('error', reject));
      return { ws, messages, closed };
    };
    const command = '/exec/default/talk/main?output=1&command=echo&command=hi';
    const plain = await talk(command, 'v4.channel.k8s.io');
    await plain.closed;
    assert.deepEqual(plain.messages.slice(0, 2), ['\x01', '\x01hi\n']);
    assert.match(plain.messages[2] ?? '', /^\x03\{.*"status":"Success"/);
    const base64 = await talk(command, 'base64.channel.k8s.io');
    await base64.closed;
    assert.deepEqual(base64.messages, ['1', `1${Buffer.from('hi\n').toString('base64')}`]);
    const forward = await talk('/portForward/default/web?ports=80', 'v4.channel.k8s.io', '\x00GET / HTTP/1.0\r\n\r\n');
    while (!forward.messages.join('').includes('web v1 web'))
      await new Promise(resolve => forward.ws.once('message', resolve));
    assert.deepEqual(forward.messages.slice(0, 2), ['\x00P\x00', '\x01P\x00']);
    forward.ws.close();
    await forward.closed;
  });

  test('resources are changed in place, or by a restart where the container wants that', async () => {
    const resources = (cpu: string, memory: string) => ({ requests: { cpu, memory }, limits: { cpu, memory } });
    const resizePolicy = [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }];
    await apply(
      pod('resized', {
        containers: [
          { ...shell(forever), resources: resources('100m', '64Mi') },
          { ...shell(forever), name: 'touchy', resources: resources('50m', '32Mi'), resizePolicy },
        ],
      }),
    );
    await ready('resized');
    const resize = (...containers: object[]) =>
      ok(['patch', 'pod', 'resized', '--subresource=resize', `--patch=${JSON.stringify({ spec: { containers } })}`]);
    const seen = async () => (await status('resized')) ?? {};
    const settled = async (
      what: string,
      holds: (now: Awaited<ReturnType<typeof seen>>) => boolean | undefined,
    ): Promise<Awaited<ReturnType<typeof seen>>> =>
      eventually(what, async () => {
        const now = await seen();
        return holds(now) && now;
      });
    const limit = (now: Awaited<ReturnType<typeof seen>>, name: string) =>
      now.containerStatuses?.find(each => each.name === name)?.resources?.limits;
    const isQuiet = (now: Awaited<ReturnType<typeof seen>>) =>
      !now.conditions?.some(({ type }) => type.startsWith('PodResize'));
    const before = await seen();

    await resize({ name: 'main', resources: resources('200m', '128Mi') });
    const after = await settled('it has more', now => limit(now, 'main')?.['memory'] === '128Mi' && isQuiet(now));
    assert.deepEqual(
      after.containerStatuses?.map(each => [each.containerID, each.restartCount]),
      before.containerStatuses?.map(each => [each.containerID, each.restartCount]),
    );
    const own = async (controller: string, file: string) => {
      const [, group = ''] =
        /^\d+:(?:[^:]*,)?CONTROLLER(?:,[^:]*)?:(.*)$/m.exec(
          (await exec('resized', 'cat /proc/self/cgroup')).replaceAll(
            new RegExp(`(?<=[:,])${controller}(?=[:,])`, 'g'),
            'CONTROLLER',
          ),
        ) ?? [];
      return (await readFile(join('/sys/fs/cgroup', controller, group, file), 'utf8')).trim();
    };
    assert.equal(await own('memory', 'memory.limit_in_bytes'), String(128 * 1024 * 1024));
    assert.equal(await own('cpu', 'cpu.cfs_quota_us'), '20000');
    assert.equal(await own('cpu', 'cpu.shares'), '204');
    assert.equal(await own('memory', '../memory.limit_in_bytes'), String((128 + 32) * 1024 * 1024));

    await resize(
      { name: 'main', resources: resources('100m', '96Mi') },
      { name: 'touchy', resources: resources('50m', '48Mi') },
    );
    const restarted = await settled(
      'one was started anew',
      now =>
        limit(now, 'touchy')?.['memory'] === '48Mi' &&
        limit(now, 'main')?.['memory'] === '96Mi' &&
        isQuiet(now) &&
        now.containerStatuses?.every(each => each.ready),
    );
    assert.deepEqual(
      restarted.containerStatuses?.map(each => each.restartCount),
      [0, 1],
    );
    assert.equal(await own('memory', '../memory.limit_in_bytes'), String((96 + 48) * 1024 * 1024));

    // What another pod has been promised is not to be had until that one has gone.
    const cpus = Number((await ok(['get', 'nodes', '-o', 'jsonpath={.items[0].status.allocatable.cpu}'])).trim());
    const most = { requests: { cpu: `${cpus * 1000 - 700}m` } };
    await apply(pod('greedy', { containers: [{ ...shell(forever), resources: most }] }));
    await ready('greedy');
    await resize({ name: 'main', resources: resources('700m', '96Mi') });
    const deferred = await settled('it has to wait', now =>
      now.conditions?.some(each => each.type === 'PodResizePending' && each.reason === 'Deferred'),
    );
    assert.match(
      deferred.conditions?.find(({ type }) => type === 'PodResizePending')?.message ?? '',
      /^Node didn't have enough resource: cpu, requested: 750, used: \d+, capacity: \d+$/,
    );
    assert.equal(limit(deferred, 'main')?.['cpu'], '100m');
    await ok(['delete', 'pod', 'greedy']);
    await settled('it is granted', now => limit(now, 'main')?.['cpu'] === '700m' && isQuiet(now));
    const reasons = await ok(['get', 'events', '-o', 'jsonpath={.items[*].reason}']);
    for (const reason of ['ResizeStarted', 'ResizeCompleted', 'ResizeDeferred'])
      assert.match(reasons, new RegExp(reason));
  });

  test('pods that asked for something are weighed together, and against those that did not', async () => {
    await apply(
      pod('asked', { containers: [{ ...shell(forever), resources: { requests: { cpu: '300m' } } }] }),
      pod('free', { containers: [shell(forever)] }),
    );
    await Promise.all([ready('asked'), ready('free')]);
    const weight = async (name: string) => {
      const [, group = ''] = /^\d+:[^:]*\bcpu\b[^:]*:(.*)$/m.exec(await exec(name, 'cat /proc/self/cgroup')) ?? [];
      return Number(await readFile(join('/sys/fs/cgroup/cpu', group, '../../cpu.shares'), 'utf8'));
    };
    assert.ok((await weight('asked')) >= 307);
    assert.equal(await weight('free'), 2);
    await ok(['delete', 'pod', 'asked', 'free', '--wait=false']);
  });

  test('figures of the node, its pods, containers and probes, and its logs', async () => {
    const probe = { exec: { command: ['true'] }, periodSeconds: 1 };
    const volumes = [{ name: 'data', emptyDir: {} }];
    const volumeMounts = [{ name: 'data', mountPath: '/data' }];
    const writes = `dd if=/dev/zero of=/data/file bs=1024 count=200; ${forever}`;
    await apply(pod('measured', { containers: [{ ...shell(writes), readinessProbe: probe, volumeMounts }], volumes }));
    await ready('measured');
    const raw = (path: string) => ok(['get', '--raw', `/api/v1/nodes/node-1/proxy/${path}`]);
    interface Used {
      readonly name: string;
      readonly startTime: string;
      readonly usedBytes: number;
      readonly capacityBytes: number;
    }
    const summary = await eventually('the file is counted', async () => {
      const { pods } = JSON.parse(await raw('stats/summary')) as {
        pods: { podRef: { name: string }; startTime: string; containers: Used[]; volume: Used[] }[];
      };
      const found = pods.find(({ podRef }) => podRef.name === 'measured');
      return (found?.volume[0]?.usedBytes ?? 0) >= 200 * 1024 && found;
    });
    const { startTime, containerStatuses } = (await status('measured')) ?? {};
    assert.equal(summary.startTime, startTime);
    assert.equal(summary.containers[0]?.startTime, containerStatuses?.[0]?.state?.running?.startedAt);
    assert.equal(summary.volume[0]?.name, 'data');
    assert.ok((summary.volume[0]?.capacityBytes ?? 0) > 1024 * 1024);
    assert.doesNotMatch(await raw('stats/summary?only_cpu_and_memory=true'), /"volume"|"fs"/);
    const resource = await raw('metrics/resource');
    assert.match(
      resource,
      /^container_start_time_seconds\{container="main",namespace="default",pod="measured"\} \d{10}/m,
    );
    assert.match(resource, /^pod_memory_working_set_bytes\{namespace="default",pod="measured"\} \d+/m);
    assert.match(
      await raw('metrics/probes'),
      /^prober_probe_total\{container="main",namespace="default",pod="measured",pod_uid="[^"]+",probe_type="Readiness",result="successful"\} [1-9]/m,
    );
    assert.match(await raw('metrics'), /^kubelet_running_pods \d+/m);
    assert.match(await raw('configz'), /"maxPods":110/);
    assert.match(await raw('logs/'), /<pre>/);
    const outside = await node.kubectl(['get', '--raw', '/api/v1/nodes/node-1/proxy/logs/..%2F..%2Fetc%2Fhostname']);
    assert.notEqual(outside.exitCode, 0);
    await ok(['delete', 'pod', 'measured', '--wait=false']);
  });

  test('a sysctl that concerns others is refused', async () => {
    const securityContext = { sysctls: [{ name: 'kernel.msgmax', value: '65536' }] };
    await apply(pod('greedy-kernel', { containers: [shell(forever)], securityContext }));
    await ended('greedy-kernel', 'Failed');
    const { reason, message } = (await status('greedy-kernel')) ?? {};
    assert.deepEqual([reason, message], ['SysctlForbidden', 'forbidden sysctl: "kernel.msgmax" not allowlisted']);
  });

  test('a restarted agent leaves containers alone and goes on serving them', async () => {
    const started = (await status('talk'))?.containerStatuses?.[0];
    await node.restartAgent();
    await ready('talk');
    assert.equal(await ok(['exec', 'talk', '--', 'echo', 'still here']), 'still here\n');
    assert.deepEqual((await status('talk'))?.containerStatuses?.[0], started);
  });

  test('everything can be deleted, and leaves nothing', async () => {
    await ok(['delete', 'pod', '--all', '--timeout=60s']);
    assert.equal(await ok(['get', 'pods', '-o', 'name']), '');
    assert.equal(node.kubelet.pods.size, 0);
    assert.doesNotMatch(await readFile('/proc/mounts', 'utf8'), new RegExp(`${node.directory}/node/pods`));
  });
});

function ask(
  node: RealNode,
  path: string,
  options: { readonly headers?: Record<string, string> },
): Promise<{ readonly code: number; readonly body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly code: number; readonly body: string }>();
  const url = `https://127.0.0.1:${node.kubelet.port}${path}`;
  const request = https.get(url, { ...options, rejectUnauthorized: false, agent: false }, response => {
    let body = '';
    response.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    response.on('end', () => resolve({ code: response.statusCode ?? 0, body }));
  });
  request.on('error', reject);
  return promise;
}

function get(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(port, '127.0.0.1', () => socket.write('GET / HTTP/1.0\r\n\r\n'));
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
  });
}
