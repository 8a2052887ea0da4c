import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { ContainerStatus } from '#runtime/runtime.ts';
import { parseLogLine } from '../streams/log-format.ts';
import { annotations } from './names.ts';

/** Upstream's bounds. */
const messageBytesMax = 4096;
const logBytesMax = 2048;
const logLinesMax = 80;

/** What a container that has ended left as its message: its file, or the end of its log when it failed. */
export function terminationMessage(status: ContainerStatus): string {
  const path = status.annotations[annotations.terminationMessagePath];
  const file = status.mounts.find(({ containerPath }) => containerPath === path)?.hostPath;
  const written = file ? readEnd(file, messageBytesMax, 'start') : '';
  const policy = status.annotations[annotations.terminationMessagePolicy];
  if (written !== '' || policy !== 'FallbackToLogsOnError' || status.exitCode === 0) return written;
  // Each line of the log carries its time and stream.
  const raw = readEnd(status.logPath, logBytesMax * 4, 'end')
    .split('\n')
    .filter(Boolean)
    .slice(-logLinesMax);
  const text = raw.map(line => parseLogLine(Buffer.from(line))?.content.toString() ?? '').join('');
  return text.slice(-logBytesMax);
}

function readEnd(path: string, bytesMax: number, from: 'start' | 'end'): string {
  let file: number;
  try {
    // The content is the container's: neither links nor pipes are followed.
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    // No file, no message.
    return '';
  }
  try {
    const { size } = fstatSync(file);
    const buffer = Buffer.alloc(Math.min(size, bytesMax));
    const length = readSync(file, buffer, 0, buffer.length, from === 'start' ? 0 : size - buffer.length);
    return buffer.subarray(0, length).toString();
  } finally {
    closeSync(file);
  }
}
