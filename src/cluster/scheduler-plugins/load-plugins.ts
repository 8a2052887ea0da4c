import { basename } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Clock } from '#base/clock.ts';
import type { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { Adviser } from '#scheduler/advisers.ts';
import type { Profile, SchedulerConfiguration } from '#scheduler/configuration.ts';
import type { NodeInfo } from '#scheduler/node-info.ts';
import type { Rejection } from '#scheduler/plugin.ts';
import type { PodInfo } from '#scheduler/pod-info.ts';
import type { Answer, Loaded, Question } from './protocol.ts';

export interface PluginEnvironment {
  readonly clock: Clock;
  readonly log: Log;
  readonly lifetime: Lifetime;
  /** How long a plugin may think about one pod. */
  readonly answerMsMax?: number;
  /** How long it is left alone after it did not answer. */
  readonly restMs?: number;
}

const loadMsMax = 5_000;
const usualAnswerMsMax = 2_000;
const usualRestMs = 30_000;
const forgottenMin = 10_000;
const memoryMegabytesMax = 256;

/**
 * Plugins in TypeScript or JavaScript from users' files, each in a thread of its own. One that cannot be loaded is left out
 * with a sentence in the log; one that fails later keeps back the pods of its profiles, and nothing else.
 */
export async function loadSchedulerPlugins(
  files: readonly string[],
  { profiles }: SchedulerConfiguration,
  environment: PluginEnvironment,
): Promise<readonly Adviser[]> {
  const loaded = await Promise.all(
    files.map(async file => {
      const thread = new PluginThread(file, environment);
      environment.lifetime.defer(() => thread[Symbol.asyncDispose]());
      try {
        return adviserOf(thread, await thread.start(profiles), profiles);
      } catch (error) {
        environment.log.error(`cannot use the scheduler plugin ${file}: ${(error as Error).message}`);
        return [];
      }
    }),
  );
  return loaded.flat();
}

function adviserOf(thread: PluginThread, { name, filters, scores }: Loaded, profiles: readonly Profile[]): Adviser {
  const choices = new Map(profiles.map(profile => [profile.schedulerName, profile.ofUserPlugin(name)]));
  const choiceOf = (pod: PodInfo) => choices.get(pod.pod.spec.schedulerName ?? profiles[0]?.schedulerName ?? '');
  return {
    name,
    ignorable: false,
    concerns: (_pod, schedulerName) => {
      const choice = choices.get(schedulerName);
      return choice !== undefined && ((filters && choice.filters) || (scores && choice.weight !== undefined));
    },
    ...(filters && {
      async filter(pod, nodes) {
        if (choiceOf(pod)?.filters !== true) return new Map<string, Rejection>();
        const reasons = await thread.judge('filter', pod, nodes);
        const refused = new Map<string, Rejection>();
        for (const [index, reason] of reasons.entries())
          if (typeof reason === 'string')
            refused.set(nodes[index]?.name ?? '', { plugin: name, reasons: [reason], unresolvable: false });
        return refused;
      },
    }),
    ...(scores && {
      async score(pod, nodes) {
        const weight = choiceOf(pod)?.weight;
        if (weight === undefined) return new Map<string, number>();
        const values = await thread.judge('score', pod, nodes);
        return new Map(values.map((value, index) => [nodes[index]?.name ?? '', Number(value) * weight] as const));
      },
    }),
  };
}

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** A plugin's thread; started anew when it had to be ended. */
class PluginThread {
  readonly #file: string;
  readonly #environment: PluginEnvironment;
  readonly #waiting = new Map<number, Waiting>();
  /** Which state of each node the thread knows. */
  readonly #told = new Map<string, { readonly node: NodeInfo; readonly generation: number }>();
  #worker: Worker | undefined;
  #profiles: readonly Profile[] = [];
  #nextId = 1;
  /** Not asked before: it hung or died. */
  #restUntilMs = 0;
  #why = '';

  constructor(file: string, environment: PluginEnvironment) {
    this.#file = file;
    this.#environment = environment;
  }

  async start(profiles: readonly Profile[]): Promise<Loaded> {
    this.#profiles = profiles;
    const first = this.#waitFor(0, loadMsMax, 'its code did not end');
    this.#open();
    const answer = await first;
    if (!('loaded' in answer)) throw new Error('its thread answered out of turn');
    const { loaded } = answer;
    for (const profile of profiles) {
      const { args, filters, weight } = profile.ofUserPlugin(loaded.name);
      if (!filters && weight === undefined) continue;
      const { schedulerName } = profile;
      await this.#ask({ id: this.#nextId++, ask: 'configure', schedulerName, args }, 'configure');
    }
    return loaded;
  }

  async judge(
    ask: 'filter' | 'score',
    { pod }: PodInfo,
    nodes: readonly NodeInfo[],
  ): Promise<readonly (string | number | undefined)[]> {
    const nowMs = this.#environment.clock.monotonic();
    if (nowMs < this.#restUntilMs) throw new Error(this.#why);
    if (!this.#worker) await this.start(this.#profiles);
    // Nodes that are gone are forgotten now and then, all at once.
    const gone = this.#told.size > 2 * nodes.length + forgottenMin ? [...this.#told.keys()] : [];
    if (gone.length > 0) this.#told.clear();
    const changed = nodes.filter(node => {
      const told = this.#told.get(node.name);
      return told?.node !== node || told.generation !== node.generation;
    });
    const question: Question = {
      id: this.#nextId++,
      ask,
      pod,
      changed: changed.map(({ node, pods }) => ({ node, pods: Array.from(pods.values(), each => each.pod) })),
      gone,
      names: nodes.map(node => node.name),
    };
    for (const node of changed) this.#told.set(node.name, { node, generation: node.generation });
    const answer = await this.#ask(question, ask);
    return 'values' in answer ? answer.values : [];
  }

  async #ask(question: Question, what: string): Promise<Answer> {
    const { answerMsMax = usualAnswerMsMax } = this.#environment;
    const answered = this.#waitFor(question.id, answerMsMax, `${what} took longer than ${answerMsMax} ms`);
    this.#worker?.postMessage(question);
    try {
      return await answered;
    } catch (error) {
      throw new Error(`plugin ${basename(this.#file)}: ${(error as Error).message}`, { cause: error });
    }
  }

  #waitFor(id: number, msMax: number, late: string): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const cancel = this.#environment.clock.after(msMax, () => this.#end(late));
    this.#waiting.set(id, {
      resolve: answer => (answer.error === undefined ? resolve(answer) : reject(new Error(answer.error))),
      reject,
    });
    return promise.finally(() => {
      cancel();
      this.#waiting.delete(id);
    });
  }

  #open(): void {
    this.#told.clear();
    const worker = new Worker(new URL('./plugin-worker.ts', import.meta.url), {
      workerData: { file: this.#file },
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: memoryMegabytesMax },
    });
    this.#worker = worker;
    worker.on('message', (answer: Answer) => this.#waiting.get(answer.id)?.resolve(answer));
    worker.on('error', error => {
      if (this.#worker === worker) this.#end(`its thread died: ${(error as Error).message}`);
    });
    worker.on('exit', code => {
      if (this.#worker === worker) this.#end(`its thread ended by itself with ${code}`);
    });
  }

  /** It hangs or is dead: whoever waits hears it, and it is left alone for a while. */
  #end(why: string): void {
    const { clock, log, restMs = usualRestMs } = this.#environment;
    const worker = this.#worker;
    this.#worker = undefined;
    this.#restUntilMs = clock.monotonic() + restMs;
    this.#why = `plugin ${basename(this.#file)}: ${why}; it is asked again in ${Math.ceil(restMs / 1000)} s at the latest`;
    log.error(`the scheduler plugin ${this.#file} does not work: ${why}`);
    for (const { reject } of this.#waiting.values()) reject(new Error(why));
    void worker?.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(new Error('the scheduler ends'));
    await worker?.terminate();
  }
}
