import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..');
const text = readFileSync(join(root, 'SPECIFICATION.md'), 'utf8');
const promises = [...text.matchAll(/^(\d+)\. ([\s\S]*?)(?=^\d+\. |^## |$(?![\s\S]))/gm)];

test('promises are numbered without a gap', () => {
  assert.ok(promises.length > 0);
  assert.deepEqual(
    promises.map(([, number]) => Number(number)),
    promises.map((_, index) => index + 1),
  );
});

for (const [, number, promise = ''] of promises)
  test(`promise ${number} is held by something`, () => {
    const named =
      /\[([^\]]+)\]\s*$/
        .exec(promise.trim())?.[1]
        ?.split(',')
        .map(each => each.trim()) ?? [];
    assert.ok(named.length > 0, 'it names no test');
    for (const file of named) assert.ok(existsSync(join(root, file)), `${file} is not there`);
  });

test('every scenario of etcd names a test that there is, or why there is none', () => {
  const directory = join(root, 'test', 'robustness');
  const table = readFileSync(join(directory, 'README.md'), 'utf8').matchAll(/^\| (?!scenario)(\S.*) \|$/gm);
  const rows = [...table].map(([, row = '']) => row.split(' | '));
  assert.ok(rows.length >= 20);
  for (const [scenario = '', , here = '', holder = ''] of rows) {
    if (holder === '-') {
      assert.match(here, /^not: ./, scenario);
      continue;
    }
    const [file = '', name = ''] = holder.split(/: (.*)/);
    const source = readFileSync(join(file.includes('/') ? root : directory, file), 'utf8');
    assert.ok(name !== '' && source.includes(name), `${scenario}: ${file} has no test ${name}`);
  }
});
