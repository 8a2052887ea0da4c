import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { PeerCall } from './peer-process.ts';

/** Somebody on the network of a test: a process in a namespace (or in the test's own) that listens and calls. */
export class Peer implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, (text: string) => void>();
  readonly #ready: Promise<string>;
  #last = 0;

  constructor(name: string, netnsPath?: string) {
    const script = new URL('./peer-process.ts', import.meta.url).pathname;
    const command = [process.execPath, '--no-warnings', script, name];
    const [program = '', ...args] = netnsPath === undefined ? command : ['nsenter', `--net=${netnsPath}`, ...command];
    this.#process = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'json' });
    this.#ready = new Promise(resolve => this.#waiting.set(0, resolve));
    this.#process.on('message', ({ id, text }: { id: number; text: string }) => {
      this.#waiting.get(id)?.(text);
      this.#waiting.delete(id);
    });
  }

  async listen(protocol: 'tcp' | 'udp', port: number, host?: string): Promise<void> {
    const said = await this.#do({ do: 'listen', protocol, port, ...(host !== undefined && { host }) });
    if (said !== 'listening') throw new Error(said);
  }

  /** `<name of who answered> <address it saw>`, `timeout`, or an error's code. */
  call(
    protocol: 'tcp' | 'udp',
    host: string,
    port: number,
    options: { readonly localPort?: number; readonly timeoutMs?: number } = {},
  ): Promise<string> {
    const { localPort, timeoutMs = 3000 } = options;
    return this.#do({ do: 'call', protocol, host, port, timeoutMs, ...(localPort !== undefined && { localPort }) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ready;
    const ended = once(this.#process, 'exit');
    this.#process.disconnect();
    await ended;
  }

  async #do(call: PeerCall): Promise<string> {
    await this.#ready;
    const id = ++this.#last;
    return new Promise(resolve => {
      this.#waiting.set(id, resolve);
      this.#process.send({ id, call });
    });
  }
}
