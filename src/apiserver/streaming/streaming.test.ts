import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair, type Duplex } from 'node:stream';
import { after, before, beforeEach, test } from 'node:test';
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';
import { systemClock } from '#base/clock.ts';
import { seededRandom } from '#base/random.ts';
import { ApiError, errors } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ensurePki } from '#auth/certificates/pki.ts';
import type { Client } from '#client/client.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import { parseRequestInfo } from '../request-info.ts';
import type { SubresourceContext, SubresourceHandlers } from '../subresource.ts';
import { nodeAgents, type NodeAgents } from './node-agent.ts';
import { isLocal, parseProxyName, serviceBackend } from './proxy-target.ts';
import { streamingHandlers } from './streaming.ts';

let directory: string;
let agents: NodeAgents;
let handlers: SubresourceHandlers;
let server: ReturnType<typeof createServer>;
let serve: (request: IncomingMessage, response: ServerResponse) => void;
let upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
let seen: { url: string; headers: IncomingMessage['headers']; who: string } | undefined;
const objects = new Map<string, ApiObject>();

const client = {
  get: async (kind: Kind, name: string) => {
    const found = objects.get(`${kind.plural}/${name}`);
    if (!found) throw errors.notFound(kind, name);
    return found;
  },
  list: async (kind: Kind) => ({
    items: [...objects].filter(([key]) => key.startsWith(`${kind.plural}/`)).map(([, value]) => value),
    metadata: { resourceVersion: '1' },
  }),
} as unknown as Client;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'streaming-'));
  const pki = await ensurePki(directory, { clock: systemClock });
  const { serving } = await pki.node('n1');
  server = createServer({ cert: serving.certPem, key: serving.keyPem, ca: pki.ca.certPem, requestCert: true });
  const note = (request: IncomingMessage) => {
    const socket = request.socket as unknown as { getPeerCertificate(): { subject?: { CN?: string } } };
    seen = { url: request.url ?? '', headers: request.headers, who: socket.getPeerCertificate().subject?.CN ?? '' };
  };
  server.on('request', (request, response) => {
    note(request);
    serve(request, response);
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    note(request);
    upgrade(request, socket, head);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  agents = nodeAgents({
    client,
    certificate: () => pki.apiserverKubeletClient,
    caPem: pki.ca.certPem,
  });
  handlers = streamingHandlers({ client, agents, random: seededRandom(1) });
  const port = (server.address() as AddressInfo).port;
  const nodeOf = (name: string, address: string) => ({
    metadata: { name },
    status: { addresses: [{ type: 'InternalIP', address }], daemonEndpoints: { kubeletEndpoint: { Port: port } } },
  });
  objects.set('nodes/n1', nodeOf('n1', '127.0.0.1') as ApiObject);
  // Its address leads to another node's agent, whose certificate is not its own.
  objects.set('nodes/n2', nodeOf('n2', '127.0.0.1') as ApiObject);
});

beforeEach(() => {
  seen = undefined;
  serve = (_request, response) => response.writeHead(404).end('not this one');
  upgrade = (_request, socket) => socket.destroy();
});

after(async () => {
  agents[Symbol.dispose]();
  server.closeAllConnections();
  server.close();
  await rm(directory, { recursive: true });
});

interface Asked {
  readonly method?: ApiRequest['method'];
  readonly headers?: Record<string, string>;
  readonly pod?: object;
  readonly mayCreate?: boolean;
  readonly body?: string;
}

function pod(spec: object = {}): ApiObject {
  return {
    metadata: { name: 'web', namespace: 'ns' },
    spec: { nodeName: 'n1', containers: [{ name: 'a' }], ...spec },
  } as ApiObject;
}

const admitted: object[] = [];

