import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { PulledImages, type PullCredential, type VerificationPolicy } from './pulled-images.ts';

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function open(policy: VerificationPolicy = 'NeverVerifyPreloadedImages', allowlist: readonly string[] = []) {
  const folder = mkdtempSync(join(tmpdir(), 'windlass-pulled-'));
  folders.push(folder);
  const again = () => new PulledImages(folder, policy, allowlist);
  return { pulled: again(), again };
}

const nobody = async () => [];
const image = 'registry.example.com/team/app:v1';

function credential(password: string, name = 'pull'): PullCredential {
  return {
    auth: { username: 'user', password },
    secret: { uid: `uid-${name}`, namespace: 'default', name },
  };
}

test('an image that came with credentials is for those who have them, also after a restart', async () => {
  const { pulled, again } = open();
  pulled.intend(image);
  pulled.record('sha256:1', image, credential('right'));
  for (const each of [pulled, again()]) {
    assert.equal(await each.mayUse('sha256:1', image, nobody), false);
    assert.equal(await each.mayUse('sha256:1', image, async () => [credential('wrong')]), false);
    // The same words from another secret are as good.
    assert.equal(await each.mayUse('sha256:1', image, async () => [credential('right', 'other')]), true);
    // Another name of the same image says nothing of this registry.
    assert.equal(await each.mayUse('sha256:1', 'elsewhere.example.com/app', async () => [credential('right')]), false);
  }
  pulled.record('sha256:1', image, undefined);
  assert.equal(await pulled.mayUse('sha256:1', image, nobody), true);
});

test('what lay there before is for everybody, unless the node is told otherwise', async () => {
  assert.equal(await open().pulled.mayUse('sha256:2', image, nobody), true);
  assert.equal(await open('AlwaysVerify').pulled.mayUse('sha256:2', image, nobody), false);
  const { pulled } = open('NeverVerifyAllowlistedImages', ['registry.example.com/team/*']);
  assert.equal(await pulled.mayUse('sha256:2', image, nobody), true);
  assert.equal(await pulled.mayUse('sha256:2', 'registry.example.com/other', nobody), false);
});

test('a pull with credentials that was cut off leaves nothing for others', async () => {
  const { pulled, again } = open();
  pulled.intend(image);
  assert.equal(await again().mayUse('sha256:3', image, nobody), false);
  pulled.giveUp(image);
  assert.equal(await again().mayUse('sha256:3', image, nobody), true);
});

test('images that have gone are forgotten, but not those that have just come', async () => {
  const { pulled } = open();
  pulled.record('sha256:4', image, credential('right'));
  pulled.keepOnly(new Set(), Date.now());
  assert.equal(await pulled.mayUse('sha256:4', image, nobody), false);
  pulled.keepOnly(new Set(['sha256:4']), Date.now() + 3_600_000);
  assert.equal(await pulled.mayUse('sha256:4', image, nobody), false);
  pulled.keepOnly(new Set(), Date.now() + 3_600_000);
  assert.equal(await pulled.mayUse('sha256:4', image, nobody), true);
});
