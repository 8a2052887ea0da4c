import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { realContainers } from '../scenarios/cluster.ts';

test('the quick conformance tests pass', { skip: realContainers }, async t => {
  // A test runner does not run within another.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { code, output } = await new Promise<{ code: number; output: string }>(resolve => {
    const program = join(import.meta.dirname, 'run.ts');
    execFile(process.execPath, [program, '--quick'], { env, maxBuffer: 1 << 26 }, (error, stdout, stderr) =>
      resolve({ code: error ? 1 : 0, output: `${stdout}${stderr}` }),
    );
  });
  t.diagnostic(output.trim().split('\n').at(-1) ?? '');
  assert.equal(code, 0, output.replaceAll(/^passed .*\n/gm, ''));
  assert.match(output, /^\d+ passed, 0 failed/m);
});
