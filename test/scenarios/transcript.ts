/**
 * A scenario is a transcript: commands and what they print, as a person would paste it.
 *
 *   $ kubectl get pods          runs once and must print what follows, up to the next command
 *   $~ kubectl get pods         is repeated until it prints what follows (a minute at most)
 *   > more of the command       continues the command on the next line
 *
 * In expected output `…` stands for anything within a line, and a line `...` for any lines. `[exit 1]` as the last line
 * says how the command ends otherwise than well. A `#` starts a comment where a command could stand.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Exchange {
  readonly line: number;
  readonly command: string;
  readonly repeat: boolean;
  readonly expected: readonly string[];
}

export function readTranscript(file: string): readonly Exchange[] {
  return parseTranscript(readFileSync(file, 'utf8'));
}

export function parseTranscript(text: string, firstLine = 1): readonly Exchange[] {
  const exchanges: Exchange[] = [];
  let open: { line: number; command: string; repeat: boolean; expected: string[]; inCommand: boolean } | undefined;
  const close = () => {
    if (!open) return;
    while (open.expected.at(-1) === '') open.expected.pop();
    const { inCommand: _, ...exchange } = open;
    exchanges.push(exchange);
    open = undefined;
  };
  for (const [index, line] of text.split('\n').entries()) {
    const start = /^\$(~?) (.*)$/.exec(line);
    if (start) {
      close();
      open = {
        line: index + firstLine,
        command: start[2] ?? '',
        repeat: start[1] === '~',
        expected: [],
        inCommand: true,
      };
    } else if (open?.inCommand && line.startsWith('> ')) open.command += `\n${line.slice(2)}`;
    else if (open?.inCommand && line === '>') open.command += '\n';
    else if (line.startsWith('# ') && (!open || open.expected.at(-1) === '')) close();
    else if (open) {
      open.inCommand = false;
      open.expected.push(line);
    }
  }
  close();
  return exchanges;
}

export interface RunOptions {
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly repeatMsMax?: number;
}

/** Runs one exchange; throws with both outputs when they differ. */
export async function runExchange(exchange: Exchange, options: RunOptions): Promise<void> {
  const { repeatMsMax = 90_000 } = options;
  const deadlineMs = performance.now() + repeatMsMax;
  while (true) {
    const actual = await runCommand(exchange.command, options);
    if (matches(exchange.expected, actual)) return;
    if (!exchange.repeat || performance.now() > deadlineMs)
      throw new Error(
        `line ${exchange.line}: $ ${exchange.command}\n--- expected\n${exchange.expected.join('\n')}\n--- actual\n${actual.join('\n')}\n---`,
      );
    await sleep(150);
  }
}

const commandMsMax = 120_000;

/** The lines that a command prints on both outputs; the last one says how it failed, if it did. */
export async function runCommand(command: string, { env, cwd }: RunOptions): Promise<readonly string[]> {
  const child = spawn('bash', ['-c', command], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const timer = setTimeout(() => process.kill(-(child.pid as number), 'SIGKILL'), commandMsMax);
  const code = await new Promise<number | null>(resolve => child.on('close', resolve));
  clearTimeout(timer);
  const lines = output
    .replace(/\n+$/, '')
    .split('\n')
    .map(line => line.trimEnd());
  if (lines.length === 1 && lines[0] === '') lines.pop();
  if (code !== 0) lines.push(`[exit ${code ?? 'by signal'}]`);
  return lines;
}

export function matches(expected: readonly string[], actual: readonly string[]): boolean {
  const pattern = expected.map(line => (line === '...' ? '(?:[^\\n]*\\n)*?' : `${lineSource(line)}\\n`)).join('');
  return new RegExp(`^${pattern}$`).test(actual.map(line => `${line}\n`).join(''));
}

function lineSource(line: string): string {
  return line
    .trimEnd()
    .split('…')
    .map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/ {2,}/g, ' +'))
    .join('[^\\n]*');
}
