import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
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
    const named = namedIn(promise);
    assert.ok(named.length > 0, 'it names no test');
    for (const { file, name } of named) {
      assert.ok(existsSync(join(root, file)), `${file} is not there`);
      assert.ok(isRun(file), `${file} is no test, and nothing runs it`);
      assert.ok(readFileSync(join(root, file), 'utf8').includes(name), `${file} has no test ${name}`);
    }
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

/** `[src/a.test.ts, test/b.test.ts: what a test is called, bench/c.ts]` */
function namedIn(promise: string): readonly { readonly file: string; readonly name: string }[] {
  // A promise of several sentences may name the tests of each.
  return [...promise.matchAll(/\[([^\]()]+)\](?!\()/g)].flatMap(([, list = '']) =>
    list
      .replaceAll(/\s+/g, ' ')
      .split(/, (?=[\w.-]+\/\S+\.\w+)/)
      .map(each => /^(\S+?)(?:: (.*))?$/.exec(each.trim()))
      .map(match => ({ file: match?.[1] ?? '', name: match?.[2] ?? '' })),
  );
}

/** A test, a benchmark, a transcript, a table that a test reads; or a part of one, or what a command of package.json runs. */
function isRun(file: string): boolean {
  if (/\.test\.ts$|^bench\/|^test\/scenarios\/.*\.txt$|^test\/.*\.md$|^test\/conformance\/sig-/.test(file)) return true;
  const sources = [join(root, 'package.json'), ...siblingsOf(dirname(file)), ...siblingsOf(dirname(dirname(file)))];
  return sources.some(source => source !== join(root, file) && readFileSync(source, 'utf8').includes(basename(file)));
}

function siblingsOf(directory: string): readonly string[] {
  return readdirSync(join(root, directory), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => join(root, directory, name));
}
