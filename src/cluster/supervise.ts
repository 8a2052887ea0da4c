import { fork, type ChildProcess } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import { exponentialBackoff } from '#base/backoff.ts';
import { systemClock, type Clock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { claimRanges, releaseRanges } from './addresses.ts';
import type { Flags } from './commands.ts';
import {
  claimPid,
  dataDirFrom,
  readConfig,
  removePid,
  writePid,
  type ClusterConfig,
  type DataDir,
} from './data-dir.ts';
import { sentenceOf, type FromRole, type ToRole } from './messages.ts';
import { localNodes, machineNetwork, nodeNamespaces } from './nodes.ts';
import { cleanNodes } from './orphans.ts';
import { progressTo, type Progress } from './progress.ts';

/** The processes of a cluster, kept running until `stop`. */
export interface Supervisor {
  /** Resolves when every role has said that it is ready; rejects when one cannot start. */
  readonly ready: Promise<void>;
  /** Stops all roles, nodes first, and gives back what the cluster held on this machine. */
  stop(): Promise<void>;
}

/** `windlass supervise`: the supervisor of a detached cluster. Its starter listens until it is ready. */
export async function supervise(flags: Flags): Promise<number> {
  const dir = dataDirFrom(flags);
  const config = readConfig(dir);
  if (!config) throw new Error(`cannot supervise ${dir.path}: there is no cluster`);
  const send = process.send?.bind(process) as ((message: FromRole) => boolean) | undefined;
  const tell = (message: FromRole) => {
    if (process.connected) send?.(message);
  };
  let supervisor: Supervisor;
  try {
    const progress = progressTo(step => tell({ type: 'step', step }), systemClock);
    supervisor = startSupervisor({ dir, config, progress, clock: systemClock });
  } catch (error) {
    tell({ type: 'failed', reason: sentenceOf(error, dir.path) });
    return 1;
  }
  const stopped = new Promise<void>((resolve, reject) => {
    const stop = () => supervisor.stop().then(resolve, reject);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, stop);
  });
  try {
    // A cluster that is stopped while it starts never becomes ready.
    await Promise.race([supervisor.ready, stopped]);
    tell({ type: 'ready' });
  } catch (error) {
    tell({ type: 'failed', reason: sentenceOf(error, dir.path) });
    await supervisor.stop();
    return 1;
  }
  if (process.connected) process.disconnect?.();
  await stopped;
  return 0;
}

export function startSupervisor(options: {
  readonly dir: DataDir;
  readonly config: ClusterConfig;
  readonly progress: Progress;
  readonly clock: Clock;
}): Supervisor {
  const { dir, config, progress, clock } = options;
  if (!claimPid(dir, 'supervisor', process.pid))
    throw new Error(`cannot start: the cluster in ${dir.path} runs already`);
  if (config.nodes > 0) claimRanges(dir, config);

  const context = { dir, progress, clock, heap: frugal };
  const heap = config.hollowNodes > hollowNodesRoomy ? roomy : busy;
  const controlPlane = new Role({ ...context, heap }, 'control-plane', ['control-plane', '--data-dir', dir.path]);
  // The node agent loads while the control plane starts, and waits for its word to go on.
  const first = config.nodes > 0 ? [new Role(context, 'node-agent', ['node-agent', '--data-dir', dir.path])] : [];
  for (const role of [controlPlane, ...first]) role.start();
  // Each node with a network namespace of its own has an agent of its own, which is born there.
  const network = machineNetwork(dir, config);
  const beside = localNodes(dir, config).flatMap(({ name, place }) =>
    place
      ? [
          new Role(
            context,
            `node-agent-${place.number}`,
            ['node-agent', '--data-dir', dir.path, '--node', name],
            place.netnsPath,
          ),
        ]
      : [],
  );
  const agents = [...first, ...beside];
  const networked = (async () => {
    if (!network) return;
    const { makeMachineNetwork } = await import('#network/between/machine.ts');
    await makeMachineNetwork(network);
    for (const role of beside) role.start();
  })();

  const ready = (async () => {
    await Promise.all([controlPlane.ready, networked]);
    for (const agent of agents) agent.go();
    await Promise.all(agents.map(agent => agent.ready));
  })();
  // Whoever waits hears of it; a supervisor that is stopped early must not crash on it.
  ready.catch(() => {});

  return {
    ready,
    async stop() {
      await networked.catch(() => undefined);
      const cleanly = await Promise.all(agents.map(agent => agent.stop()));
      await controlPlane.stop();
      try {
        if (cleanly.includes(false)) await cleanNodes(dir, config);
        else await removeNodeNamespaces(dir);
      } finally {
        if (config.nodes > 0) releaseRanges(dir);
        removePid(dir, 'supervisor');
      }
    },
  };
}

