import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pod } from '#api/core/v1/pod.ts';
import { conformance, type Trial } from '../conformance.ts';
import { createPod, isReady, readyPod } from '../pods.ts';
import { podsOf, templateOf } from '../workloads.ts';

const kubectl = '[sig-cli] Kubectl client';

conformance(it => {
  it(`${kubectl} Kubectl api-versions should check if v1 is in available api versions [Conformance]`, async t => {
    assert.ok((await t.kubectl('api-versions')).split('\n').includes('v1'));
  });

  it(`${kubectl} Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info [Conformance]`, async t => {
    assert.match(plain(await t.kubectl('cluster-info')), /Kubernetes control plane is running at https:/);
  });

  it(`${kubectl} Kubectl version should check is all data is printed [Conformance]`, async t => {
    const output = await t.kubectl('version');
    for (const word of ['Client Version: v', 'Server Version: v1.36']) assert.ok(output.includes(word), output);
  });

  it(`${kubectl} Update Demo should create and stop a replication controller [Conformance]`, async t => {
    await controller(t, 'update-demo', 2);
    for (const pod of await running(t, 2))
      assert.equal(
        await t.client.raw(`/api/v1/namespaces/${t.namespace}/pods/${pod.metadata.name}/proxy/`),
        `web v1 ${pod.metadata.name}\n`,
      );
    await t.kubectl('delete', 'rc', 'update-demo', '--grace-period=0', '--force');
    await t.eventually('its pods are gone', async () => (await podsOf(t)).length === 0);
  });

  it(`${kubectl} Update Demo should scale a replication controller [Conformance]`, async t => {
    await controller(t, 'update-demo', 2);
    for (const replicas of [2, 1, 2]) {
      await t.kubectl('scale', 'rc', 'update-demo', `--replicas=${replicas}`, '--timeout=5m');
      await running(t, replicas);
    }
  });

  it(`${kubectl} Guestbook application should create and stop a working application [Conformance]`, async t => {
    // A store behind a service, and a frontend that keeps what it is told there.
    const labels = (app: string) => ({ app, tier: 'e2e' });
    const store =
      'mkdir -p /www/cgi-bin; printf \'#!/bin/sh\\nprintf "Content-Type: text/plain\\\\r\\\\n\\\\r\\\\n"; [ -n "$QUERY_STRING" ] && echo "$QUERY_STRING" > /tmp/kept; cat /tmp/kept 2>/dev/null; exit 0\' > /www/cgi-bin/index.cgi; chmod +x /www/cgi-bin/index.cgi; exec httpd -f -p 80 -h /www';
    const front =
      'mkdir -p /www/cgi-bin; printf \'#!/bin/sh\\nprintf "Content-Type: text/plain\\\\r\\\\n\\\\r\\\\n"; exec wget -qO- "http://store/?$QUERY_STRING"\' > /www/cgi-bin/index.cgi; chmod +x /www/cgi-bin/index.cgi; exec httpd -f -p 80 -h /www';
    for (const [name, replicas, script] of [
      ['store', 1, store],
      ['frontend', 3, front],
    ] as const) {
      const template = templateOf(t, labels(name), {
        script,
        container: { readinessProbe: { tcpSocket: { port: 80 }, periodSeconds: 1 } },
      });
      const deployment = {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name },
        spec: { replicas, selector: { matchLabels: labels(name) }, template },
      };
      const service = {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name },
        spec: { selector: labels(name), ports: [{ port: 80 }] },
      };
      for (const manifest of [service, deployment]) await t.kubectlWith(JSON.stringify(manifest), 'create', '-f', '-');
    }
    await t.kubectl('rollout', 'status', 'deployment/frontend');
    await t.kubectl('rollout', 'status', 'deployment/store');
    const ask = (query: string) => t.client.raw(`/api/v1/namespaces/${t.namespace}/services/frontend/proxy/?${query}`);
    await t.eventually('it keeps what it is told', async () => (await ask('TestEntry')).includes('TestEntry'));
    await t.eventually('it is still there', async () => (await ask('')).includes('TestEntry'));
    await t.kubectl('delete', 'deployment,service', 'store', 'frontend', '--grace-period=0', '--force');
    await t.eventually('nothing is left', async () => (await podsOf(t)).length === 0);
  });

  it(`${kubectl} Kubectl describe should check if kubectl describe prints relevant information for rc and pods [Conformance]`, async t => {
    await controller(t, 'agnhost-primary', 1);
    const [pod] = await running(t, 1);
    const name = pod?.metadata.name ?? '';
    await t.kubectl('expose', 'rc', 'agnhost-primary', '--port=80');
    const node = pod?.spec?.nodeName ?? '';
    for (const [words, phrases] of [
      [
        ['pod', name],
        [
          'Name:',
          'Namespace:',
          'Node:',
          'Labels:',
          'app=agnhost-primary',
          'Status:',
          'Running',
          'IP:',
          'Controlled By:',
          'ReplicationController/agnhost-primary',
          'Image:',
          'State:',
          'QoS Class:',
          'Events:',
        ],
      ],
      [
        ['rc', 'agnhost-primary'],
        [
          'Name:',
          'Image:',
          'Labels:',
          'app=agnhost-primary',
          'Replicas:',
          '1 current',
          '1 desired',
          'Pods Status:',
          'SuccessfulCreate',
        ],
      ],
      [
        ['service', 'agnhost-primary'],
        [
          'Name:',
          'Selector:',
          'app=agnhost-primary',
          'Type:',
          'ClusterIP',
          'Port:',
          'TargetPort:',
          'Endpoints:',
          'Session Affinity:',
        ],
      ],
      [
        ['node', node],
        [
          'Name:',
          'Labels:',
          'Annotations:',
          'CreationTimestamp:',
          'Conditions:',
          'Ready',
          'Addresses:',
          'Capacity:',
          'Version',
          'Kernel Version:',
          'Container Runtime Version:',
          'Kubelet Version:',
          'Pods:',
        ],
      ],
      [
        ['namespace', t.namespace],
        ['Name:', 'Labels:', 'Annotations:', 'Status:', 'Active', 'No resource quota.', 'No LimitRange resource.'],
      ],
    ] as const) {
      const output = await t.kubectl('describe', ...words);
      for (const phrase of phrases)
        assert.ok(output.includes(phrase), `describe ${words.join(' ')} says ${phrase}:\n${output}`);
    }
    const job = { spec: { template: templateOf(t, {}, { restartPolicy: 'Never' }) } };
    const cron = {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name: 'cron' },
      spec: { schedule: '0 0 1 1 *', jobTemplate: job },
    };
    await t.kubectlWith(JSON.stringify(cron), 'create', '-f', '-');
    const output = await t.kubectl('describe', 'cronjob', 'cron');
    for (const phrase of ['Name:', 'Schedule:', 'Concurrency Policy:', 'Suspend:', 'Active Jobs:', 'Pod Template:'])
      assert.ok(output.includes(phrase), output);
  });

  it(`${kubectl} Kubectl diff should check if kubectl diff finds a difference for Deployments [Conformance]`, async t => {
    const labels = { app: 'diffed' };
    const manifest = (image: string) =>
      JSON.stringify({
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'diffed' },
        spec: { replicas: 0, selector: { matchLabels: labels }, template: templateOf(t, labels, { image }) },
      });
    await t.kubectlWith(manifest('web:v1'), 'create', '-f', '-');
    await assert.rejects(
      t.kubectlWith(manifest('busybox:latest'), 'diff', '-f', '-'),
      (error: { code?: number; stdout?: string }) => {
        assert.equal(error.code, 1);
        assert.match(
          error.stdout ?? '',
          new RegExp(`^\\+\\s+- image: ${t.image('busybox:latest')}|^\\+.*image: ${t.image('busybox:latest')}`, 'm'),
        );
        return true;
      },
    );
  });

  it(`${kubectl} Kubectl expose should create services for rc [Conformance]`, async t => {
    await controller(t, 'agnhost-primary', 1);
    await running(t, 1);
    const ports = (name: string) =>
      t.kubectl('get', 'service', name, '--output=jsonpath={.spec.ports[0].port}>{.spec.ports[0].targetPort}');
    const reaches = (name: string, port: number) =>
      t.eventually(`${name} reaches the pod`, async () =>
        (
          await t.kubectl(
            'get',
            'endpointslices',
            `--selector=kubernetes.io/service-name=${name}`,
            '--output=jsonpath={.items[*].ports[0].port} {.items[*].endpoints[*].addresses[0]}',
          )
        ).startsWith(`${port} 1`),
      );
    await t.kubectl('expose', 'rc', 'agnhost-primary', '--name=rm2', '--port=1234', '--target-port=6379');
    assert.equal(await ports('rm2'), '1234>6379');
    await reaches('rm2', 6379);
    await t.kubectl('expose', 'service', 'rm2', '--name=rm3', '--port=2345', '--target-port=6379');
    assert.equal(await ports('rm3'), '2345>6379');
    await reaches('rm3', 6379);
  });

  it(`${kubectl} Kubectl label should update the label on a resource [Conformance]`, async t => {
    await readyPod(t, { name: 'pause' });
    await t.kubectl('label', 'pods', 'pause', 'testing-label=testing-label-value');
    assert.match(await t.kubectl('get', 'pod', 'pause', '-L', 'testing-label'), /testing-label-value/);
    await t.kubectl('label', 'pods', 'pause', 'testing-label-');
    assert.doesNotMatch(await t.kubectl('get', 'pod', 'pause', '-L', 'testing-label'), /testing-label-value/);
  });

  it(`${kubectl} Kubectl patch should add annotations for pods in rc [Conformance]`, async t => {
    await controller(t, 'agnhost-primary', 2);
    for (const { metadata } of await running(t, 2)) {
      await t.kubectl('patch', 'pod', metadata.name, '-p', '{"metadata":{"annotations":{"x":"y"}}}');
      assert.equal(
        (await t.client.get(Pod, metadata.name, { namespace: t.namespace })).metadata.annotations?.['x'],
        'y',
      );
    }
  });

  it(`${kubectl} Kubectl replace should update a single-container pod's image [Conformance]`, async t => {
    const { metadata } = await readyPod(t, { name: 'replaced' });
    const manifest = await t.kubectl('get', 'pod', metadata.name, '--output=json');
    await t.kubectlWith(
      manifest.replaceAll(`"image": "${t.image('client:latest')}"`, `"image": "${t.image('busybox:latest')}"`),
      'replace',
      '-f',
      '-',
    );
    const { spec } = await t.client.get(Pod, metadata.name, { namespace: t.namespace });
    assert.equal(spec?.containers[0]?.image, t.image('busybox:latest'));
  });

  it(`${kubectl} Kubectl run pod should create a pod from an image when restart is Never [Conformance]`, async t => {
    await t.kubectl(
      'run',
      'e2e-test-pod',
      '--restart=Never',
      `--image=${t.image('web:v1')}`,
      '--pod-running-timeout=2m0s',
    );
    const { spec } = await t.client.get(Pod, 'e2e-test-pod', { namespace: t.namespace });
    assert.equal(spec?.containers[0]?.image, t.image('web:v1'));
    assert.equal(spec?.restartPolicy, 'Never');
  });

  it(`${kubectl} Kubectl server-side dry-run should check if kubectl can dry-run update Pods [Conformance]`, async t => {
    const { metadata } = await createPod(t, { name: 'dry' });
    const patch = JSON.stringify({ spec: { containers: [{ name: 'main', image: t.image('busybox:latest') }] } });
    assert.match(await t.kubectl('patch', 'pod', metadata.name, '-p', patch, '--dry-run=server'), /patched/);
    const { spec } = await t.client.get(Pod, metadata.name, { namespace: t.namespace });
    assert.equal(spec?.containers[0]?.image, t.image('client:latest'));
  });

  it(`${kubectl} Proxy server should support proxy with --port 0 [Conformance]`, async t => {
    const { said } = await proxy(t, '--port=0', '--disable-filter=true');
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(said)?.[1]);
    const answer = (await (await fetch(`http://127.0.0.1:${port}/api/`)).json()) as { versions: string[] };
    assert.deepEqual(answer.versions, ['v1']);
  });

  it(`${kubectl} Proxy server should support --unix-socket=/path [Conformance]`, async t => {
    const directory = mkdtempSync(join(tmpdir(), 'windlass-kubectl-proxy-'));
    t.defer(() => rmSync(directory, { recursive: true, force: true }));
    const socketPath = join(directory, 'test');
    await proxy(t, `--unix-socket=${socketPath}`);
    const text = await new Promise<string>((resolve, reject) => {
      const asked = request({ socketPath, path: '/api/' }, response => {
        let body = '';
        response.on('data', (piece: Buffer) => (body += piece.toString()));
        response.on('end', () => resolve(body));
      });
      asked.on('error', reject);
      asked.end();
    });
    assert.deepEqual((JSON.parse(text) as { versions: string[] }).versions, ['v1']);
  });

  it('[sig-cli] Kubectl logs logs should be able to retrieve and filter logs [Conformance]', async t => {
    const script =
      'for i in $(seq 1 100); do echo "line $i"; done; sleep 2; i=100; while :; do i=$((i+1)); echo "line $i"; sleep 0.5; done';
    const { metadata } = await readyPod(t, { name: 'logs-generator', script });
    const logs = (...words: readonly string[]) => t.kubectl('logs', metadata.name, ...words);
    await t.eventually('it has said enough', async () => (await logs()).includes('line 100\n'));
    assert.equal((await logs('--tail=1')).trim().split('\n').length, 1);
    assert.equal((await logs('--limit-bytes=1')).length, 1);
    const stamped = (await logs('--tail=1', '--timestamps')).trim();
    assert.match(stamped, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) line \d+$/);
    await t.eventually('time goes by', async () => (await logs()).includes('line 105\n'));
    const recent = (await logs('--since=1s')).trim().split('\n').length;
    const all = (await logs('--since=24h')).trim().split('\n').length;
    assert.ok(recent < all, `${recent} of ${all} lines are recent`);
    // The server knows whole seconds.
    const since = (await logs('--tail=1', '--timestamps')).split(' ')[0] ?? '';
    assert.ok((await logs(`--since-time=${since}`)).trim().split('\n').length < all);
  });
});