async function ask(resource: string, target: string, asked: Asked = {}): Promise<ApiResponse> {
  const { method = 'GET', headers = {} } = asked;
  const url = new URL(target, 'https://x');
  const context = {
    user: { name: 'ann', groups: [] },
    info: parseRequestInfo(method, url.pathname, url.searchParams),
    kind: Pod as Kind,
    warn: () => undefined,
    annotate: () => undefined,
    authorize: async () => ({ decision: asked.mayCreate === false ? 'noOpinion' : 'allow', reason: '' }) as const,
    object: () => asked.pod ?? pod(),
    admit: async (_operation: string, object: object) => void admitted.push(object),
  } as unknown as SubresourceContext;
  const request: ApiRequest = {
    method,
    path: url.pathname,
    query: url.searchParams,
    headers,
    body: async () => ({ kind: 'bytes', bytes: Buffer.from(asked.body ?? ''), contentType: '' }),
    signal: new AbortController().signal,
  };
  const response = await handlers[resource]?.(request, context);
  assert.ok(response);
  return response;
}

async function bodyOf(response: ApiResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  if (response.kind === 'bytes') chunks.push(...response.bytes);
  if (response.kind === 'stream') for await (const chunk of response.stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function refusal(run: Promise<unknown>, code: number): Promise<string> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.code, code, error.message);
    return error.message;
  }
  return assert.fail('was not refused');
}

const podPath = '/api/v1/namespaces/ns/pods/web';
const webSocket = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-key': 'x',
  authorization: 'Bearer secret',
};

test('a log is streamed from the node agent, with the API server certificate', async () => {
  serve = (_request, response) => response.writeHead(200).end('line 1\nline 2\n');
  const response = await ask('pods/log', `${podPath}/log?follow=true&tailLines=5&timestamps=1&pretty=x`);
  assert.equal(await bodyOf(response), 'line 1\nline 2\n');
  assert.equal(seen?.url, '/containerLogs/ns/web/a?follow=true&timestamps=true&tailLines=5');
  assert.equal(seen?.who, 'kube-apiserver-kubelet-client');
});

test('a log needs a container, a node and good options', async () => {
  const two = { pod: pod({ containers: [{ name: 'a' }, { name: 'b' }], initContainers: [{ name: 'i' }] }) };
  assert.equal(
    await refusal(ask('pods/log', `${podPath}/log`, two), 400),
    'a container name must be specified for pod web, choose one of: [a b] or one of the init containers: [i]',
  );
  assert.equal(
    await refusal(ask('pods/log', `${podPath}/log?container=z`), 400),
    'container z is not valid for pod web',
  );
  assert.equal(await bodyOf(await ask('pods/log', `${podPath}/log`, { pod: pod({ nodeName: '' }) })), '');
  assert.match(
    await refusal(ask('pods/log', `${podPath}/log?tailLines=-1`), 422),
    /tailLines: Invalid value: -1: must be greater than or equal to 0/,
  );
  assert.match(
    await refusal(ask('pods/log', `${podPath}/log?sinceSeconds=1&sinceTime=x`), 422),
    /at most one of `sinceTime` or `sinceSeconds`/,
  );
  serve = (_request, response) =>
    response.writeHead(400).end('container "a" in pod "web" is waiting to start: ContainerCreating');
  assert.equal(
    await refusal(ask('pods/log', `${podPath}/log`), 400),
    'container "a" in pod "web" is waiting to start: ContainerCreating',
  );
  serve = (_request, response) => response.writeHead(302, { location: 'https://elsewhere/' }).end();
  assert.match(await refusal(ask('pods/log', `${podPath}/log`), 500), /attempted to redirect/);
  assert.match(
    await refusal(ask('pods/log', `${podPath}/log`, { pod: pod({ nodeName: 'n2' }) }), 500),
    /^Get "https:\/\/127.0.0.1:\d+\/containerLogs\/ns\/web\/a": .*altnames/,
  );
});

