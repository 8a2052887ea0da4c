import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { realContainers } from './cluster.ts';
import { matches, runCommand } from './transcript.ts';

const root = join(import.meta.dirname, '..', '..');
const tour = section(readFileSync(join(root, 'README.md'), 'utf8'), 'A tour');
const env = { KUBECONFIG: '/tmp/tour/kubeconfig' };
const down = 'node bin/windlass.js down --delete --data-dir /tmp/tour';

before(async () => {
  if (realContainers === undefined) await runCommand(down, { env, cwd: root });
});
after(async () => {
  if (realContainers === undefined) await runCommand(down, { env, cwd: root });
});

test('the tour in README works as pasted', { skip: realContainers }, async t => {
  const blocks = [...tour.matchAll(/```sh\n([\s\S]*?)```(?:\n\n```text\n([\s\S]*?)```)?/g)];
  assert.ok(blocks.length > 5);
  for (const [, commands = '', expected] of blocks)
    await t.test(commands.split('\n')[0] ?? '', async () => {
      const actual = await runCommand(`set -e\n${commands}`, { env, cwd: root });
      assert.doesNotMatch(actual.at(-1) ?? '', /^\[exit/, actual.join('\n'));
      if (expected === undefined) return;
      assert.ok(
        matches(expected.trimEnd().split('\n'), actual),
        `expected\n${expected}\nbut got\n${actual.join('\n')}`,
      );
    });
});

function section(text: string, title: string): string {
  return new RegExp(`^## ${title}\\n([\\s\\S]*?)(?=^## )`, 'm').exec(text)?.[1] ?? '';
}
