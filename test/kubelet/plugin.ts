import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { PluginCommand, PluginSettings } from './plugin-process.ts';

/** A plugin in a process of its own. */
export interface PluginProcess extends AsyncDisposable {
  /** Every call that it got, in order. */
  readonly calls: readonly { readonly call: string; readonly request: unknown }[];
  /** Resolves when it has done so. */
  tell(command: PluginCommand): Promise<void>;
}

export async function startPlugin(settings: PluginSettings): Promise<PluginProcess> {
  const flags = ['--disable-warning=ExperimentalWarning'];
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(
    process.execPath,
    [...flags, join(import.meta.dirname, 'plugin-process.ts'), JSON.stringify(settings)],
    { stdio: ['pipe', 'pipe', 'inherit'], env },
  );
  const calls: { call: string; request: unknown }[] = [];
  const waiting = new Map<string, () => void>();
  createInterface({ input: child.stdout }).on('line', line => {
    const heard = JSON.parse(line) as { call: string; request: unknown };
    calls.push(heard);
    waiting.get(heard.call)?.();
    waiting.delete(heard.call);
  });
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()));
  const heard = (call: string) =>
    Promise.race([
      new Promise<void>(resolve => waiting.set(call, resolve)),
      ended.then(() => {
        throw new Error('the plugin has ended');
      }),
    ]);
  await heard('Listening');
  return {
    calls,
    async tell(command) {
      const done = heard('Done');
      child.stdin.write(`${JSON.stringify(command)}\n`);
      await done;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
