import { spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { isAtLeast, type NetworkList, type PluginConfiguration } from './configuration.ts';

/** One attachment of a sandbox to a network. */
export interface Attachment {
  readonly containerId: string;
  /** Absent: the namespace is gone. */
  readonly netnsPath: string | undefined;
  readonly interfaceName: string;
  /** `CNI_ARGS`: pairs that no plugin has to understand. */
  readonly args: readonly (readonly [string, string])[];
  /** What plugins may ask for by their capabilities. */
  readonly runtimeConfig: Readonly<Record<string, unknown>>;
}

/** What plugins have made, as the last of them says. */
export interface CniResult {
  readonly ips?: readonly { readonly address: string; readonly interface?: number }[];
  readonly interfaces?: readonly { readonly name: string; readonly sandbox?: string }[];
  /** Before CNI 0.3. */
  readonly ip4?: { readonly ip: string };
  readonly ip6?: { readonly ip: string };
  readonly [field: string]: unknown;
}

/** What a plugin that refuses says (CNI: "Error"). */
export class CniError extends Error {
  override readonly name = 'CniError';
  /** 11: trying again later may help. */
  readonly code: number;

  constructor(message: string, code: number, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

type Command = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS';

/** How libcni's messages name them. */
const verbs: Readonly<Record<Command, string>> = {
  ADD: 'add',
  DEL: 'delete',
  CHECK: 'check',
  GC: 'gc',
  STATUS: 'status',
};

const pluginMsMax = 120_000;
const outputBytesMax = 1024 * 1024;

/** Runs a network's plugins, as libcni does: each sees what the ones before it have made. */
export class Chain {
  readonly #list: NetworkList;
  readonly #binDirectories: readonly string[];
  readonly #clock: Clock;

  constructor(list: NetworkList, binDirectories: readonly string[], clock: Clock) {
    this.#list = list;
    this.#binDirectories = binDirectories;
    this.#clock = clock;
  }

  async add(attachment: Attachment, signal?: AbortSignal): Promise<CniResult> {
    let result: CniResult | undefined;
    for (const plugin of this.#list.plugins) {
      const said = await this.#run('ADD', plugin, { attachment, prevResult: result, signal });
      result = said as CniResult;
    }
    return result as CniResult;
  }

  /** In reverse. What was made is told to those that understand it. */
  async remove(attachment: Attachment, result: CniResult | undefined): Promise<void> {
    const prevResult = isAtLeast(this.#list.cniVersion, [0, 4]) ? result : undefined;
    for (const plugin of this.#list.plugins.toReversed()) await this.#run('DEL', plugin, { attachment, prevResult });
  }

  async check(attachment: Attachment, result: CniResult): Promise<void> {
    if (this.#list.disableCheck || !isAtLeast(this.#list.cniVersion, [0, 4])) return;
    for (const plugin of this.#list.plugins) await this.#run('CHECK', plugin, { attachment, prevResult: result });
  }

  /** Tells which attachments there are, so that everything else can go. */
  async collect(valid: readonly { readonly containerID: string; readonly ifname: string }[]): Promise<void> {
    if (this.#list.disableGC || !isAtLeast(this.#list.cniVersion, [1, 1])) return;
    const more = { 'cni.dev/valid-attachments': valid, 'cni.dev/attachments': valid };
    for (const plugin of this.#list.plugins) await this.#run('GC', plugin, { more });
  }

  /** Rejects when a plugin says that it cannot connect anybody now. */
  async status(): Promise<void> {
    if (!isAtLeast(this.#list.cniVersion, [1, 1])) return;
    for (const plugin of this.#list.plugins) await this.#run('STATUS', plugin, {});
  }

  async #run(
    command: Command,
    plugin: PluginConfiguration,
    { attachment, prevResult, more, signal }: RunOptions,
  ): Promise<unknown> {
    const { name, cniVersion } = this.#list;
    try {
      const { capabilities, ...own } = plugin;
      const asked = Object.entries(attachment?.runtimeConfig ?? {}).filter(([key]) => capabilities?.[key] === true);
      const configuration = {
        ...own,
        ...(capabilities && { capabilities }),
        name,
        cniVersion,
        ...more,
        ...(asked.length > 0 && { runtimeConfig: Object.fromEntries(asked) }),
        ...(prevResult && { prevResult }),
      };
      return await this.#exec(command, this.#find(plugin.type), JSON.stringify(configuration), attachment, signal);
    } catch (error) {
      signal?.throwIfAborted();
      const reason = error instanceof Error ? error.message : String(error);
      const message = `plugin type=${JSON.stringify(plugin.type)} failed (${verbs[command]}): ${reason}`;
      throw new CniError(message, error instanceof CniError ? error.code : 0, { cause: error });
    }
  }

  #find(type: string): string {
    for (const directory of this.#binDirectories) {
      const path = join(directory, type);
      if (statSync(path, { throwIfNoEntry: false })?.isFile()) return path;
    }
    throw new Error(`failed to find plugin ${JSON.stringify(type)} in path [${this.#binDirectories.join(' ')}]`);
  }

  #exec(
    command: Command,
    program: string,
    input: string,
    attachment: Attachment | undefined,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const child = spawn(program, [], {
        stdio: ['pipe', 'pipe', 'pipe'],
        signal,
        killSignal: 'SIGKILL',
        env: { ...process.env, ...this.#environment(command, attachment) },
      });
      const cancel = this.#clock.after(pluginMsMax, () => child.kill('SIGKILL'));
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (part: Buffer) => {
        if (stdout.length < outputBytesMax) stdout += part.toString();
      });
      child.stderr.on('data', (part: Buffer) => {
        if (stderr.length < outputBytesMax) stderr += part.toString();
      });
      child.on('error', error => {
        cancel();
        reject(error);
      });
      child.on('close', (code, killed) => {
        cancel();
        if (code !== 0) return reject(refusal(stdout, stderr, killed ?? code));
        if (command !== 'ADD') return resolve(undefined);
        const said = parsed(stdout);
        return said ? resolve(said) : reject(new Error(`it said no result: ${JSON.stringify(stdout.slice(0, 200))}`));
      });
      // A plugin that has ended early says why by its output.
      child.stdin.on('error', () => undefined);
      child.stdin.end(input);
    });
  }

  #environment(command: Command, attachment: Attachment | undefined): Readonly<Record<string, string>> {
    const common = { CNI_COMMAND: command, CNI_PATH: this.#binDirectories.join(':') };
    if (!attachment) return common;
    return {
      ...common,
      CNI_CONTAINERID: attachment.containerId,
      CNI_NETNS: attachment.netnsPath ?? '',
      CNI_IFNAME: attachment.interfaceName,
      CNI_ARGS: attachment.args.map(([key, value]) => `${key}=${value}`).join(';'),
    };
  }
}

interface RunOptions {
  readonly attachment?: Attachment;
  readonly prevResult?: CniResult | undefined;
  readonly more?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal | undefined;
}

function refusal(stdout: string, stderr: string, ending: number | string | null): CniError {
  const said = parsed(stdout);
  const [message, details] = [said?.msg, said?.details];
  if (typeof message === 'string' && message !== '') {
    const more = typeof details === 'string' && details !== '' ? `; ${details}` : '';
    return new CniError(`${message}${more}`, typeof said?.code === 'number' ? said.code : 0);
  }
  if (stderr.trim() !== '') return new CniError(`netplugin failed: ${JSON.stringify(stderr.trim().slice(-1000))}`, 0);
  return new CniError(`netplugin failed with no error message: ${ending}`, 0);
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    // Plugins that crash print what they like.
    return undefined;
  }
}
