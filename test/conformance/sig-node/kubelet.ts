import assert from 'node:assert/strict';
import { Lease } from '#api/coordination/v1/lease.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { createPod, finishedPod, nodeProgram, outputOf, readyPod } from '../pods.ts';
import { until, untilGone } from '../waiting.ts';

const kubelet = '[sig-node] Kubelet when scheduling';

conformance(it => {
  it(`${kubelet} a busybox command in a pod should print the output to logs [Conformance] [NodeConformance]`, async t => {
    assert.equal(await outputOf(t, { image: 'busybox:latest', script: "echo 'Hello World'" }), 'Hello World\n');
  });

  it(`${kubelet} a busybox command that always fails in a pod should have an terminated reason [Conformance] [NodeConformance]`, async t => {
    const { pod } = await finishedPod(t, { image: 'busybox:latest', script: 'false' });
    const { reason, exitCode } = pod.status?.containerStatuses?.[0]?.state?.terminated ?? {};
    assert.deepEqual([reason, exitCode], ['Error', 1]);
  });

  it(`${kubelet} a busybox command that always fails in a pod should be possible to delete [Conformance] [NodeConformance]`, async t => {
    const { metadata } = await createPod(t, { image: 'busybox:latest', script: 'false' });
    await until(
      t,
      Pod,
      metadata.name,
      'it fails',
      ({ status }) => (status?.containerStatuses?.[0]?.restartCount ?? 0) > 0,
    );
    await t.client.delete(Pod, metadata.name, { namespace: t.namespace });
    await untilGone(t, Pod, metadata.name);
  });

  it(`${kubelet} a read only busybox container should not write to root filesystem [LinuxOnly] [Conformance] [NodeConformance]`, async t => {
    const container = { securityContext: { readOnlyRootFilesystem: true } };
    const { pod, log } = await finishedPod(t, { image: 'busybox:latest', script: 'echo test > /file', container });
    assert.equal(pod.status?.phase, 'Failed');
    assert.match(log, /Read-only file system/);
  });

  it(`${kubelet} an agnhost Pod with hostAliases should write entries to /etc/hosts [Conformance] [NodeConformance]`, async t => {
    const hostAliases = [{ ip: '123.45.67.89', hostnames: ['foo', 'bar'] }];
    assert.match(await outputOf(t, { script: 'cat /etc/hosts', hostAliases }), /^123\.45\.67\.89\tfoo\tbar$/m);
  });

  it('[sig-node] KubeletManagedEtcHosts should test kubelet managed /etc/hosts file [Conformance] [NodeConformance]', async t => {
    const managed = /# Kubernetes-managed hosts file/;
    const own = {
      name: 'own',
      image: t.image('client:latest'),
      volumeMounts: [{ name: 'host', mountPath: '/etc/hosts' }],
    };
    const volumes = [{ name: 'host', hostPath: { path: '/etc/hosts', type: 'File' } }];
    const pod = await readyPod(t, { beside: [own], volumes });
    const read = (name: string, container: string) =>
      t.kubectl('exec', name, `--container=${container}`, '--', 'cat', '/etc/hosts');
    assert.match(await read(pod.metadata.name, 'main'), managed);
    assert.doesNotMatch(await read(pod.metadata.name, 'own'), managed);
    const host = await readyPod(t, { hostNetwork: true });
    assert.doesNotMatch(
      (await read(host.metadata.name, 'main')).split('\n')[0] ?? '',
      /^# Kubernetes-managed hosts file\.$/,
    );
  });

  it('[sig-node] Lease lease API should be available [Conformance]', t =>
    apiOperations(t, {
      kind: Lease,
      object: { spec: { holderIdentity: 'holder', leaseDurationSeconds: 30, leaseTransitions: 0 } },
    }));

  const hook = '[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute';
  for (const [name, lifecycle] of [
    ['poststart exec', 'postStart'],
    ['prestop exec', 'preStop'],
  ] as const)
    it(`${hook} ${name} hook properly [Conformance] [NodeConformance]`, async t => {
      const server = await listener(t);
      const command = ['sh', '-c', `wget -qO- http://${server.address}:80/cgi-bin/index.cgi?${lifecycle}-exec`];
      await hooked(t, { [lifecycle]: { exec: { command } } }, lifecycle === 'preStop');
      await server.heard(`${lifecycle}-exec`);
    });
  for (const [name, lifecycle] of [
    ['poststart http', 'postStart'],
    ['prestop http', 'preStop'],
  ] as const)
    it(`${hook} ${name} hook properly [Conformance] [NodeConformance]`, async t => {
      const server = await listener(t);
      await hooked(
        t,
        { [lifecycle]: { httpGet: { path: `/?${lifecycle}-http`, host: server.address, port: 80 } } },
        lifecycle === 'preStop',
      );
      await server.heard(`${lifecycle}-http`);
    });

  it('[sig-node] PreStop should call prestop when killing a pod [Conformance]', async t => {
    const server = await listener(t);
    const command = ['sh', '-c', `wget -qO- http://${server.address}:80/?prestop`];
    await hooked(t, { preStop: { exec: { command } } }, true);
    await server.heard('prestop');
  });
});

/** A web server that tells in its log what it is asked for. */
async function listener(t: Trial) {
  const { container, ...program } = nodeProgram(`
    import { createServer } from 'node:http';
    createServer((request, response) => { console.log(request.url); response.end('ok'); }).listen(80);
    process.on('SIGTERM', () => process.exit(0));`);
  const readinessProbe = { tcpSocket: { port: 80 }, periodSeconds: 1 };
  const pod = await readyPod(t, { name: 'listener', ...program, container: { ...container, readinessProbe } });
  return {
    address: pod.status?.podIP ?? '',
    heard: (what: string) =>
      t.eventually(`the server was asked for ${what}`, async () =>
        (await t.client.raw(`/api/v1/namespaces/${t.namespace}/pods/listener/log`)).includes(what),
      ),
  };
}

async function hooked(t: Trial, lifecycle: object, deleted: boolean): Promise<void> {
  const { metadata } = await readyPod(t, { container: { lifecycle } });
  if (!deleted) return;
  await t.client.delete(Pod, metadata.name, { namespace: t.namespace, gracePeriodSeconds: 15 });
  await untilGone(t, Pod, metadata.name);
}
