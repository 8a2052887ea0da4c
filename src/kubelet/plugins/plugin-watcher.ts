import { type FSWatcher, watch } from 'node:fs';
import { lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { connectPlugin, type PluginConnection, textOf } from './connection.ts';

/** Takes plugins of one type into service. */
export interface PluginHandler {
  /** Rejects with what the plugin is told. */
  register(plugin: RegisteredPlugin): Promise<void>;
  unregister(plugin: RegisteredPlugin): void;
}

export interface RegisteredPlugin {
  readonly type: string;
  readonly name: string;
  /** Where its own services are. */
  readonly endpoint: string;
  readonly versions: readonly string[];
}

export interface PluginWatcherOptions {
  /** `plugins_registry` */
  readonly directory: string;
  readonly handlers: ReadonlyMap<string, PluginHandler>;
  readonly clock: Clock;
  readonly log: Log;
}

interface Known {
  /** Tells a socket from the next one of its name. */
  readonly inode: string;
  readonly plugin: RegisteredPlugin | undefined;
}

const callTimeoutMs = 10_000;
const retryMs = 1_000;
const attemptsMax = 20;
const socketsMax = 1_000;

/** Sockets that appear in a folder are asked who they are, and are taken into service by the handler of their type. */
export class PluginWatcher implements AsyncDisposable {
  readonly #options: PluginWatcherOptions;
  readonly #known = new Map<string, Known>();
  readonly #attempts = new Map<string, number>();
  readonly #abort = new AbortController();
  #watcher: FSWatcher | undefined;
  #looking: Promise<void> = Promise.resolve();
  #due = false;
  #cancelRetry = () => {};

  constructor(options: PluginWatcherOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { directory, log } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o750 });
    this.#watcher = watch(directory, { recursive: true }, () => this.#look());
    this.#watcher.on('error', error => log.error('cannot watch for plugins', { directory, error }));
    this.#watcher.unref();
    this.#look();
    await this.#looking;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new Error('the node agent was stopped'));
    this.#watcher?.close();
    this.#cancelRetry();
    await this.#looking;
  }

  #look(): void {
    if (this.#due || this.#abort.signal.aborted) return;
    this.#due = true;
    this.#looking = this.#looking.then(async () => {
      this.#due = false;
      try {
        await this.#compare();
      } catch (error) {
        this.#options.log.warn('cannot look for plugins', { error });
        this.#retryLater();
      }
    });
  }

  async #compare(): Promise<void> {
    const { directory, handlers } = this.#options;
    const found = new Map(await socketsBelow(directory));
    for (const [path, { inode, plugin }] of this.#known) {
      if (found.get(path) === inode) continue;
      this.#known.delete(path);
      if (plugin) handlers.get(plugin.type)?.unregister(plugin);
    }
    for (const [path, inode] of found) if (!this.#known.has(path)) await this.#meet(path, inode);
  }

  async #meet(path: string, inode: string): Promise<void> {
    const { clock, log } = this.#options;
    using connection = await connectPlugin(path, clock);
    let plugin: RegisteredPlugin;
    try {
      const { signal } = this.#abort;
      const info = await connection.call('/pluginregistration.Registration/GetInfo', {}, callTimeoutMs, signal);
      const endpoint = info.endpoint === '' ? path : info.endpoint;
      plugin = { type: info.type, name: info.name, endpoint, versions: info.supported_versions };
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      // It may have made its socket, and not listen yet.
      const attempts = (this.#attempts.get(path) ?? 0) + 1;
      this.#attempts.set(path, attempts);
      if (attempts < attemptsMax) return this.#retryLater();
      log.warn('a plugin does not say who it is', { socket: path, error });
      this.#known.set(path, { inode, plugin: undefined });
      return;
    }
    this.#attempts.delete(path);
    const refusal = await this.#register(path, plugin);
    this.#known.set(path, { inode, plugin: refusal === undefined ? plugin : undefined });
    await this.#notify(connection, refusal);
  }

  async #register(path: string, plugin: RegisteredPlugin): Promise<string | undefined> {
    const { handlers, log } = this.#options;
    const handler = handlers.get(plugin.type);
    if (!handler) return `no handler registered for plugin type: ${plugin.type} at socket ${path}`;
    try {
      await handler.register(plugin);
      log.info('a plugin has registered', { ...plugin });
      return undefined;
    } catch (error) {
      log.warn('a plugin was refused', { ...plugin, error });
      return textOf(error);
    }
  }

  async #notify(connection: PluginConnection, refusal: string | undefined): Promise<void> {
    const status = { plugin_registered: refusal === undefined, error: refusal ?? '' };
    try {
      await connection.call('/pluginregistration.Registration/NotifyRegistrationStatus', status, callTimeoutMs);
    } catch (error) {
      this.#options.log.warn('a plugin does not hear what became of its registration', { error });
    }
  }

  #retryLater(): void {
    this.#cancelRetry();
    this.#cancelRetry = this.#options.clock.after(retryMs, () => this.#look());
  }
}

async function socketsBelow(directory: string): Promise<readonly (readonly [path: string, inode: string])[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  const sockets = entries.filter(entry => entry.isSocket() && !entry.name.startsWith('.')).slice(0, socketsMax);
  const found = await Promise.all(
    sockets.map(async ({ parentPath, name }) => {
      const path = join(parentPath, name);
      const stats = await lstat(path, { bigint: true }).catch(() => undefined);
      return stats ? [[path, `${stats.ino}/${stats.mtimeNs}`] as const] : [];
    }),
  );
  return found.flat();
}