/** Also those of a cluster that was killed and had more nodes then. */
async function removeNodeNamespaces(dir: DataDir): Promise<void> {
  const paths = nodeNamespaces(dir);
  if (paths.length === 0) return;
  const { removeMachineNetwork } = await import('#network/between/machine.ts');
  await removeMachineNetwork(dir.id, paths, silentLog);
}

/** The heap grows in small steps, and its young part stays small: what a burst of requests needed would stay taken. */
const frugal = ['--heap-growing-percent=40', '--max-semi-space-size=8'];
/** Whom many ask: a tenth to a fifth less CPU under load for 25 MB after it. */
const busy = ['--heap-growing-percent=40', '--max-semi-space-size=16'];
/** With many simulated nodes, and their pods, a third of the CPU would go into collecting garbage; a tenth more memory. */
const roomy = ['--max-semi-space-size=32'];
const hollowNodesRoomy = 100;

interface RoleContext {
  readonly dir: DataDir;
  readonly progress: Progress;
  readonly clock: Clock;
  /** Flags of V8. */
  readonly heap: readonly string[];
}

/** How long a role may take to stop by itself. */
const stopMsMax = 40_000;

/** One process: started again when it ends by itself, with a growing pause. */
class Role {
  readonly ready: Promise<void>;
  readonly #context: RoleContext;
  readonly #name: string;
  readonly #args: readonly string[];
  readonly #netnsPath: string | undefined;
  readonly #backoff = exponentialBackoff({ initialMs: 100, maxMs: 10_000 });
  #child: ChildProcess | undefined;
  #going = false;
  #stopping = false;
  #wasReady = false;
  #cancelRestart: () => void = () => {};
  #resolve: () => void = () => {};
  #reject: (error: Error) => void = () => {};

  constructor(context: RoleContext, name: string, args: readonly string[], netnsPath?: string) {
    this.#context = context;
    this.#name = name;
    this.#args = args;
    this.#netnsPath = netnsPath;
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.ready.catch(() => {});
  }

  start(): void {
    const { dir, heap } = this.#context;
    const log = openSync(join(dir.logs, `${this.#name}.log`), 'a', 0o600);
    const words = [...process.execArgv, ...heap];
    const child = fork(join(import.meta.dirname, 'cli.ts'), [...this.#args], {
      // `nsenter` becomes the process that it is told of: the channel and the pid are that one's.
      ...(this.#netnsPath === undefined
        ? { execArgv: words }
        : { execPath: 'nsenter', execArgv: [`--net=${this.#netnsPath}`, '--', process.execPath, ...words] }),
      env: { ...process.env, MALLOC_ARENA_MAX: '2' },
      stdio: ['ignore', log, log, 'ipc'],
      // A Ctrl-C goes to the terminal's whole group; the supervisor alone decides what it means.
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    if (child.pid !== undefined) writePid(dir, this.#name, child.pid);
    child.on('message', message => this.#heard(message as FromRole));
    child.on('exit', (code, signal) => this.#ended(child, code, signal));
    if (this.#going) this.#tell({ type: 'go' });
  }

  /** Lets the role go on now, and at once after every restart. */
  go(): void {
    this.#going = true;
    this.#tell({ type: 'go' });
  }

  /** False: it had ended before, or did not end well, and has left what it had. */
  async stop(): Promise<boolean> {
    this.#stopping = true;
    this.#cancelRestart();
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return false;
    const exited = new Promise<boolean>(resolve => child.once('exit', code => resolve(code === 0)));
    this.#tell({ type: 'stop' });
    const cancel = this.#context.clock.after(stopMsMax, () => child.kill('SIGKILL'));
    const cleanly = await exited;
    cancel();
    return cleanly;
  }

  #tell(message: ToRole): void {
    // A role that is just ending cannot be told anything any more; its exit is handled where it is seen.
    if (this.#child?.connected) this.#child.send(message, () => {});
  }

  #heard(message: FromRole): void {
    switch (message.type) {
      case 'step':
        // Restarts are for the log, not for the display.
        if (!this.#wasReady) this.#context.progress.report(message.step);
        return;
      case 'ready':
        this.#wasReady = true;
        this.#backoff.reset();
        this.#resolve();
        return;
      case 'failed':
        this.#reject(new Error(message.reason));
    }
  }

  #ended(child: ChildProcess, code: number | null, signal: NodeJS.Signals | null): void {
    if (child !== this.#child) return;
    removePid(this.#context.dir, this.#name);
    if (this.#stopping) return;
    if (!this.#wasReady) {
      const log = join(this.#context.dir.logs, `${this.#name}.log`);
      this.#reject(new Error(`${this.#name} ended with ${signal ?? `code ${code}`} before it was ready; see ${log}`));
      return;
    }
    this.#cancelRestart = this.#context.clock.after(this.#backoff.next(), () => this.start());
  }
}
