import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { ProxyBackend, ProxyModel } from './model.ts';
import {
  addressWord,
  adminSocket,
  configurationFile,
  proxyFiles,
  serverName,
  serverWords,
  type ProxyFiles,
  type ProxySettings,
} from './proxy-files.ts';

export interface ProxyOptions {
  /** Where the proxy's files and sockets are; nobody else's. */
  readonly directory: string;
  readonly logFile: string;
  readonly clusterId: string;
  readonly threads: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ProxyCounts {
  reloads: number;
  failedReloads: number;
  serverChanges: number;
}

const masterSocket = 'master.sock';
const pidFile = 'haproxy.pid';
/** The port of the proxy's metrics; those of listeners follow. Above the ports that the kernel gives out by itself. */
export const metricsPort = 61_000;
const startMsMax = 20_000;
const answerBytesMax = 1 << 20;
const answerMsMax = 10_000;

/**
 * HAProxy on this machine: one master that outlives whoever drives it, and a worker for each configuration. A new worker
 * takes over the sockets of the old one, which ends what it has begun: no connection is refused meanwhile.
 */
export class Proxy {
  readonly counts: ProxyCounts = { reloads: 0, failedReloads: 0, serverChanges: 0 };
  readonly #options: ProxyOptions;
  #running: ProxyFiles | undefined;
  #model: ProxyModel | undefined;
  /** Backend → server → whether it takes requests, as the newest worker has it. */
  #servers = new Map<string, Map<string, boolean>>();

  constructor(options: ProxyOptions) {
    this.#options = options;
  }

  /** It was started, and is not there any more. */
  get isLost(): boolean {
    return this.#running !== undefined && pidOf(this.#options.directory) === undefined;
  }

  /** Brings the proxy to a model: by its command line where only servers have changed, by a new worker otherwise. */
  async apply(
    model: ProxyModel,
    settings: Omit<ProxySettings, 'metricsPort' | 'threads' | 'clusterId'>,
  ): Promise<void> {
    const { directory, threads, clusterId } = this.#options;
    const all: ProxySettings = { ...settings, metricsPort, threads, clusterId };
    // What a worker is compared by has no servers in it: those come and go under it.
    const shape = proxyFiles(model, { ...all, servers: () => [] });
    if (this.#running && sameFiles(this.#running, shape)) {
      this.#model = model;
      for (const backend of model.backends.values()) await this.#updateServers(backend, settings.servers(backend));
      return;
    }
    mkdirSync(join(directory, 'empty'), { recursive: true, mode: 0o755 });
    // As they are now: what comes while the worker is loaded has to be told to it afterwards.
    const servers = new Map([...model.backends.values()].map(backend => [backend.name, settings.servers(backend)]));
    const files = proxyFiles(model, { ...all, servers: backend => servers.get(backend.name) ?? [] });
    const before = readFiles(directory);
    writeFiles(directory, files);
    try {
      if (await isAlive(directory)) await this.#reload();
      else await this.#start();
    } catch (error) {
      this.counts.failedReloads++;
      if (before.size > 0) writeFiles(directory, before);
      throw error;
    }
    removeOthers(directory, files);
    this.counts.reloads++;
    this.#running = shape;
    this.#model = model;
    this.#servers = new Map(
      [...servers].map(([name, addresses]) => [name, new Map(addresses.map(address => [address, true]))]),
    );
  }

