import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const inside = 'WINDLASS_ISOLATED';

/**
 * For tests that change the kernel's network: runs the test file once more in network and mount namespaces of its own,
 * so that whatever it leaves is gone with it. True inside; outside it has registered the one test that does that.
 */
export function isolated(file: string, variants: readonly (readonly string[])[] = [['--experimental-ffi']]): boolean {
  if (process.env[inside] !== undefined) return true;
  const reason = process.platform !== 'linux' || process.getuid?.() !== 0 ? 'needs root on Linux' : false;
  for (const flags of variants) {
    const name = `in namespaces of its own, ${flags.join(' ') || 'without ffi'}`;
    test(name, { skip: reason }, () => {
      const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
      const args = ['--net', '--mount', process.execPath, '--no-warnings', ...flags, file];
      const { status, stdout, stderr } = spawnSync('unshare', args, {
        env: { ...environment, [inside]: flags.join(' ') },
        encoding: 'utf8',
        maxBuffer: 16 * 1024 * 1024,
      });
      assert.equal(status, 0, `${stdout}\n${stderr}`);
    });
  }
  return false;
}
