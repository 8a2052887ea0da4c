import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './ports.ts';
import { setTimeout as wait } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { buildImages, pushImage } from './images.ts';

/** Debian's docker-registry on a free port of loopback, with everything in a directory that goes away with it. */
export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:41234` */
  readonly host: string;
  readonly directory: string;
}

export interface RegistryOptions {
  readonly port?: number;
  /** Lines for its configuration file, such as an `auth` section. */
  readonly configuration?: string;
}

const startAttemptsMax = 500;
const startPauseMs = 20;

export async function startRegistry(options: RegistryOptions = {}): Promise<Registry> {
  const directory = await mkdtemp(join(tmpdir(), 'windlass-registry-'));
  const host = `127.0.0.1:${options.port ?? (await freePort())}`;
  const file = join(directory, 'config.yml');
  await writeFile(
    file,
    [
      'version: 0.1',
      'log: { level: error, accesslog: { disabled: true } }',
      `storage: { filesystem: { rootdirectory: ${directory}/data }, delete: { enabled: true } }`,
      `http: { addr: "${host}" }`,
      options.configuration ?? '',
    ].join('\n'),
  );
  const child = spawn('docker-registry', ['serve', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => {
    words = `${words}${chunk}`.slice(-4096);
  });
  const ended = new Promise<void>(resolve => {
    child.on('exit', () => resolve());
    child.on('error', error => {
      words = error.message;
      resolve();
    });
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  for (let attempt = 0; attempt < startAttemptsMax; attempt++) {
    const dead = await Promise.race([ended.then(() => true), wait(startPauseMs, false)]);
    if (dead) break;
    const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
    if (answer) return { host, directory, [Symbol.asyncDispose]: stop };
  }
  await stop();
  throw new Error(`cannot start docker-registry: ${words.trim() || 'it does not answer'}`);
}

async function main(): Promise<void> {
  const port = Number(process.argv[2] ?? 5000);
  const registry = await startRegistry({ port });
  for (const image of await buildImages()) await pushImage(registry.host, image);
  process.stdout.write(`${registry.host} serves busybox, client, web:v1 and web:v2; Ctrl-C stops it.\n`);
  await new Promise<void>(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  await registry[Symbol.asyncDispose]();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main();
