import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { kubernetesVersion } from '#api/machinery/version.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Client } from '#client/client.ts';
import type { Runtime } from '#runtime/runtime.ts';
import type { KubeletConfiguration } from './configuration.ts';
import type { KubeletMetrics } from './metrics.ts';
import type { NodePaths } from './pods/config.ts';
import type { PodWorker } from './pods/worker.ts';
import { allow, identify, type Identity } from './server/access.ts';
import { serveNodeLog } from './server/node-logs.ts';
import { cadvisorMetrics, kubeletMetrics, probeMetrics, resourceMetrics, summary } from './server/stats.ts';
import { serveSession } from './streams/exec.ts';
import { readLogs, type LogOptions } from './streams/logs.ts';
import { servePortForward } from './streams/port-forward.ts';
import { spdyRemote } from './streams/spdy-remote.ts';
import { webSocketRemote } from './streams/web-socket-remote.ts';
import type { Remote, Wanted } from './streams/remote.ts';

/** Who somebody is and what he may do; what is absent is asked of the API server. */
export interface ServerSecurity {
  readonly tls: { readonly key: string | Buffer; readonly cert: string | Buffer; readonly clientCa: string | Buffer };
  readonly authenticate?: (request: {
    readonly headers: IncomingMessage['headers'];
    readonly clientCertificate?: PeerCertificate;
  }) => Promise<Identity | undefined> | Identity | undefined;
  readonly authorize?: (user: Identity, verb: string, subresource: string) => Promise<boolean> | boolean;
}

export interface ServerOptions extends ServerSecurity {
  readonly port: number;
  readonly address?: string;
  readonly nodeName: string;
  readonly client: Client;
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Log;
  readonly workers: ReadonlyMap<string, PodWorker>;
  readonly metrics: KubeletMetrics;
  /** Resolves when the pods of the node are known: until then none can be said not to be there. */
  readonly known: Promise<void>;
  readonly node: () => Node | undefined;
  readonly paths: NodePaths;
  readonly configuration: KubeletConfiguration;
}

export interface KubeletServer extends AsyncDisposable {
  readonly port: number;
  /** Takes a renewed certificate into use for new connections. */
  renew(tls: ServerSecurity['tls']): void;
}

