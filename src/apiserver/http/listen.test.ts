import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { on, once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { connect as connectTls } from 'node:tls';
import { WebSocket } from 'ws';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { authenticateWith } from '#auth/authentication/authenticate.ts';
import { clientCertificateAuthenticator } from '#auth/authentication/client-certificate.ts';
import type { CertifiedKey } from '#auth/certificates/certificate.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { discoveryPaths } from '../discovery/discovery.ts';
import { openTestServer, type TestServer } from '../test-server.ts';
import type { Listener } from './listen.ts';

const issuing = { clock: systemClock, random: systemRandom };
const dayMs = 86_400_000;
const maps = '/api/v1/namespaces/default/configmaps';

let server: TestServer;
let listener: Listener;
let authority: CertifiedKey;
let admin: CertifiedKey;
let stranger: CertifiedKey;

before(async () => {
  authority = await issueAuthority({ commonName: 'ca', validForMs: dayMs }, issuing);
  const other = await issueAuthority({ commonName: 'other', validForMs: dayMs }, issuing);
  const client = {
    commonName: 'admin',
    organizations: ['system:masters'],
    usages: ['client'],
    validForMs: dayMs,
  } as const;
  const serving = {
    commonName: 'kube-apiserver',
    hosts: ['localhost'],
    ips: ['127.0.0.1'],
    usages: ['server'],
    validForMs: dayMs,
  } as const;
  admin = await issue(authority, client, issuing);
  stranger = await issue(other, client, issuing);
  server = await openTestServer({
    clock: systemClock,
    authenticate: authenticateWith([clientCertificateAuthenticator], { anonymous: true }),
    authorizer: {
      name: 'masters',
      authorize: ({ user }) => ({
        decision: user.groups.includes('system:masters') ? 'allow' : 'noOpinion',
        reason: '',
      }),
    },
    rawPaths: registry =>
      discoveryPaths({
        kinds: () => registry.kinds,
        onChange: listen => registry.onChange(listen),
        serverAddress: '127.0.0.1',
      }),
  });
  const tls = { ...(await issue(authority, serving, issuing)), clientCaPem: authority.certPem };
  listener = await server.server.listen({ host: '127.0.0.1', port: 0, tls });
});

after(() => server[Symbol.asyncDispose]());

interface Reply {
  readonly code: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

async function http1(
  method: string,
  path: string,
  options: { identity?: CertifiedKey; body?: string | Buffer; headers?: Record<string, string> } = {},
): Promise<Reply> {
  const { identity = admin, body, headers = {} } = options;
  const sent = request({
    host: '127.0.0.1',
    port: listener.port,
    method,
    path,
    ca: authority.certPem,
    cert: identity.certPem,
    key: identity.keyPem,
    headers: { 'content-type': 'application/json', ...headers },
    agent: new Agent({ keepAlive: false }),
  });
  sent.end(body);
  const [message] = await once(sent, 'response');
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return { code: message.statusCode, headers: message.headers, body: Buffer.concat(chunks) };
}

function http2Session() {
  return connectHttp2(`https://127.0.0.1:${listener.port}`, {
    ca: authority.certPem,
    cert: admin.certPem,
    key: admin.keyPem,
  });
}

describe('HTTPS', () => {
  test('HTTP/1.1 and HTTP/2 on one port', async () => {
    const made = await http1('POST', maps, { body: '{"metadata":{"name":"one"}}' });
    assert.equal(made.code, 201, made.body.toString());
    const session = http2Session();
    const stream = session.request({ ':path': `${maps}/one` });
    const [headers] = await once(stream, 'response');
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    assert.equal(headers[':status'], 200);
    assert.equal(JSON.parse(Buffer.concat(chunks).toString()).metadata.name, 'one');
    session.close();
  });

  test('without a certificate anonymous, with a foreign one 401', async () => {
    const socket = connectTls({ host: '127.0.0.1', port: listener.port, ca: authority.certPem });
    socket.end(`GET ${maps} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    assert.match(Buffer.concat(chunks).toString(), /^HTTP\/1.1 403 [\s\S]*system:anonymous/);
    assert.equal((await http1('GET', maps, { identity: stranger })).code, 401);
  });

  test('a body that is too long is 413, however it is sent', async () => {
    const long = Buffer.alloc(4 * 1024 * 1024, 0x20);
    assert.equal((await http1('POST', maps, { body: long })).code, 413);
    const session = http2Session();
    session.on('error', () => {});
    const stream = session.request({ ':path': maps, ':method': 'POST', 'content-type': 'application/json' });
    stream.on('error', () => {});
    stream.write(long);
    const [headers] = await once(stream, 'response');
    assert.equal(headers[':status'], 413);
    session.destroy();
  });

  test('a long answer is compressed for those who can read that', async () => {
    const data = { big: 'x'.repeat(200_000) };
    await http1('POST', maps, { body: JSON.stringify({ metadata: { name: 'big' }, data }) });
    const plain = await http1('GET', `${maps}/big`);
    const zipped = await http1('GET', `${maps}/big`, { headers: { 'accept-encoding': 'gzip' } });
    assert.equal(plain.headers['content-encoding'], undefined);
    assert.equal(zipped.headers['content-encoding'], 'gzip');
    assert.ok(zipped.body.length < plain.body.length / 10);
  });

  test('a watch comes at once and ends with the client', async () => {
    const session = http2Session();
    const stream = session.request({ ':path': `${maps}?watch=1&resourceVersion=0&fieldSelector=metadata.name%3Dw` });
    const [headers] = await once(stream, 'response');
    assert.deepEqual([headers[':status'], headers['content-type']], [200, 'application/json']);
    await http1('POST', maps, { body: '{"metadata":{"name":"w"}}' });
    const [chunk] = await once(stream, 'data');
    assert.equal(JSON.parse((chunk as Buffer).toString()).type, 'ADDED');
    const { cache } = server.server.registry.find('', 'v1', 'configmaps') as { cache: { watcherCount: number } };
    assert.equal(cache.watcherCount, 1);
    stream.close();
    while (cache.watcherCount > 0) await new Promise(resolve => setImmediate(resolve));
    session.close();
  });

  test('a watch over a WebSocket: a message for each event', async () => {
    const wait = { ca: authority.certPem, cert: admin.certPem, key: admin.keyPem };
    const path = `${maps}?watch=1&fieldSelector=metadata.name%3Dover`;
    for (const [accept, readEvent] of [
      ['application/json', (message: Buffer) => (JSON.parse(message.toString()) as { type: string }).type],
      [
        'application/vnd.kubernetes.protobuf;stream=watch',
        (message: Buffer) => message.subarray(2, 2 + (message[1] ?? 0)).toString(),
      ],
    ] as const) {
      const socket = new WebSocket(`wss://127.0.0.1:${listener.port}${path}`, { ...wait, headers: { accept } });
      const messages = on(socket, 'message') as AsyncIterator<[Buffer, boolean]>;
      const next = async () => (await messages.next()).value as [Buffer, boolean];
      await once(socket, 'open');
      await http1('POST', maps, { body: '{"metadata":{"name":"over"}}' });
      const [added, isBinary] = await next();
      assert.deepEqual([readEvent(added), isBinary], ['ADDED', accept !== 'application/json']);
      await http1('DELETE', `${maps}/over`);
      const [deleted] = await next();
      assert.equal(readEvent(deleted), 'DELETED');
      socket.close();
      await once(socket, 'close');
    }
  });

  test('HEAD has no body', async () => {
    for (const [path, wanted] of [
      ['/healthz', 200],
      [`${maps}/one`, 405],
    ] as const) {
      const { code, body } = await http1('HEAD', path);
      assert.deepEqual([code, body.length], [wanted, 0]);
    }
  });
});

const run = promisify(execFile);
const hasKubectl = await run('kubectl', ['version', '--client']).then(
  () => true,
  () => false,
);

describe('kubectl', { skip: !hasKubectl && 'kubectl is not there' }, () => {
  let directory = '';
  const kubectl = async (...parameters: string[]) => {
    const { stdout } = await run('kubectl', [
      '--kubeconfig',
      join(directory, 'kubeconfig'),
      '--cache-dir',
      directory,
      ...parameters,
    ]);
    return stdout;
  };
  const fails = async (...parameters: string[]) => {
    const failure = await kubectl(...parameters).then(
      out => ({ stderr: `did not fail: ${out}` }),
      (error: { stderr: string }) => error,
    );
    return failure.stderr;
  };

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'windlass-kubectl-'));
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    await writeFile(
      join(directory, 'kubeconfig'),
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [
          {
            name: 'c',
            cluster: { server: server.server.url, 'certificate-authority-data': base64(authority.certPem) },
          },
        ],
        users: [
          {
            name: 'u',
            user: { 'client-certificate-data': base64(admin.certPem), 'client-key-data': base64(admin.keyPem) },
          },
        ],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'x',
      }),
    );
  });

  after(() => rm(directory, { recursive: true, force: true }));

  test('create, get -o wide, label, scale, patch, delete', async () => {
    await kubectl('create', 'deployment', 'web', '--image=nginx', '--replicas=3');
    assert.match(
      await kubectl('get', 'deploy', '-o', 'wide'),
      /NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR\nweb +0\/3 .* nginx +nginx +app=web/,
    );
    await kubectl('scale', 'deploy', 'web', '--replicas=5');
    await kubectl('label', 'deploy', 'web', 'tier=front');
    assert.equal(await kubectl('get', 'deploy', '-l', 'tier=front', '-o', 'jsonpath={.items[0].spec.replicas}'), '5');
    await kubectl(
      'patch',
      'deploy',
      'web',
      '--type=json',
      '-p',
      '[{"op":"replace","path":"/spec/replicas","value":1}]',
    );
    assert.match(await kubectl('delete', 'deploy', 'web'), /deleted/);
    assert.match(await fails('get', 'deploy', 'web'), /deployments.apps "web" not found/);
  });

  test('apply, client and server side', async () => {
    const file = join(directory, 'map.yaml');
    await writeFile(file, 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: applied\ndata:\n  a: "1"\n');
    const flags = ['--validate=false', '-f', file];
    assert.match(await kubectl('apply', ...flags), /created/);
    assert.match(await kubectl('apply', ...flags), /unchanged/);
    await writeFile(file, 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: applied\ndata:\n  b: "2"\n');
    assert.match(await kubectl('apply', ...flags), /configured/);
    assert.equal(await kubectl('get', 'cm', 'applied', '-o', 'jsonpath={.data}'), '{"b":"2"}');
    assert.match(await kubectl('apply', '--server-side', '--force-conflicts', ...flags), /serverside-applied/);
  });

  test('wait follows a watch until the object is gone', async () => {
    await kubectl('create', 'configmap', 'short');
    const waiting = kubectl('wait', '--for=delete', 'configmap/short', '--timeout=10s');
    await kubectl('delete', 'configmap', 'short');
    assert.match(await waiting, /condition met|^$/);
  });

  test("what is wrong is said in upstream's words", async () => {
    assert.match(await fails('create', 'configmap', 'Bad_Name'), /a lowercase RFC 1123 subdomain must consist of/);
    assert.match(await fails('get', 'nothings'), /the server doesn't have a resource type "nothings"/);
    assert.match(
      await fails('get', 'cm', '--field-selector=spec.x=y'),
      /is not a known field selector|field label not supported/,
    );
  });
});
