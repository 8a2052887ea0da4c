import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A real etcd of one member, for tests. It can be killed and started again on its data. */
export interface TestEtcd extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  readonly port: number;
  /** SIGKILL: what was not synced is lost. */
  kill(): Promise<void>;
  /** On the same port and data, once it was killed. */
  start(): Promise<void>;
  /** SIGSTOP and SIGCONT: it hangs, and goes on. */
  pause(): void;
  resume(): void;
}

export async function startEtcd(
  arguments_: readonly string[] = [],
  scheme: 'http' | 'https' = 'http',
): Promise<TestEtcd> {
  const directory = mkdtempSync(join(tmpdir(), 'windlass-etcd-'));
  const [port, peerPort] = await freePorts();
  const url = `${scheme}://127.0.0.1:${port}`;
  const peerUrl = `http://127.0.0.1:${peerPort}`;
  let child: ChildProcess | undefined;
  const start = async () => {
    child = spawn(
      'etcd',
      [
        `--data-dir=${directory}`,
        `--listen-client-urls=${url}`,
        `--advertise-client-urls=${url}`,
        `--listen-peer-urls=${peerUrl}`,
        `--initial-advertise-peer-urls=${peerUrl}`,
        `--initial-cluster=default=${peerUrl}`,
        '--heartbeat-interval=20',
        '--election-timeout=200',
        '--logger=zap',
        '--log-outputs=stderr',
        ...arguments_,
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

async function freePorts(): Promise<readonly [number, number]> {
  const servers = [createServer(), createServer()];
  const ports = await Promise.all(
    servers.map(async server => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return (server.address() as { port: number }).port;
    }),
  );
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  return ports as [number, number];
}
