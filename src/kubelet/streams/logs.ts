import { dirname } from 'node:path';
import { watch } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { parseLogLine } from './log-format.ts';

export interface LogOptions {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines: number | undefined;
  /** Lines before are left out. */
  readonly sinceMs: number | undefined;
  readonly limitBytes: number | undefined;
  readonly stream: 'All' | 'Stdout' | 'Stderr';
}

const blockBytes = 64 * 1024;
/** The longest line that is waited for; what is longer comes in parts anyway. */
const lineBytesMax = 1024 * 1024;

/** The content of a container's log. With `follow` it goes on until `isRunning` says no, or the signal is aborted. */
export async function* readLogs(
  path: string,
  options: LogOptions,
  source: { readonly isRunning: () => boolean; readonly changed: (signal: AbortSignal) => Promise<void> },
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  let file = await open(path, 'r');
  let leftBytes = options.limitBytes ?? Number.POSITIVE_INFINITY;
  try {
    let at = options.tailLines === undefined ? 0 : await tailStart(file, options.tailLines);
    let rest: Buffer = Buffer.alloc(0);
    while (!signal.aborted) {
      const wasRunning = source.isRunning();
      const changed = options.follow && wasRunning ? nextChange(path, source.changed, signal) : undefined;
      for (let block = await readBlock(file, at); block.length > 0; block = await readBlock(file, at)) {
        at += block.length;
        const text = rest.length === 0 ? block : Buffer.concat([rest, block]);
        const end = text.lastIndexOf(10) + 1;
        rest = Buffer.from(text.subarray(end).subarray(0, lineBytesMax));
        const content = render(text.subarray(0, end), options).subarray(0, leftBytes);
        leftBytes -= content.length;
        if (content.length > 0) yield content;
        if (leftBytes <= 0 || signal.aborted) {
          changed?.cancel();
          return;
        }
      }
      const next = await replaced(path, file);
      if (next) {
        await file.close();
        file = next;
        at = 0;
        rest = Buffer.alloc(0);
        changed?.cancel();
        continue;
      }
      if (!changed) return;
      await changed.happened;
    }
  } finally {
    await file.close();
  }
}

async function readBlock(file: FileHandle, at: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(blockBytes);
  const { bytesRead } = await file.read(buffer, 0, blockBytes, at);
  return buffer.subarray(0, bytesRead);
}

/** Where the last so many lines begin. */
async function tailStart(file: FileHandle, lines: number): Promise<number> {
  const { size } = await file.stat();
  if (lines <= 0) return size;
  let found = 0;
  for (let end = size; end > 0; end -= blockBytes) {
    const start = Math.max(0, end - blockBytes);
    const buffer = Buffer.allocUnsafe(end - start);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
    for (let index = bytesRead - 1; index >= 0; index--) {
      // The newline at the very end ends the last line; it does not begin another one.
      if (buffer[index] !== 10 || start + index === size - 1) continue;
      if (++found === lines) return start + index + 1;
    }
  }
  return 0;
}

function render(lines: Buffer, { timestamps, sinceMs, stream }: LogOptions): Buffer {
  const parts: Buffer[] = [];
  for (let start = 0; start < lines.length; ) {
    const end = lines.indexOf(10, start);
    const line = parseLogLine(lines.subarray(start, end));
    start = end + 1;
    if (!line) continue;
    if (sinceMs !== undefined && Date.parse(line.time) < sinceMs) continue;
    if (stream !== 'All' && line.stream !== stream.toLowerCase()) continue;
    if (timestamps) parts.push(Buffer.from(`${line.time} `));
    parts.push(line.content);
  }
  return Buffer.concat(parts);
}

/** The log was moved away and begun anew: the new file. */
async function replaced(path: string, file: FileHandle): Promise<FileHandle | undefined> {
  const [now, own] = await Promise.all([stat(path).catch(() => undefined), file.stat()]);
  if (!now || (now.ino === own.ino && now.dev === own.dev)) return undefined;
  return open(path, 'r').catch(() => undefined);
}

/** Armed before the file is read, so that nothing written meanwhile is missed. */
function nextChange(path: string, changed: (signal: AbortSignal) => Promise<void>, signal: AbortSignal) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = new AbortController();
  // The folder, not the file: between a rotation's two steps the file is not there.
  const watcher = watch(dirname(path), { signal: stop.signal });
  watcher.on('change', () => resolve());
  watcher.on('error', () => resolve());
  void changed(AbortSignal.any([stop.signal, signal])).then(resolve, resolve);
  signal.addEventListener('abort', () => resolve(), { once: true });
  return { happened: promise.finally(() => stop.abort()), cancel: () => (stop.abort(), resolve()) };
}