test('an exec becomes a tunnel, byte by byte', async () => {
  upgrade = (request, socket, head) => {
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Protocol: ${request.headers['sec-websocket-protocol']}\r\n\r\nhello `,
    );
    if (head.length > 0) socket.write(head);
    socket.pipe(socket);
  };
  const response = await ask(
    'pods/exec',
    `${podPath}/exec?command=sh&command=-c&command=a%26b&stdin=true&tty=true&stderr=false`,
    {
      headers: {
        ...webSocket,
        'sec-websocket-protocol': 'v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0',
      },
    },
  );
  assert.ok(response.kind === 'upgrade');
  const [near, far] = duplexPair();
  const done = response.take(far, Buffer.from('early '));
  near.write('late');
  let received = '';
  for await (const chunk of near) {
    received += String(chunk);
    if (received.endsWith('late')) near.end();
  }
  await done;
  assert.match(received, /^HTTP\/1.1 101 Switching Protocols\r\n/);
  assert.match(received, /X-Protocol: v5.channel.k8s.io\r\n\r\nhello early late$/);
  assert.equal(seen?.url, '/exec/ns/web/a?input=1&output=1&tty=1&command=sh&command=-c&command=a%26b');
  assert.equal(seen?.headers['authorization'], undefined);
  assert.deepEqual(admitted.at(-1), {
    apiVersion: 'v1',
    kind: 'PodExecOptions',
    metadata: {},
    stdin: true,
    stdout: true,
    stderr: false,
    tty: true,
    container: 'a',
    command: ['sh', '-c', 'a&b'],
  });
});

test('an upgrade that the backend does not do is an ordinary answer, and its connection is closed', async () => {
  const closed = Promise.withResolvers<void>();
  upgrade = (_request, socket) => {
    socket.once('close', () => closed.resolve());
    socket.on('error', () => undefined);
    // Smuggled: an answer with a body, and the connection kept open for more requests.
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nokHTTP/1.1 200 OK\r\n');
  };
  const ok = await ask('pods/exec', `${podPath}/exec?command=x`, { headers: webSocket });
  assert.deepEqual([ok.kind, ok.code], ['bytes', 502]);
  await closed.promise;
  upgrade = (_request, socket) =>
    socket.end('HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nnope');
  const no = await ask('pods/attach', `${podPath}/attach`, { headers: webSocket });
  assert.deepEqual([no.code, await bodyOf(no)], [403, 'nope']);
  upgrade = (_request, socket) =>
    socket.end('HTTP/1.1 307 Temporary Redirect\r\nlocation: https://10.0.0.1/\r\ncontent-length: 0\r\n\r\n');
  const redirected = await ask('pods/exec', `${podPath}/exec?command=x`, { headers: webSocket });
  assert.equal(redirected.code, 502);
  assert.match(await bodyOf(redirected), /attempted to redirect this request, which is not permitted/);
  assert.equal(redirected.headers['location'], undefined);
});

test('an exec needs an upgrade, a node, the permission to create, and a backend', async () => {
  assert.equal(await refusal(ask('pods/exec', `${podPath}/exec?command=x`), 400), 'Upgrade request required');
  assert.equal(
    await refusal(ask('pods/exec', `${podPath}/exec`, { headers: webSocket, pod: pod({ nodeName: '' }) }), 400),
    'pod web does not have a host assigned',
  );
  assert.match(
    await refusal(ask('pods/exec', `${podPath}/exec`, { headers: webSocket, mayCreate: false }), 403),
    /User "ann" cannot create resource "pods\/exec" in API group "" in the namespace "ns"/,
  );
  assert.match(
    await refusal(ask('pods/exec', `${podPath}/exec`, { headers: webSocket, pod: pod({ nodeName: 'n3' }) }), 404),
    /nodes "n3" not found/,
  );
  assert.match(
    await refusal(ask('pods/portforward', `${podPath}/portforward?ports=80x`, { headers: webSocket }), 400),
    /invalid syntax/,
  );
  upgrade = (_request, socket) =>
    socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
  const forwarded = await ask('pods/portforward', `${podPath}/portforward?ports=80,81`, { headers: webSocket });
  assert.equal(forwarded.kind, 'upgrade');
  assert.equal(seen?.url, '/portForward/ns/web?port=80&port=81');
  const [near, far] = duplexPair();
  near.resume();
  near.end();
  if (forwarded.kind === 'upgrade') await forwarded.take(far, new Uint8Array());
});

test('a node proxy passes any request on, and rewrites redirects to itself', async () => {
  const base = '/api/v1/nodes/n1/proxy';
  serve = (request, response) => {
    const chunks: Buffer[] = [];
    request
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        if (request.url === '/move') response.writeHead(302, { location: '/stats?x=1' }).end();
        else if (request.url === '/away') response.writeHead(302, { location: 'https://elsewhere.example/x' }).end();
        else response.writeHead(201, { 'x-own': 'yes' }).end(`${request.method} ${Buffer.concat(chunks).toString()}`);
      });
  };
  const response = await ask('nodes/proxy', `${base}/a%2Fb/c/?q=1`, {
    method: 'POST',
    body: 'data',
    headers: { ':authority': 'api.example:6443', 'impersonate-user': 'x', 'x-remote-user': 'root', cookie: 'c=1' },
  });
  assert.deepEqual([response.code, response.headers['x-own'], await bodyOf(response)], [201, 'yes', 'POST data']);
  assert.equal(seen?.url, '/a%2Fb/c/?q=1');
  assert.equal(seen?.headers['x-forwarded-uri'], `${base}/a%2Fb/c/`);
  assert.equal(seen?.headers['x-forwarded-host'], 'api.example:6443');
  assert.deepEqual(
    [seen?.headers['impersonate-user'], seen?.headers['x-remote-user'], seen?.headers['cookie']],
    [undefined, undefined, 'c=1'],
  );
  const root = await ask('nodes/proxy', `${base}?x=1`);
  assert.deepEqual([root.code, root.headers['location']], [301, `${base}/?x=1`]);
  const moved = await ask('nodes/proxy', `${base}/move`);
  assert.deepEqual([moved.code, moved.headers['location']], [302, `${base}/stats?x=1`]);
  await bodyOf(moved);
  const away = await ask('nodes/proxy', `${base}/away`);
  assert.equal(away.headers['location'], 'https://elsewhere.example/x');
  await bodyOf(away);
});

test('links of pages lead through the proxy again', async () => {
  const base = '/api/v1/nodes/n1/proxy';
  const page = [
    '<!doctype html><html><body>',
    '<a class="b" href="/rewritten?a=1&amp;b=2#c">',
    '<a href="relative"><a href="https://elsewhere.example/x"><a href="https://api.example:6443/y">',
    `<a href="${base}/known"><IMG SRC='/image.png' alt="/image.png"><p src="/p">`,
    '<script>document.write(\'<a href="/script">\')</script><!-- <a href="/comment"> -->',
  ].join('\n');
  const wanted = [
    '<!doctype html><html><body>',
    `<a class="b" href="${base}/rewritten?a=1&amp;b=2#c">`,
    `<a href="relative"><a href="https://elsewhere.example/x"><a href="https://api.example:6443${base}/y">`,
    `<a href="${base}/known"><img src="${base}/image.png" alt="/image.png"><p src="/p">`,
    '<script>document.write(\'<a href="/script">\')</script><!-- <a href="/comment"> -->',
  ].join('\n');
  const html = { 'content-type': 'text/html; charset=utf-8' };
  const codings = {
    '/plain': (response: ServerResponse) => response.writeHead(200, html).end(page),
    '/gzip': (response: ServerResponse) =>
      response.writeHead(200, { ...html, 'content-encoding': 'gzip' }).end(gzipSync(page)),
    '/text': (response: ServerResponse) => response.writeHead(200, { 'content-type': 'text/plain' }).end(page),
    '/unknown': (response: ServerResponse) =>
      response.writeHead(200, { ...html, 'content-encoding': 'br' }).end(brotliCompressSync(page)),
  };
  serve = (request, response) => codings[request.url as keyof typeof codings](response);
  const ofPage = async (path: string) => {
    const answer = await ask('nodes/proxy', `${base}${path}`, { headers: { ':authority': 'api.example:6443' } });
    const { stream } = answer as { readonly stream: AsyncIterable<Uint8Array> };
    return { headers: answer.headers, body: Buffer.concat(await Array.fromAsync(stream)) };
  };
  const plain = await ofPage('/plain');
  assert.equal(plain.body.toString(), wanted);
  assert.equal(plain.headers['content-length'], undefined);
  assert.equal(gunzipSync((await ofPage('/gzip')).body).toString(), wanted);
  assert.equal((await ofPage('/text')).body.toString(), page);
  assert.equal(brotliDecompressSync((await ofPage('/unknown')).body).toString(), page);
  // A long page is passed on; a tag without an end is not kept in memory.
  const long = `<p>${'text '.repeat(5_000_000)}</p>`;
  serve = (_request, response) => response.writeHead(200, html).end(long);
  assert.equal((await ofPage('/long')).body.length, long.length);
  serve = (_request, response) => response.writeHead(200, html).end(`<a href="${'x'.repeat(20_000_000)}`);
  await assert.rejects(ofPage('/endless'), /a tag without an end/);
});

test('proxies do not reach what only the API server can', async () => {
  objects.set('pods/web', {
    metadata: { name: 'web' },
    spec: { containers: [] },
    status: { podIP: '127.0.0.1' },
  } as ApiObject);
  assert.equal(await refusal(ask('pods/proxy', `${podPath}/proxy/`), 400), 'address not allowed');
  for (const local of [
    '127.9.9.9',
    '169.254.169.254',
    '::1',
    '::ffff:127.0.0.1',
    'fe80::1',
    '0.0.0.0',
    'localhost',
    '224.0.0.1',
  ])
    assert.ok(isLocal(local), local);
  for (const other of ['10.244.0.5', '192.168.1.1', 'fd00::5', '2001:db8::1']) assert.ok(!isLocal(other), other);
  assert.equal(parseProxyName('a:b:c:d'), undefined);
  assert.equal(parseProxyName('ftp:a:1'), undefined);
  assert.deepEqual(parseProxyName('https:web:'), { scheme: 'https', name: 'web', port: '' });
});

test('a service proxy picks a ready endpoint of the port', async () => {
  const sources = { client, agents, random: seededRandom(1) };
  objects.set('services/web', {
    metadata: { name: 'web' },
    spec: {
      ports: [
        { name: 'http', port: 80 },
        { name: 'admin', port: 81 },
      ],
    },
  } as ApiObject);
  objects.set('endpointslices/web-1', {
    metadata: { name: 'web-1' },
    ports: [{ name: 'http', port: 8080 }],
    endpoints: [
      { addresses: ['10.244.0.7'], conditions: { ready: false } },
      { addresses: ['10.244.0.8'], conditions: { ready: true } },
    ],
  } as unknown as ApiObject);
  const found = { scheme: 'http', host: '10.244.0.8', port: 8080 };
  assert.deepEqual(await serviceBackend(sources, 'ns', 'web:http'), found);
  assert.deepEqual(await serviceBackend(sources, 'ns', 'web:80'), found);
  assert.equal((await serviceBackend(sources, 'ns', 'https:web:80')).scheme, 'https');
  assert.equal(
    await refusal(serviceBackend(sources, 'ns', 'web:admin'), 503),
    'no endpoints available for service "web"',
  );
  assert.equal(
    await refusal(serviceBackend(sources, 'ns', 'web:99'), 503),
    'no service port 99 found for service "web"',
  );
});