  /** Brings the servers of the backends of some Services up to date, without a new worker. */
  async update(services: ReadonlySet<string>, serversOf: ProxySettings['servers']): Promise<void> {
    for (const backend of this.#model?.backends.values() ?? [])
      if (services.has(`${backend.namespace}/${backend.service}`))
        await this.#updateServers(backend, serversOf(backend));
  }

  /** Ends the proxy once what it has begun is over. */
  async stop(): Promise<void> {
    this.#running = undefined;
    this.#model = undefined;
    this.#servers.clear();
    await endProxy(this.#options.directory, this.#options.clock);
  }

  /** Forgets what runs: the next model is loaded anew. */
  forget(): void {
    this.#running = undefined;
  }

  async #updateServers(backend: ProxyBackend, wanted: readonly string[]): Promise<void> {
    const known = this.#servers.get(backend.name) ?? new Map<string, boolean>();
    this.#servers.set(backend.name, known);
    const addresses = new Set(wanted);
    const commands: string[] = [];
    const words = serverWords(backend);
    for (const address of addresses) {
      const server = `${backend.name}/${serverName(address)}`;
      if (known.get(address) === true) continue;
      if (!known.has(address)) commands.push(`add server ${server} ${addressWord(address)}${words}`);
      commands.push(`enable server ${server}`);
      known.set(address, true);
    }
    for (const [address, takesRequests] of known) {
      if (addresses.has(address)) continue;
      const server = `${backend.name}/${serverName(address)}`;
      if (takesRequests) commands.push(`disable server ${server}`);
      known.set(address, false);
      // Refused while it still answers somebody; then it goes another time.
      const answer = await this.#say([...commands.splice(0), `del server ${server}`].join('; '));
      if (answer.includes('Server deleted.')) known.delete(address);
      this.counts.serverChanges++;
    }
    if (commands.length === 0) return;
    this.counts.serverChanges++;
    const answer = await this.#say(commands.join('; '));
    const expected = commands.filter(each => each.startsWith('add ')).length;
    const added = answer.split('New server registered.').length - 1;
    if (added !== expected) {
      this.forget();
      throw new Error(`cannot add a server to the proxy: ${answer.trim()}`);
    }
  }

  #say(command: string): Promise<string> {
    return ask(join(this.#options.directory, adminSocket), command);
  }

  async #start(): Promise<void> {
    const { directory, logFile, clock } = this.#options;
    const socket = join(directory, masterSocket);
    if (Buffer.byteLength(socket) > socketPathBytesMax)
      throw new Error(`cannot start the proxy: the path ${socket} is too long for a socket; choose another --data-dir`);
    // One that is there but does not answer.
    await endProxy(directory, clock);
    rmSync(socket, { force: true });
    const output = openSync(logFile, 'a', 0o600);
    const child = spawn(program(), ['-W', '-S', `unix@${masterSocket},mode,600`, '-f', configurationFile], {
      cwd: directory,
      detached: true,
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    const ended = Promise.withResolvers<never>();
    ended.promise.catch(() => {});
    child.on('error', error => ended.reject(new Error('cannot start the proxy', { cause: error })));
    child.on('exit', code =>
      ended.reject(new Error(`cannot start the proxy: it ended with ${code}: ${lastWords(logFile)}`)),
    );
    if (child.pid !== undefined) writeFileSync(join(directory, pidFile), `${child.pid}\n`, { mode: 0o600 });
    child.unref();
    try {
      await Promise.race([this.#loaded(clock, () => true), ended.promise]);
    } catch (error) {
      await endProxy(directory, clock);
      throw error;
    }
  }

  async #reload(): Promise<void> {
    const { directory, clock, logFile } = this.#options;
    const socket = join(directory, masterSocket);
    const before = reloadsIn(await ask(socket, 'show proc'));
    await ask(socket, 'reload');
    const after = await this.#loaded(clock, ({ reloads }) => reloads > before.reloads);
    if (after.failed > 0) throw new Error(`cannot load the proxy's configuration: ${lastWords(logFile)}`);
  }

  /** Waits until the master has loaded a configuration, or says that it could not. */
  async #loaded(clock: Clock, isNew: (status: MasterStatus) => boolean): Promise<MasterStatus> {
    const socket = join(this.#options.directory, masterSocket);
    const limitMs = clock.monotonic() + startMsMax;
    while (true) {
      try {
        const status = reloadsIn(await ask(socket, 'show proc'));
        if (isNew(status) && (status.hasWorker || status.failed > 0)) return status;
      } catch (error) {
        // Between two masters nobody listens for a moment.
        if (clock.monotonic() > limitMs) throw error;
      }
      if (clock.monotonic() > limitMs) throw new Error('cannot start the proxy: it does not become ready');
      await clock.sleep(10);
    }
  }
}

const socketPathBytesMax = 100;

/** Where Debian puts it, whatever the PATH is. */
function program(): string {
  return existsSync('/usr/sbin/haproxy') ? '/usr/sbin/haproxy' : 'haproxy';
}

interface MasterStatus {
  readonly reloads: number;
  readonly failed: number;
  /** A worker of the newest configuration runs. */
  readonly hasWorker: boolean;
}

function reloadsIn(text: string): MasterStatus {
  const master = /^\d+\s+master\s+(\d+)(?:\s+\[failed: (\d+)\])?/m.exec(text);
  return {
    reloads: Number(master?.[1] ?? 0),
    failed: Number(master?.[2] ?? 0),
    hasWorker: /^\d+\s+worker\s+0\s/m.test(text),
  };
}

async function isAlive(directory: string): Promise<boolean> {
  if (pidOf(directory) === undefined) return false;
  try {
    return (await ask(join(directory, masterSocket), 'show proc')).includes('master');
  } catch {
    // Nobody listens there: it is gone, or never was.
    return false;
  }
}

/** The master's process, when it still is one. */
function pidOf(directory: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(directory, pidFile), 'utf8'));
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`haproxy\0-W`) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Ends the proxy of a directory, when there is one. */
export async function endProxy(directory: string, clock: Clock): Promise<void> {
  const pid = pidOf(directory);
  if (pid !== undefined) {
    let signal: NodeJS.Signals | 0 = 'SIGTERM';
    for (const limitMs = clock.monotonic() + startMsMax; pidOf(directory) === pid; ) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
      signal = clock.monotonic() > limitMs ? 'SIGKILL' : 0;
      await clock.sleep(10);
    }
  }
  rmSync(join(directory, pidFile), { force: true });
}

/** One question to a socket of the proxy's; the answer is all it says until it hangs up. */
function ask(socket: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket);
    let answer = '';
    connection.setTimeout(answerMsMax, () =>
      connection.destroy(new Error(`cannot ask the proxy: ${socket} is silent`)),
    );
    connection.setEncoding('utf8');
    // It answers what has come before the end, and hangs up.
    connection.on('connect', () => connection.end(`${command}\n`));
    connection.on('data', (chunk: string) => {
      answer += chunk;
      if (answer.length > answerBytesMax) connection.destroy(new Error('cannot ask the proxy: it says too much'));
    });
    connection.on('error', reject);
    connection.on('close', () => resolve(answer));
  });
}

function sameFiles(left: ProxyFiles, right: ProxyFiles): boolean {
  return left.size === right.size && [...left].every(([name, text]) => right.get(name) === text);
}

const ownFiles = /\.(cfg|lua|list|pem|ca)$/;

function readFiles(directory: string): ProxyFiles {
  const names = readdirSync(directory).filter(name => ownFiles.test(name));
  return new Map(names.map(name => [name, readFileSync(join(directory, name), 'utf8')]));
}

function writeFiles(directory: string, files: ProxyFiles): void {
  for (const [name, text] of files) {
    const file = join(directory, name);
    writeFileSync(`${file}.part`, text, { mode: 0o600 });
    renameSync(`${file}.part`, file);
  }
}

function removeOthers(directory: string, files: ProxyFiles): void {
  for (const name of readdirSync(directory))
    if (ownFiles.test(name) && !files.has(name)) rmSync(join(directory, name), { force: true });
}

function lastWords(logFile: string): string {
  const lines = readFileSync(logFile, 'utf8').trimEnd().split('\n');
  return lines
    .filter(line => /ALERT|error/i.test(line))
    .slice(-3)
    .join(' | ')
    .slice(-1_000);
}
