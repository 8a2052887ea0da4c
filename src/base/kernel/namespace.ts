import type { Duplex } from 'node:stream';
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { libc } from './libc.ts';
import { bindMount, unmount } from './mount.ts';
import { spawnOrThrow, spawnToEnd } from './process.ts';

/** Kernel namespaces held by bind mounts, so that none needs a process to stay alive. */
export interface NamespaceRequest {
  /** Where each namespace is bound; absent ones are not made. The files must not exist. */
  readonly paths: { readonly net?: string; readonly ipc?: string; readonly uts?: string };
  readonly hostname?: string;
  /** Files below /proc/sys and what to write, in the new namespaces. */
  readonly sysctls?: readonly (readonly [path: string, value: string])[];
  /** Their owner: a user namespace of its own, bound to `path`. */
  readonly user?: UserNamespaceRequest;
}

export interface UserNamespaceRequest {
  readonly path: string;
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

export interface IdRange {
  readonly containerId: number;
  readonly hostId: number;
  readonly length: number;
}

export type NamespaceCall =
  | { readonly call: 'create'; readonly request: NamespaceRequest & { readonly fromPid?: number } }
  | { readonly call: 'connect'; readonly netnsPath: string; readonly port: number }
  | { readonly call: 'read'; readonly netnsPath: string; readonly file: string };

export type NamespaceReply =
  | { readonly value: number | string }
  | { readonly error: string; readonly code: string | undefined };

/**
 * Makes and enters namespaces in threads of their own: the process's main thread never leaves its namespaces. Without
 * ffi it spawns `unshare` and `nsenter` instead.
 */
export class Namespaces implements AsyncDisposable {
  readonly #makers = new Enterer();
  // A connection into a pod can take a second; a pod that starts does not wait for it.
  readonly #callers = new Enterer();

  /** Starts the thread that makes namespaces, so that the first pod does not wait for it. */
  warm(): void {
    if (libc) this.#makers.start();
  }

  /** All or nothing: on failure nothing is left behind. The loopback interface of a new network is up. */
  async create(request: NamespaceRequest): Promise<void> {
    if (request.user) await this.#createOwned(request, request.user);
    else if (libc) await this.#makers.call({ call: 'create', request });
    else await createBySpawning(request);
  }

