import assert from 'node:assert/strict';
import http from 'node:http';
import http2, { type ServerHttp2Stream } from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import type { Container } from '#api/core/v1/pod-spec.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { RuntimeError } from '#runtime/runtime.ts';
import { until } from '../testing/until.ts';
import { runGrpc } from './grpc.ts';
import { runExec, runHttp, runTcp, type Target } from './handlers.ts';
import { Prober } from './prober.ts';

async function listening(server: net.Server) {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const sockets = new Set<net.Socket>();
  server.on('connection', socket => sockets.add(socket));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise(resolve => server.close(resolve));
    },
  };
}

function target(execSync: Target['runtime']['execSync'] = () => Promise.reject(new Error('no exec'))): Target {
  const container = { name: 'c', ports: [{ name: 'web', containerPort: 1 }] } as unknown as Container;
  return { pod: {} as Pod, container, containerId: 'id', podIp: '127.0.0.1', runtime: { execSync } };
}

const get = (port: number | string, path: string, more: object = {}) =>
  runHttp({ port, path, scheme: 'HTTP', ...more } as never, target(), 500, 'kube-probe');

describe('HTTP', () => {
  test('status codes, headers, redirects', async () => {
    const seen: http.IncomingHttpHeaders[] = [];
    const server = http.createServer((request, response) => {
      seen.push(request.headers);
      if (request.url === '/moved') response.writeHead(302, { location: '/ok' });
      else if (request.url === '/away') response.writeHead(302, { location: 'http://192.0.2.1/' });
      else if (request.url === '/round') response.writeHead(302, { location: '/round' });
      else if (request.url === '/bad') response.writeHead(500);
      response.end('body');
    });
    await using web = await listening(server);
    assert.deepEqual(await get(web.port, '/ok'), { ok: true, output: 'body' });
    assert.equal(seen[0]?.['user-agent'], 'kube-probe/1.36');
    assert.deepEqual(await get(web.port, '/bad'), { ok: false, output: 'HTTP probe failed with statuscode: 500' });
    assert.equal((await get(web.port, '/moved')).ok, true);
    const output = 'Probe terminated redirects, Response body: body';
    assert.deepEqual(await get(web.port, '/away'), { ok: true, output, isWarning: true });
    assert.deepEqual(await get(web.port, '/round'), {
      ok: false,
      output: `Get "http://127.0.0.1:${web.port}/round": stopped after 10 redirects`,
    });
    const httpHeaders = [
      { name: 'Host', value: 'example.com' },
      { name: 'user-agent', value: 'mine' },
    ];
    await get(web.port, '/ok', { httpHeaders });
    assert.deepEqual([seen.at(-1)?.host, seen.at(-1)?.['user-agent']], ['example.com', 'mine']);
  });

  test('nobody there, nobody answering, no such port', async () => {
    await using silent = await listening(net.createServer(() => undefined));
    const slow = await get(silent.port, '/');
    assert.deepEqual(
      [slow.ok, slow.output],
      [
        false,
        `Get "http://127.0.0.1:${silent.port}/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
      ],
    );
    const refused = await get(1, '/');
    assert.equal(refused.output, 'Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused');
    assert.equal((await get('absent', '/')).output, 'couldn\'t find port "absent"');
    assert.match((await get('web', '/')).output, /127\.0\.0\.1:1/);
  });
});

test('TCP', async () => {
  await using server = await listening(net.createServer());
  assert.equal((await runTcp({ port: server.port }, target(), 500)).ok, true);
  assert.equal((await runTcp({ port: 1 }, target(), 500)).output, 'dial tcp 127.0.0.1:1: connect: connection refused');
});

test('gRPC', async () => {
  const server = http2.createServer();
  const answers: Record<string, number> = { '': 1, sick: 2 };
  server.on('stream', (stream: ServerHttp2Stream) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const service = Buffer.concat(chunks).subarray(7).toString();
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': service === 'odd' ? '12' : '0' }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, answers[service] ?? 3]));
    });
  });
  await using health = await listening(server);
  const check = (service: string) => runGrpc({ port: health.port, service }, '127.0.0.1', 1000);
  assert.deepEqual(await check(''), { ok: true, output: 'service healthy' });
  assert.deepEqual(await check('sick'), { ok: false, output: 'service unhealthy (responded with "NOT_SERVING")' });
  assert.match((await check('odd')).output, /does not implement the grpc health protocol/);
  const refused = await runGrpc({ port: 1, service: '' }, '127.0.0.1', 1000);
  assert.match(refused.output, /^timeout: failed to connect service "127\.0\.0\.1:1" within 1s/);
});

test('exec', async () => {
  const said = (exitCode: number) =>
    target(async () => ({ exitCode, stdout: Buffer.from('o'), stderr: Buffer.from('e') }));
  assert.deepEqual(await runExec({ command: ['x'] }, said(0), 1), { ok: true, output: 'oe' });
  assert.equal((await runExec({ command: ['x'] }, said(1), 1)).ok, false);
  const late = target(() => Promise.reject(new RuntimeError('DeadlineExceeded', 'too late')));
  assert.equal(
    (await runExec({ command: ['sleep', '9'] }, late, 1)).output,
    'command timed out: "sleep 9" timed out after 1s',
  );
});

test('the others wait for the startup probe, and thresholds count', async () => {
  const clock = new ManualClock();
  const codes = [1, 0, 0, 1, 1, 1];
  const failures: string[] = [];
  let asked = 0;
  const each = target(async () => ({
    exitCode: codes[asked++] ?? 0,
    stdout: Buffer.alloc(0),
    stderr: Buffer.alloc(0),
  }));
  const probe = {
    exec: { command: ['x'] },
    periodSeconds: 1,
    timeoutSeconds: 1,
    successThreshold: 1,
    failureThreshold: 3,
  };
  const container = { name: 'c', startupProbe: probe, livenessProbe: probe } as unknown as Container;
  using prober = new Prober(container, clock.now(), {
    clock,
    log: silentLog,
    target: () => each,
    changed: () => undefined,
    failed: kind => failures.push(kind),
  });
  assert.deepEqual(prober.state, { startup: undefined, liveness: undefined, readiness: true });
  await clock.advance(0);
  assert.deepEqual(failures, ['startup']);
  await clock.advance(1000);
  await until('it has started', () => prober.state.startup);
  for (let round = 0; round < 4; round++) await clock.advance(1000);
  await until('it is dead', () => prober.state.liveness === false);
  assert.deepEqual(failures, ['startup', 'liveness', 'liveness', 'liveness']);
  const before = asked;
  await clock.advance(10_000);
  assert.equal(asked, before);
});
