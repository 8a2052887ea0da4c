import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why tests with a real etcd are passed over; `undefined` where it is installed. */
export const noEtcd: string | undefined =
  spawnSync('etcd', ['--version']).status === 0 ? undefined : 'etcd is not installed (Debian: etcd-server)';

/** A real etcd of one member, for tests. It can be killed and started again on its data. */
export interface TestEtcd extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  readonly port: number;
  /** SIGKILL: what was not synced is lost. */
  kill(): Promise<void>;
  /** On the same port and data, once it was killed. */
  start(): Promise<void>;
  /** SIGSTOP and SIGCONT: it says nothing, and goes on. */
  pause(): void;
  resume(): void;
}

export interface TestEtcdOptions {
  readonly arguments?: readonly string[];
  readonly scheme?: 'http' | 'https';
}

export async function startEtcd(options: TestEtcdOptions = {}): Promise<TestEtcd> {
  const [only] = await startEtcdCluster(1, options);
  return only as TestEtcd;
}

/** Members of one cluster. Each is closed for itself. */
export async function startEtcdCluster(size: number, options: TestEtcdOptions = {}): Promise<readonly TestEtcd[]> {
  const ports = await freePorts(size * 2);
  const peers = ports.slice(size).map(port => `http://127.0.0.1:${port}`);
  const initialCluster = peers.map((url, index) => `member-${index}=${url}`).join(',');
  return Promise.all(
    peers.map((peerUrl, index) =>
      startMember(`member-${index}`, ports[index] as number, peerUrl, initialCluster, options),
    ),
  );
}

async function startMember(
  name: string,
  port: number,
  peerUrl: string,
  initialCluster: string,
  options: TestEtcdOptions,
): Promise<TestEtcd> {
  const directory = mkdtempSync(join(tmpdir(), 'windlass-etcd-'));
  const url = `${options.scheme ?? 'http'}://127.0.0.1:${port}`;
  let child: ChildProcess | undefined;
  const start = async () => {
    child = spawn(
      'etcd',
      [
        `--name=${name}`,
        `--data-dir=${directory}`,
        `--listen-client-urls=${url}`,
        `--advertise-client-urls=${url}`,
        `--listen-peer-urls=${peerUrl}`,
        `--initial-advertise-peer-urls=${peerUrl}`,
        `--initial-cluster=${initialCluster}`,
        '--heartbeat-interval=20',
        '--election-timeout=200',
        '--logger=zap',
        '--log-outputs=stderr',
        ...(options.arguments ?? []),
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    await isServing(child);
  };
  const kill = async () => {
    const running = child;
    child = undefined;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    running.kill('SIGKILL');
    await once(running, 'exit');
  };
  await start();
  return {
    url,
    port,
    kill,
    start,
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    async [Symbol.asyncDispose]() {
      await kill();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A way to an etcd that can be cut and mended. */
export interface TestProxy extends AsyncDisposable {
  readonly url: string;
  /** Ends all connections and takes no others. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  /** From now on answers do not come through, requests do. */
  swallowAnswers(): void;
}

export async function startProxy(target: number): Promise<TestProxy> {
  const sockets = new Set<Socket>();
  let swallows = false;
  const serve = (client: Socket) => {
    const upstream = connect(target, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', chunk => upstream.write(chunk));
    upstream.on('data', chunk => {
      if (!swallows) client.write(chunk);
    });
  };
  let server: Server | undefined;
  let port = 0;
  const mend = async () => {
    swallows = false;
    server = createServer(serve);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    ({ port } = server.address() as { port: number });
  };
  const cut = async () => {
    const closing = server;
    server = undefined;
    if (!closing) return;
    const closed = new Promise(resolve => closing.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await mend();
  return {
    url: `http://127.0.0.1:${port}`,
    cut,
    mend,
    swallowAnswers() {
      swallows = true;
    },
    [Symbol.asyncDispose]: cut,
  };
}

function isServing(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-16_384);
      if (/serving (insecure )?client (requests|traffic)/.test(said)) resolve();
    });
    child.once('error', reject);
    child.once('exit', code => reject(new Error(`etcd ended with ${code} before it served: ${said}`)));
  });
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(async server => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return (server.address() as { port: number }).port;
    }),
  );
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  return ports;
}