/** Serves logs, exec, attach, port-forward and figures of the node, to whom it may. Every path needs authorization. */
export async function startServer(options: ServerOptions): Promise<KubeletServer> {
  const { tls, log } = options;
  const server = createServer({
    key: tls.key,
    cert: tls.cert,
    ca: tls.clientCa,
    requestCert: true,
    // Bearer tokens are as good: who has no certificate is not sent away yet.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
  });
  const sockets = new Set<Duplex>();
  const failed = (request: IncomingMessage, error: unknown) =>
    log.warn('a request to the node agent failed', { path: pathOf(request), error });
  server.on('connection', socket => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', () => undefined);
  server.on('request', (request, response) => {
    answer(options, request, response).catch((error: unknown) => {
      failed(request, error);
      if (!response.headersSent) reply(response, 500, textOf(error));
      else response.destroy();
    });
  });
  server.on('upgrade', (request, socket, head) => {
    // Not ours to lose: a client that goes away is no failure of the agent.
    socket.on('error', () => socket.destroy());
    upgrade(options, request, socket, head).catch((error: unknown) => {
      failed(request, error);
      socket.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.address ?? '0.0.0.0', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    renew: renewed => server.setSecureContext({ key: renewed.key, cert: renewed.cert, ca: renewed.clientCa }),
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

interface Refusal {
  readonly code: number;
  readonly message: string;
}

/** Undefined: go ahead. */
async function refuse(options: ServerOptions, request: IncomingMessage): Promise<Refusal | undefined> {
  const user = await identify(request, request.socket as TLSSocket, options);
  if (!user) return { code: 401, message: 'Unauthorized' };
  const path = pathOf(request);
  const refused = await allow(user, request.method ?? 'GET', path, options);
  return refused === undefined ? undefined : { code: 403, message: refused };
}

async function answer(options: ServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const refusal = await refuse(options, request);
  if (refusal) return reply(response, refusal.code, refusal.message);
  const { workers, runtime, node, nodeName, clock } = options;
  const path = pathOf(request);
  const query = queryOf(request);
  const [, verb = '', ...rest] = path.split('/');
  if (verb !== 'healthz') await options.known;
  switch (verb) {
    case 'healthz':
      return reply(response, 200, 'ok');
    case 'pods':
      return json(response, podList([...workers.values()].map(worker => ({ ...worker.pod, status: worker.status }))));
    case 'runningpods':
      return json(
        response,
        podList([...workers.values()].filter(each => each.running.length > 0).map(({ pod }) => pod)),
      );
    case 'containerLogs':
      return serveLogs(options, rest, query, request, response);
    case 'run':
      return serveRun(options, rest, query, request, response);
    case 'metrics': {
      response.setHeader('Content-Type', 'text/plain; version=0.0.4; charset=utf-8');
      if (rest[0] === 'cadvisor') return reply(response, 200, await cadvisorMetrics(runtime, nodeName, clock));
      if (rest[0] === 'resource') return reply(response, 200, await resourceMetrics(runtime, nodeName, clock, workers));
      if (rest[0] === 'probes') return reply(response, 200, probeMetrics(workers));
      return rest.length === 0
        ? reply(response, 200, `${kubeletMetrics(nodeName, workers)}${await options.metrics.registry.metrics()}\n`)
        : reply(response, 404, notFoundText);
    }
    case 'stats':
      if (rest[0] === 'summary')
        return json(response, await summary({ ...options, node: node() }, query.get('only_cpu_and_memory') === 'true'));
      return reply(response, 404, notFoundText);
    case 'configz':
      return json(response, {
        kubeletconfig: {
          kind: 'KubeletConfiguration',
          apiVersion: 'kubelet.config.k8s.io/v1beta1',
          ...options.configuration,
        },
      });
    case 'logs':
      if (options.configuration.enableSystemLogHandler && (await serveNodeLog(rest.join('/'), response)))
        return undefined;
      return reply(response, 404, notFoundText);
    // Ours alone: how far each pod has got.
    case 'debug':
      if (rest.join('/') !== 'pods') return reply(response, 404, notFoundText);
      return json(response, { pods: [...workers.values()].map(each => each.diagnosis) });
    case 'exec':
    case 'attach':
    case 'portForward':
      return reply(response, 400, 'Upgrade request required');
    default:
      return reply(response, 404, notFoundText);
  }
}

const notFoundText = '404 page not found\n';

async function upgrade(options: ServerOptions, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
  const refusal = await refuse(options, request);
  if (refusal) return refuseUpgrade(socket, refusal.code, refusal.message);
  const { runtime } = options;
  await options.known;
  const [, verb = '', ...rest] = pathOf(request).split('/');
  const query = queryOf(request);
  const worker = podAt(options, rest[0], rest[1], rest.length > (verb === 'portForward' ? 2 : 3) ? rest[2] : undefined);
  if (!worker) return refuseUpgrade(socket, 404, `pod ${JSON.stringify(`${rest[0]}/${rest[1]}`)} not found`);
  if (verb === 'portForward') {
    const { sandbox } = worker;
    if (sandbox?.state !== 'ready') return refuseUpgrade(socket, 404, 'the pod has no sandbox that is ready');
    const ports = query
      .getAll('port')
      .concat(query.getAll('ports'))
      .flatMap(each => each.split(','))
      .map(Number);
    return servePortForward(request, socket, head, ports, port => runtime.portForward(sandbox.id, port));
  }
  if (verb !== 'exec' && verb !== 'attach') return refuseUpgrade(socket, 404, notFoundText);
  const container = worker.container(rest.at(-1) ?? '');
  if (container?.state !== 'running')
    return refuseUpgrade(socket, 404, `container not found (${JSON.stringify(rest.at(-1))})`);
  const wanted = wantedBy(query);
  if (!wanted.stdin && !wanted.stdout && !wanted.stderr)
    return refuseUpgrade(socket, 400, 'you must specify at least 1 of stdin, stdout, stderr');
  const remote = await remoteOf(request, socket, head, wanted, options.clock);
  if (!remote) return;
  const command = query.getAll('command');
  await serveSession(remote, signal =>
    verb === 'exec'
      ? runtime.exec(container.id, { ...wanted, command }, signal)
      : runtime.attach(container.id, wanted, signal),
  );
}

function remoteOf(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  wanted: Wanted,
  clock: Clock,
): Promise<Remote | undefined> {
  const isWebSocket = request.headers.upgrade?.toLowerCase() === 'websocket';
  return isWebSocket
    ? webSocketRemote(request, socket, head, wanted)
    : spdyRemote(request, socket, head, wanted, clock);
}

function wantedBy(query: URLSearchParams): Wanted {
  const has = (...names: string[]) => names.some(name => ['1', 'true'].includes(query.get(name) ?? ''));
  const tty = has('tty');
  return { tty, stdin: has('input', 'stdin'), stdout: has('output', 'stdout'), stderr: has('error', 'stderr') && !tty };
}

function podAt(
  { workers }: ServerOptions,
  namespace: string | undefined,
  name: string | undefined,
  uid: string | undefined,
): PodWorker | undefined {
  const fits = ({ pod: { metadata } }: PodWorker) =>
    metadata.namespace === namespace && metadata.name === name && (uid === undefined || metadata.uid === uid);
  // Of two pods of one name, one that ends and one that begins, the newer one counts.
  return [...workers.values()].filter(fits).at(-1);
}

async function serveLogs(
  options: ServerOptions,
  [namespace, name, containerName = '']: readonly string[],
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const worker = podAt(options, namespace, name, undefined);
  if (!worker) return reply(response, 404, `pod ${JSON.stringify(`${namespace}/${name}`)} not found\n`);
  const isPrevious = query.get('previous') === 'true';
  const container = worker.container(containerName, isPrevious);
  if (!container || container.logPath === '')
    return reply(response, 400, missingLog(worker.pod, containerName, isPrevious, worker));
  const wanted = logOptions(query, options.clock.now());
  if (typeof wanted === 'string') return reply(response, 400, wanted);
  const abort = new AbortController();
  response.on('close', () => abort.abort(new Error('the client has gone')));
  const source = {
    isRunning: () =>
      worker.container(containerName)?.id === container.id && worker.running.some(({ id }) => id === container.id),
    changed: (signal: AbortSignal) => worker.changed(signal),
  };
  response.setHeader('Content-Type', 'text/plain');
  response.setHeader('Transfer-Encoding', 'chunked');
  if (wanted.follow) response.flushHeaders();
  try {
    await pipeline(Readable.from(readLogs(container.logPath, wanted, source, abort.signal)), response);
  } catch (error) {
    if (abort.signal.aborted || request.destroyed) return;
    if (!response.headersSent)
      return reply(
        response,
        500,
        `failed to try resolving symlinks in path ${JSON.stringify(container.logPath)}: ${textOf(error)}`,
      );
    throw error;
  }
}

function missingLog(pod: Pod, containerName: string, isPrevious: boolean, worker: PodWorker): string {
  const { metadata, spec } = pod;
  const known = [...(spec?.initContainers ?? []), ...(spec?.containers ?? []), ...(spec?.ephemeralContainers ?? [])];
  const quoted = JSON.stringify(containerName);
  if (!known.some(each => each.name === containerName))
    return `container ${quoted} in pod ${JSON.stringify(metadata.name)} is not available`;
  if (isPrevious) return `previous terminated container ${quoted} in pod ${JSON.stringify(metadata.name)} not found`;
  const { containerStatuses = [], initContainerStatuses = [] } = worker.status;
  const status = [...containerStatuses, ...initContainerStatuses].find(each => each.name === containerName);
  const reason = status?.state?.waiting?.reason ?? 'ContainerCreating';
  const why = reason.startsWith('Err') || reason.includes('ImagePull') ? 'trying and failing to pull image' : reason;
  return `container ${quoted} in pod ${JSON.stringify(metadata.name)} is waiting to start: ${why}`;
}

/** A text is why the query is none. */
function logOptions(query: URLSearchParams, nowMs: number): LogOptions | string {
  const number = (name: string) => {
    const text = query.get(name);
    return text === null || text === '' ? undefined : Number(text);
  };
  const [tailLines, limitBytes, sinceSeconds] = [number('tailLines'), number('limitBytes'), number('sinceSeconds')];
  for (const value of [tailLines, limitBytes, sinceSeconds])
    if (value !== undefined && !Number.isSafeInteger(value)) return 'invalid log options';
  const sinceTime = query.get('sinceTime');
  const stream = query.get('stream') ?? 'All';
  if (stream !== 'All' && stream !== 'Stdout' && stream !== 'Stderr') return 'invalid log options: stream';
  const sinceMs =
    sinceSeconds !== undefined ? nowMs - sinceSeconds * 1000 : sinceTime ? Date.parse(sinceTime) : undefined;
  return {
    follow: query.get('follow') === 'true',
    timestamps: query.get('timestamps') === 'true',
    tailLines,
    limitBytes,
    sinceMs,
    stream,
  };
}

async function serveRun(
  options: ServerOptions,
  rest: readonly string[],
  query: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'POST') return reply(response, 405, 'method not allowed');
  const worker = podAt(options, rest[0], rest[1], rest.length > 3 ? rest[2] : undefined);
  const container = worker?.container(rest.at(-1) ?? '');
  if (container?.state !== 'running')
    return reply(response, 404, `container not found (${JSON.stringify(rest.at(-1))})`);
  const command = (query.get('cmd') ?? '').split(' ').filter(Boolean);
  const { stdout, stderr } = await options.runtime.execSync(container.id, command, 60);
  reply(response, 200, Buffer.concat([stdout, stderr]));
}

function podList(items: readonly Pod[]): object {
  return {
    kind: 'PodList',
    apiVersion: 'v1',
    metadata: {},
    items: items.map(item => ({ ...item, apiVersion: 'v1', kind: 'Pod' })),
  };
}

function json(response: ServerResponse, value: object): void {
  response.setHeader('Content-Type', 'application/json');
  reply(response, 200, JSON.stringify(value));
}

function reply(response: ServerResponse, code: number, body: string | Buffer): void {
  response.statusCode = code;
  if (!response.hasHeader('Content-Type')) response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('Server', `windlass/${kubernetesVersion.gitVersion}`);
  response.end(body);
}

function refuseUpgrade(socket: Duplex, code: number, message: string): void {
  const reason = { 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found' }[code] ?? 'Error';
  const length = Buffer.byteLength(message);
  socket.end(
    `HTTP/1.1 ${code} ${reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${message}`,
  );
}

/** Decoded; a path that is none is no page of ours. */
function pathOf(request: IncomingMessage): string {
  const [path = '/'] = (request.url ?? '/').split('?');
  try {
    return decodeURIComponent(path);
  } catch {
    return '/';
  }
}

function queryOf(request: IncomingMessage): URLSearchParams {
  return new URLSearchParams((request.url ?? '').split('?')[1] ?? '');
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
