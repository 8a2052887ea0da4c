import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { ensurePki } from '#auth/certificates/pki.ts';
import { certificateFiles, clockProblem } from './certificate-files.ts';
import { dataDirAt } from './data-dir.ts';

test('the certificates of a data directory, and a clock that cannot be right', async t => {
  const path = mkdtempSync(join(tmpdir(), 'windlass-certs-'));
  t.after(() => rmSync(path, { recursive: true }));
  const dir = dataDirAt(path);
  assert.deepEqual(certificateFiles(dir), []);
  const clock = new ManualClock(Date.UTC(2026, 5, 1));
  assert.equal(clockProblem(dir, clock.now()), undefined);
  const pki = await ensurePki(dir.pki, { clock });
  await pki.node('n1');
  const files = certificateFiles(dir);
  assert.deepEqual(
    files.map(({ name }) => name),
    [
      'admin',
      'apiserver',
      'apiserver-kubelet-client',
      'ca',
      'controller-manager',
      'front-proxy-ca',
      'front-proxy-client',
      'kubelet-n1-client',
      'kubelet-n1-serving',
      'scheduler',
    ],
  );
  const node = files.find(({ name }) => name === 'kubelet-n1-client');
  assert.deepEqual(
    { ...node, validFromMs: 0 },
    {
      name: 'kubelet-n1-client',
      subject: 'O=system:nodes,CN=system:node:n1',
      issuer: 'CN=kubernetes',
      validFromMs: 0,
      expiresMs: clock.now() + 365 * 86_400_000,
      isAuthority: false,
    },
  );
  assert.equal(clockProblem(dir, clock.now() + 400 * 86_400_000), undefined, 'time passes, certificates are renewed');
  assert.equal(
    clockProblem(dir, Date.UTC(2025, 4, 31)),
    'the clock of this machine says 2025-05-31, but certificates of this cluster were made on 2026-05-31: set the clock if it is wrong. They are made anew for the time it shows.',
  );
});
