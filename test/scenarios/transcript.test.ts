import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { matches, parseTranscript, runExchange } from './transcript.ts';

test('commands, continuations, comments and expectations are told apart', () => {
  const text = '# about\n$ echo a\n> echo b\na\nb\n\n# next\n$~ true\n';
  assert.deepEqual(parseTranscript(text), [
    { line: 2, command: 'echo a\necho b', repeat: false, expected: ['a', 'b'] },
    { line: 8, command: 'true', repeat: true, expected: [] },
  ]);
});

test('wildcards stand for parts of a line and for lines', () => {
  assert.ok(matches(['pod/web-… created'], ['pod/web-1 created']));
  assert.ok(matches(['a', '...', 'z'], ['a', 'b', 'c', 'z']));
  assert.ok(matches(['NAME   READY'], ['NAME          READY']));
  assert.ok(!matches(['a'], ['a', 'b']));
  assert.ok(!matches(['pod/x'], ['pod/y']));
});

test('a wrong output and a wrong exit fail', async () => {
  const options = { env: {}, cwd: tmpdir() };
  const [right, wrong, exit] = parseTranscript('$ echo yes\nyes\n\n$ echo no\nyes\n\n$ exit 3\n[exit 3]\n');
  assert.ok(right && wrong && exit);
  await runExchange(right, options);
  await runExchange(exit, options);
  await assert.rejects(runExchange(wrong, options), /--- actual\nno/);
});
