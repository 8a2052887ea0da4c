import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { rotateLog } from './log-rotation.ts';
import { readLogs, type LogOptions } from './logs.ts';

async function scratch() {
  const path = await mkdtemp(join(tmpdir(), 'windlass-logs-'));
  return { path, file: join(path, '0.log'), [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

const second = (count: number) => `2026-01-01T00:00:0${count}.000000000Z`;
const line = (count: number, text: string, stream = 'stdout', tag = 'F') =>
  `${second(count)} ${stream} ${tag} ${text}\n`;

const all: LogOptions = {
  follow: false,
  timestamps: false,
  tailLines: undefined,
  sinceMs: undefined,
  limitBytes: undefined,
  stream: 'All',
};
const ended = { isRunning: () => false, changed: () => new Promise<void>(() => undefined) };

async function read(path: string, options: Partial<LogOptions> = {}): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of readLogs(path, { ...all, ...options }, ended, new AbortController().signal))
    chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

test('what is asked of a log', async () => {
  await using log = await scratch();
  await writeFile(
    log.file,
    [line(1, 'one'), line(2, 'tw', 'stdout', 'P'), line(2, 'o'), line(3, 'bad', 'stderr'), 'no line\n'].join(''),
  );
  assert.equal(await read(log.file), 'one\ntwo\nbad\n');
  assert.equal(await read(log.file, { timestamps: true, tailLines: 2 }), `${second(3)} bad\n`);
  assert.equal(await read(log.file, { sinceMs: Date.parse(second(2)) }), 'two\nbad\n');
  assert.equal(await read(log.file, { stream: 'Stderr' }), 'bad\n');
  assert.equal(await read(log.file, { limitBytes: 5 }), 'one\nt');
  assert.equal(await read(log.file, { tailLines: 0 }), '');
  await assert.rejects(read(join(log.path, 'none')), /ENOENT/);
});

test('the tail of a log longer than a block', async () => {
  await using log = await scratch();
  await writeFile(log.file, Array.from({ length: 20_000 }, (_, index) => line(1, `line ${index}`)).join(''));
  assert.equal(await read(log.file, { tailLines: 2 }), 'line 19998\nline 19999\n');
  assert.equal((await read(log.file, { tailLines: 15_000 })).split('\n').length, 15_001);
});

test('following goes on behind a rotation, and ends with the container', async () => {
  await using log = await scratch();
  await writeFile(log.file, line(1, 'one'));
  let isRunning = true;
  const changed = Promise.withResolvers<void>();
  const source = { isRunning: () => isRunning, changed: () => changed.promise };
  const lines = readLogs(log.file, { ...all, follow: true }, source, new AbortController().signal);
  const next = async () => (await lines.next()).value?.toString();
  assert.equal(await next(), 'one\n');
  const two = next();
  await appendFile(log.file, line(2, 'two'));
  assert.equal(await two, 'two\n');
  const three = next();
  await rename(log.file, `${log.file}.old`);
  await writeFile(log.file, line(3, 'three'));
  assert.equal(await three, 'three\n');
  const end = lines.next();
  isRunning = false;
  changed.resolve();
  assert.equal((await end).done, true);
});

test('a log is rotated when it is big, and few old ones stay', async () => {
  await using log = await scratch();
  let reopened = 0;
  const reopen = async () => {
    reopened++;
    await writeFile(log.file, '');
  };
  await writeFile(log.file, 'small');
  await rotateLog(log.file, { sizeBytes: 10 * 1024 * 1024, files: 5 }, 0, reopen);
  assert.equal(reopened, 0);
  for (let round = 1; round <= 7; round++) {
    await truncate(log.file, 11 * 1024 * 1024);
    await rotateLog(log.file, { sizeBytes: 10 * 1024 * 1024, files: 5 }, round * 1000, reopen);
  }
  assert.equal(reopened, 7);
  const names = (await readdir(log.path)).toSorted();
  assert.equal(names.length, 5);
  assert.equal(names.filter(name => name.endsWith('.gz')).length, 3);
});
