import assert from 'node:assert/strict';
import { Pod } from '#api/core/v1/pod.ts';
import { conformance, type Trial } from '../conformance.ts';
import { createPod, isReady, isRunning, nodeProgram, readyPod, type PodWish } from '../pods.ts';
import { until } from '../waiting.ts';

const probing = '[sig-node] Probing container';

// How long something that must not happen is waited for: many periods of its probe, counted by the probe itself.
conformance(it => {
  it(`${probing} with readiness probe should not be ready before initial delay and never restart [Conformance] [NodeConformance]`, async t => {
    const readinessProbe = { exec: { command: ['true'] }, initialDelaySeconds: 5, periodSeconds: 1 };
    const { metadata } = await createPod(t, { container: { readinessProbe } });
    const { status } = await until(t, Pod, metadata.name, 'it is ready', isReady);
    const started = Date.parse(status?.containerStatuses?.[0]?.state?.running?.startedAt ?? '');
    const ready = Date.parse(status?.conditions?.find(({ type }) => type === 'Ready')?.lastTransitionTime ?? '');
    assert.ok(ready - started >= 5000, `ready ${ready - started} ms after its start`);
    assert.equal(restartsOf(status), 0);
  });

  it(`${probing} with readiness probe that fails should never be ready and never restart [Conformance] [NodeConformance]`, async t => {
    const readinessProbe = { exec: { command: counting('false') }, periodSeconds: 1 };
    const { metadata } = await createPod(t, { container: { readinessProbe } });
    await until(t, Pod, metadata.name, 'it runs', isRunning);
    await probed(t, metadata.name, 5);
    const { status } = await t.client.get(Pod, metadata.name, { namespace: t.namespace });
    assert.ok(!isReady({ status } as Pod));
    assert.equal(restartsOf(status), 0);
  });

  it(`${probing} should be restarted with a exec "cat /tmp/health" liveness probe [Conformance] [NodeConformance]`, t =>
    restarts(t, {
      script: 'echo ok >/tmp/health; sleep 2; rm -f /tmp/health; sleep 600',
      container: {
        livenessProbe: {
          exec: { command: ['cat', '/tmp/health'] },
          periodSeconds: 1,
          failureThreshold: 1,
          initialDelaySeconds: 1,
        },
      },
    }));

  it(`${probing} should *not* be restarted with a exec "cat /tmp/health" liveness probe [Conformance] [NodeConformance]`, t =>
    stays(
      t,
      {
        script: 'echo ok >/tmp/health; sleep 600',
        container: {
          livenessProbe: {
            exec: { command: counting('cat /tmp/health') },
            periodSeconds: 1,
            failureThreshold: 1,
            initialDelaySeconds: 1,
          },
        },
      },
      name => probed(t, name, 5),
    ));

  it(`${probing} should be restarted with a /healthz http liveness probe [Conformance] [NodeConformance]`, t =>
    restarts(t, breaking({ httpGet: { path: '/healthz', port: 80 }, periodSeconds: 1, failureThreshold: 1 })));

  it(`${probing} should *not* be restarted with a /healthz http liveness probe [Conformance] [NodeConformance]`, t =>
    stays(t, serving({ httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1, failureThreshold: 5 }), name =>
      said(t, name, 5),
    ));

  it(`${probing} should *not* be restarted with a tcp:8080 liveness probe [Conformance] [NodeConformance]`, t =>
    stays(t, serving({ tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 5 }), name => said(t, name, 5)));

  it(`${probing} should be restarted with a GRPC liveness probe [Conformance] [NodeConformance]`, t =>
    restarts(t, {
      ...serving({ grpc: { port: 2333 }, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 1 }),
    }));

  it(`${probing} should *not* be restarted with a GRPC liveness probe [Conformance] [NodeConformance]`, t =>
    stays(t, serving({ grpc: { port: 5000 }, periodSeconds: 1, failureThreshold: 5 }), name => said(t, name, 5)));

  it(
    `${probing} should have monotonically increasing restart count [Conformance] [NodeConformance]`,
    async t => {
      const wish = breaking({ httpGet: { path: '/healthz', port: 80 }, periodSeconds: 1, failureThreshold: 1 });
      const { metadata } = await createPod(t, wish);
      let last = 0;
      await until(
        t,
        Pod,
        metadata.name,
        'it was restarted five times',
        ({ status }) => {
          const restarted = restartsOf(status);
          assert.ok(restarted >= last, `${restarted} after ${last}`);
          last = restarted;
          return last >= 5;
        },
        { withinMs: 280_000 },
      );
    },
    { slow: true },
  );
});

const restartsOf = (status: Pod['status']) => status?.containerStatuses?.[0]?.restartCount ?? 0;

/** A command that leaves a mark in the container each time it is run. */
const counting = (command: string) => ['sh', '-c', `echo probed >> /tmp/probed; ${command}`];

function probed(t: Trial, name: string, times: number): Promise<unknown> {
  return t.eventually(`it was probed ${times} times`, async () => {
    const lines = await t.kubectl('exec', name, '--', 'cat', '/tmp/probed');
    return lines.trim().split('\n').length >= times;
  });
}

/** Its server tells of each connection. */
function said(t: Trial, name: string, times: number): Promise<unknown> {
  return t.eventually(`it was probed ${times} times`, async () => {
    const log = await t.client.raw(`/api/v1/namespaces/${t.namespace}/pods/${name}/log`);
    return log.split('\n').filter(line => line === 'connected').length >= times;
  });
}

/** `/healthz` answers until it is taken away. */
function breaking(livenessProbe: object): PodWish {
  return {
    image: 'web:v1',
    script: 'httpd -f -p 80 -h /www & sleep 3; rm /www/healthz; sleep 600',
    container: { livenessProbe: { initialDelaySeconds: 1, ...livenessProbe } },
  };
}

/** HTTP at 8080, gRPC health at 5000, nothing at 2333. */
function serving(livenessProbe: object): PodWish {
  const program = nodeProgram(`
    import { createServer } from 'node:http';
    import { createServer as http2 } from 'node:http2';
    createServer((request, response) => response.end('ok')).on('connection', () => console.log('connected')).listen(8080);
    http2().on('session', () => console.log('connected')).on('stream', stream => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
      stream.resume();
    }).listen(5000);
    process.on('SIGTERM', () => process.exit(0));`);
  return {
    ...program,
    container: { ...program.container, livenessProbe: { initialDelaySeconds: 3, ...livenessProbe } },
  };
}

async function restarts(t: Trial, wish: PodWish): Promise<void> {
  const { metadata } = await createPod(t, wish);
  await until(t, Pod, metadata.name, 'it is restarted', ({ status }) => restartsOf(status) >= 1, { withinMs: 120_000 });
}

async function stays(t: Trial, wish: PodWish, probedEnough: (name: string) => Promise<unknown>): Promise<void> {
  const { metadata } = await readyPod(t, wish);
  await probedEnough(metadata.name);
  const { status } = await t.client.get(Pod, metadata.name, { namespace: t.namespace });
  assert.equal(restartsOf(status), 0);
}
