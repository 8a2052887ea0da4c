import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const temporary = mkdtempSync(join(tmpdir(), 'windlass-compiled-'));
after(() => rmSync(temporary, { recursive: true, force: true }));

const cli = join(import.meta.dirname, 'cli.ts');

/** `windlass version` with a cache of its own; in a debug run a process says when it goes on from the sources. */
function version(cache: string, environment: Record<string, string> = {}) {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', cli, 'version'],
    {
      env: { ...process.env, WINDLASS_FROM_SOURCES: '', WINDLASS_CACHE: cache, WINDLASS_DEBUG: '1', ...environment },
      encoding: 'utf8',
    },
  );
  assert.equal(status, 0, stderr);
  return { stdout, stderr };
}

function filesIn(cache: string, ending: string): string[] {
  return readdirSync(cache).filter(each => each.endsWith(ending));
}

test('the program is compiled once, runs from that, and leaves the code it ran', () => {
  const cache = join(temporary, 'once');
  const fromSources = version(cache, { WINDLASS_FROM_SOURCES: '1' });
  const first = version(cache);
  assert.equal(first.stdout, fromSources.stdout);
  assert.equal(first.stderr, '');
  const scripts = filesIn(cache, '.cjs');
  assert.equal(scripts.length, 1);
  assert.equal(filesIn(cache, '.code').length, 1);
  assert.deepEqual(version(cache), first);
  assert.deepEqual(filesIn(cache, '.cjs'), scripts);
});

test('a file that was cut off is made anew', () => {
  const cache = join(temporary, 'half');
  const { stdout } = version(cache);
  const [code = ''] = filesIn(cache, '.code');
  truncateSync(join(cache, code), 1000);
  assert.deepEqual(version(cache), { stdout, stderr: '' });
  const [script = ''] = filesIn(cache, '.cjs');
  truncateSync(join(cache, script), 100_000);
  const halved = version(cache);
  assert.equal(halved.stdout, stdout);
  assert.match(halved.stderr, /cannot compile: SyntaxError/);
  assert.deepEqual(version(cache), { stdout, stderr: '' });
});

test('while another process compiles, and where nothing can be written, it runs from the sources', () => {
  const cache = join(temporary, 'locked');
  mkdirSync(cache);
  writeFileSync(join(cache, 'lock'), String(process.pid));
  const { stdout } = version(cache);
  assert.deepEqual(readdirSync(cache), ['lock']);
  // Somebody who has died meanwhile.
  const dead = execFileSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }).trim();
  writeFileSync(join(cache, 'lock'), dead);
  assert.equal(version(cache).stdout, stdout);
  version(cache);
  assert.equal(filesIn(cache, '.cjs').length, 1);
  const file = join(temporary, 'file');
  writeFileSync(file, '');
  assert.equal(version(file).stdout, stdout);
});
