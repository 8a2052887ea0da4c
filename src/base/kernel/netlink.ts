import { spawn } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { libc } from './libc.ts';
import { spawnToEnd } from './process.ts';
import { changeWords, type Link, type LinkChange } from './netlink-message.ts';

export type { Link, LinkChange } from './netlink-message.ts';

/** Changes made in order in one namespace; the first that fails ends the call. */
export interface Step {
  /** Absent: the host's own. */
  readonly netnsPath?: string;
  readonly changes: readonly LinkChange[];
  /** Error codes that are fine here: `EEXIST` when adding, `ENODEV` when removing. */
  readonly tolerate?: readonly ('EEXIST' | 'ENODEV' | 'ENOENT' | 'EADDRNOTAVAIL' | 'ESRCH')[];
}

export type NetlinkCall =
  | { readonly call: 'apply'; readonly steps: readonly Step[] }
  | { readonly call: 'links'; readonly netnsPath: string | undefined };

export type NetlinkReply =
  | { readonly links: readonly Link[] }
  | { readonly error: string; readonly code: string | undefined };

/**
 * Links, addresses, routes and neighbours of this machine and of pods' network namespaces. With ffi a thread speaks
 * rtnetlink; without it `ip` and `bridge` are spawned.
 */
export class Netlink implements AsyncDisposable {
  #worker: Worker | undefined;
  #pending: { resolve: (links: readonly Link[]) => void; reject: (error: Error) => void }[] = [];

  /** Starts the thread, so that the first pod does not wait for it. */
  warm(): void {
    if (libc) this.#start();
  }

  async apply(steps: readonly Step[]): Promise<void> {
    if (libc) await this.#call({ call: 'apply', steps });
    else for (const step of steps) await applyBySpawning(step);
  }

  links(netnsPath?: string): Promise<readonly Link[]> {
    return libc ? this.#call({ call: 'links', netnsPath }) : listBySpawning(netnsPath);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
  }

  #call(call: NetlinkCall): Promise<readonly Link[]> {
    return new Promise((resolve, reject) => {
      const worker = this.#start();
      this.#pending.push({ resolve, reject });
      worker.ref();
      worker.postMessage(call);
    });
  }

  #start(): Worker {
    this.#worker ??= this.#launch();
    return this.#worker;
  }

  #launch(): Worker {
    const worker = new Worker(new URL('./netlink-worker.ts', import.meta.url), {
      name: 'netlink',
      // Sockets are opened by system calls that Node does not see.
      trackUnmanagedFds: false,
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
    });
    worker.unref();
    worker.on('message', (reply: NetlinkReply) => {
      const waiting = this.#pending.shift();
      if (this.#pending.length === 0) worker.unref();
      if ('links' in reply) waiting?.resolve(reply.links);
      else waiting?.reject(Object.assign(new Error(reply.error), { code: reply.code }));
    });
    const ended = (error: Error) => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const waiting of this.#pending.splice(0)) waiting.reject(error);
    };
    worker.on('error', error => ended(error as Error));
    worker.on('exit', () => ended(new Error('cannot speak netlink: the thread for it has ended')));
    return worker;
  }
}

/** What `ip` says for the codes a step may tolerate. */
const words: Readonly<Record<string, RegExp>> = {
  EEXIST: /File exists|already assigned/,
  ENODEV: /Cannot find device|No such device|does not exist/,
  ENOENT: /No such file or directory/,
  EADDRNOTAVAIL: /Cannot assign requested address/,
  ESRCH: /No such process/,
};

async function applyBySpawning({ netnsPath, changes, tolerate = [] }: Step): Promise<void> {
  // A batch ends at its first error, so changes that may fail go one by one.
  const batches = tolerate.length > 0 ? changes.map(change => [change]) : batchesByTool(changes);
  for (const batch of batches) {
    const { exitCode, stderr } = await run(toolOf(batch[0]), netnsPath, batch);
    if (exitCode === 0) continue;
    const code = Object.keys(words).find(name => words[name]?.test(stderr));
    if (code && tolerate.some(allowed => allowed === code)) continue;
    throw Object.assign(new Error(`cannot change links: ${stderr.trim()}`), { code });
  }
}

function toolOf(change: LinkChange | undefined): 'ip' | 'bridge' {
  return change && forwardingChanges.has(change.do) ? 'bridge' : 'ip';
}

const forwardingChanges: ReadonlySet<LinkChange['do']> = new Set(['addForwarding', 'addTunnelEnd', 'deleteTunnelEnd']);

function batchesByTool(changes: readonly LinkChange[]): LinkChange[][] {
  const batches: LinkChange[][] = [];
  for (const change of changes) {
    const last = batches.at(-1);
    if (last && toolOf(last[0]) === toolOf(change)) last.push(change);
    else batches.push([change]);
  }
  return batches;
}

function run(
  tool: string,
  netnsPath: string | undefined,
  batch: readonly LinkChange[],
): Promise<{ exitCode: number; stderr: string }> {
  const command = [tool, '-batch', '-'];
  const [program = '', ...args] = netnsPath === undefined ? command : ['nsenter', `--net=${netnsPath}`, ...command];
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (part: Buffer) => {
      if (stderr.length < 16_384) stderr += part.toString();
    });
    child.on('error', error => reject(new Error(`cannot run ${program}: ${error.message}`, { cause: error })));
    child.on('close', code => resolve({ exitCode: code ?? 1, stderr }));
    // The tool that has failed does not read on; its exit code says so.
    child.stdin.on('error', () => undefined);
    child.stdin.end(batch.map(change => `${changeWords(change).join(' ')}\n`).join(''));
  });
}

async function listBySpawning(netnsPath: string | undefined): Promise<readonly Link[]> {
  const command = ['ip', '-json', '-details', 'link', 'show'];
  const [program = '', ...args] = netnsPath === undefined ? command : ['nsenter', `--net=${netnsPath}`, ...command];
  const { stdout } = await spawnToEnd(program, args);
  const listed = JSON.parse(stdout.toString()) as readonly ListedLink[];
  const indexes = new Map(listed.map(link => [link.ifname, link.ifindex]));
  return listed.map(link => ({
    index: link.ifindex,
    name: link.ifname,
    kind: link.linkinfo?.info_kind ?? '',
    mac: link.address ?? '',
    mtu: link.mtu,
    up: link.flags.includes('UP'),
    master: link.master === undefined ? undefined : indexes.get(link.master),
  }));
}

/** An entry of `ip -json -details link`. */
interface ListedLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly address?: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly master?: string;
  readonly linkinfo?: { readonly info_kind?: string };
}