  /**
   * A thread cannot make a user namespace, and what is to belong to one must be made in it: a process does both, and lives
   * until everything is bound.
   */
  async #createOwned(request: NamespaceRequest, { path, uids, gids }: UserNamespaceRequest): Promise<void> {
    if (!libc) throw new Error('cannot make a user namespace: Node runs without --experimental-ffi');
    const { user: _, ...rest } = request;
    const child = spawn('unshare', ['--user', '--net', '--ipc', '--uts', 'sh', '-c', 'echo made; read _'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const ended = new Promise<void>(resolve => child.once('exit', () => resolve()));
    try {
      await new Promise<void>((resolve, reject) => {
        child.once('error', reject);
        child.stdout.once('data', () => resolve());
        child.once('exit', () => reject(new Error('cannot make a user namespace: the kernel does not allow it')));
      });
      const map = (ranges: readonly IdRange[]) =>
        ranges.map(each => `${each.containerId} ${each.hostId} ${each.length}\n`).join('');
      writeFileSync(`/proc/${child.pid}/uid_map`, map(uids));
      writeFileSync(`/proc/${child.pid}/gid_map`, map(gids));
      closeSync(openSync(path, 'wx'));
      await bindMount(`/proc/${child.pid}/ns/user`, path);
      try {
        await this.#makers.call({ call: 'create', request: { ...rest, fromPid: child.pid ?? 0 } });
      } catch (error) {
        await releaseNamespace(path);
        throw error;
      }
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  }

  /** A TCP connection to `localhost:port` inside a network namespace. */
  async connect(netnsPath: string, port: number): Promise<Duplex> {
    if (!libc) return connectBySpawning(netnsPath, port);
    const fd = await this.#callers.call({ call: 'connect', netnsPath, port });
    return new Socket({ fd: Number(fd), allowHalfOpen: true });
  }

  /** A file of /proc whose content depends on the reader's network namespace. */
  async readFile(netnsPath: string, file: string): Promise<string> {
    if (libc) return String(await this.#callers.call({ call: 'read', netnsPath, file }));
    const { stdout } = await spawnToEnd('nsenter', [`--net=${netnsPath}`, 'cat', file]);
    return stdout.toString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#makers.close(), this.#callers.close()]);
  }
}

/** Unbinds a namespace; it ends when its last process has gone. */
export async function releaseNamespace(path: string): Promise<void> {
  await unmount(path);
  rmSync(path, { force: true });
}

/** One thread, started when it is first needed, that works through calls in order. */
class Enterer {
  #worker: Worker | undefined;
  #pending: { resolve: (value: number | string) => void; reject: (error: Error) => void }[] = [];

  call(call: NamespaceCall): Promise<number | string> {
    return new Promise((resolve, reject) => {
      const worker = this.start();
      this.#pending.push({ resolve, reject });
      worker.ref();
      worker.postMessage(call);
    });
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  start(): Worker {
    this.#worker ??= this.#launch();
    return this.#worker;
  }

  #launch(): Worker {
    const worker = new Worker(new URL('./namespace-worker.ts', import.meta.url), {
      name: 'namespaces',
      // Descriptors made here live on in the main thread.
      trackUnmanagedFds: false,
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
    });
    worker.unref();
    worker.on('message', (reply: NamespaceReply) => {
      const waiting = this.#pending.shift();
      if (this.#pending.length === 0) worker.unref();
      if ('value' in reply) waiting?.resolve(reply.value);
      else waiting?.reject(Object.assign(new Error(reply.error), { code: reply.code }));
    });
    const ended = (error: Error) => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const waiting of this.#pending.splice(0)) waiting.reject(error);
    };
    worker.on('error', error => ended(error as Error));
    worker.on('exit', () => ended(new Error('cannot enter a namespace: the thread for it has ended')));
    return worker;
  }
}

async function createBySpawning({ paths, hostname, sysctls = [] }: NamespaceRequest): Promise<void> {
  const kinds = Object.entries(paths) as [string, string][];
  for (const [, path] of kinds) closeSync(openSync(path, 'wx'));
  try {
    const flags = kinds.map(([kind, path]) => `--${kind}=${path}`);
    // One shell does all that must happen inside; values are arguments, never part of the script.
    const script =
      'name=$1; shift; [ -z "$name" ] || hostname "$name"; while [ $# -gt 0 ]; do printf %s "$2" >"$1" || exit 1; shift 2; done';
    const values = sysctls.flatMap(([path, value]) => [path, value]);
    await spawnOrThrow('unshare', [...flags, 'sh', '-c', script, 'sh', hostname ?? '', ...values]);
    if (paths.net) await spawnOrThrow('nsenter', [`--net=${paths.net}`, 'ip', 'link', 'set', 'lo', 'up']);
  } catch (error) {
    for (const [, path] of kinds) await releaseNamespace(path);
    throw error;
  }
}

/** A small Node inside the namespace that passes bytes on. */
function connectBySpawning(netnsPath: string, port: number): Promise<Duplex> {
  const script = `const {Socket,connect}=require('net');const s=connect(${port},'localhost',()=>{process.stdout.write('+');const p=new Socket({fd:3,allowHalfOpen:true});p.pipe(s).pipe(p)});s.on('error',e=>{process.stdout.write(e.code);process.exit(1)})`;
  const child = spawn('nsenter', [`--net=${netnsPath}`, process.execPath, '-e', script], {
    stdio: ['ignore', 'pipe', 'ignore', 'pipe'],
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.stdout?.once('data', (said: Buffer) => {
      if (said.toString() === '+') resolve(child.stdio[3] as Duplex);
      else reject(Object.assign(new Error(`cannot connect to port ${port}: ${said}`), { code: said.toString() }));
    });
    child.on('exit', () => reject(new Error(`cannot connect to port ${port}: nsenter has ended`)));
  });
}

/** Whether the bind mount of a namespace is still there (it is gone after a reboot). */
export function isNamespace(path: string): boolean {
  try {
    return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `);
  } catch {
    return false;
  }
}
