import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startLeakWatch } from './leak-watch.ts';

const linux = process.platform === 'linux' ? false : 'it looks into /proc';
const root = process.getuid?.() === 0 ? linux : 'links and mounts need root';

test('what was cleaned up is not left', { skip: linux }, async () => {
  const watch = startLeakWatch({ settleMs: 600 });
  spawnSync('sh', ['-c', 'touch "$TMPDIR/a" && rm "$TMPDIR/a"'], { env: { ...process.env, ...watch.env } });
  assert.deepEqual(
    (await watch.left()).filter(({ isOurs }) => isOurs),
    [],
  );
  watch.close();
});

test('a process, also one that nobody knows any more, and a file are named', { skip: linux }, async () => {
  const watch = startLeakWatch({ settleMs: 600 });
  const child = spawn('sh', ['-c', 'touch "$TMPDIR/forgotten"; sleep 100 & echo $!'], {
    env: { ...process.env, ...watch.env },
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  try {
    const left = (await watch.left()).filter(({ isOurs }) => isOurs).map(({ what }) => what);
    assert.deepEqual(left, [`process ${Number(said)}: sleep 100`, 'temporary file: forgotten']);
  } finally {
    process.kill(Number(said), 'SIGKILL');
    watch.close();
  }
});

test('a mount with our name as its source is named wherever it is', { skip: root }, async () => {
  const watch = startLeakWatch({ settleMs: 600 });
  const elsewhere = startLeakWatch();
  const point = elsewhere.env['TMPDIR'] ?? '';
  spawnSync('mount', ['-t', 'tmpfs', 'windlass', point]);
  try {
    const left = (await watch.left()).map(({ what }) => what);
    assert.ok(left.includes(`mount: ${point}`), left.join());
  } finally {
    spawnSync('umount', [point]);
    elsewhere.close();
    watch.close();
  }
});

test('a mount and a link are named', { skip: root }, async () => {
  const watch = startLeakWatch({ settleMs: 600 });
  const point = join(watch.env['TMPDIR'] ?? '', 'mounted');
  mkdirSync(point);
  spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', point]);
  writeFileSync(join(point, 'a'), '');
  const name = `wlk${process.pid}`.slice(0, 15);
  spawnSync('ip', ['link', 'add', name, 'type', 'bridge']);
  try {
    const left = (await watch.left()).map(({ what }) => what);
    assert.ok(left.includes(`mount: ${point}`), left.join());
    assert.ok(left.includes(`link: ${name}`), left.join());
  } finally {
    spawnSync('ip', ['link', 'delete', name]);
    watch.close();
  }
  assert.deepEqual(
    (await watch.left()).filter(({ isOurs }) => isOurs),
    [],
  );
});