/** What kubectl colours for people. */
function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/\u001B\[[\d;]*m/g, '');
}

async function controller(t: Trial, name: string, replicas: number): Promise<void> {
  const labels = { app: name };
  const readinessProbe = { httpGet: { path: '/healthz', port: 80 }, periodSeconds: 1 };
  const template = templateOf(t, labels, { image: 'web:v1', container: { readinessProbe } });
  const object = {
    apiVersion: 'v1',
    kind: 'ReplicationController',
    metadata: { name },
    spec: { replicas, selector: labels, template },
  };
  await t.kubectlWith(JSON.stringify(object), 'create', '-f', '-');
}

function running(t: Trial, replicas: number) {
  return t.eventually(`${replicas} are ready`, async () => {
    const pods = await podsOf(t);
    return pods.length === replicas && pods.every(isReady) && pods;
  });
}

/** `kubectl proxy`, until the test ends. */
async function proxy(t: Trial, ...words: readonly string[]): Promise<{ readonly said: string }> {
  const child = spawn('kubectl', ['--kubeconfig', process.env['CONFORMANCE_KUBECONFIG'] ?? '', 'proxy', ...words]);
  t.defer(() => child.kill());
  let said = '';
  child.stdout.on('data', (piece: Buffer) => (said += piece.toString()));
  child.stderr.on('data', (piece: Buffer) => (said += piece.toString()));
  await t.eventually('the proxy listens', () => said.includes('Starting to serve'));
  return { said };
}
