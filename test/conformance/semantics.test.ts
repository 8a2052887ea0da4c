/** Every behaviour of the reference is held by a test that is there, and what is not done stands in the specification. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');
const reference = join(root, '../shared/reference/kubernetes-1.36/semantics.md');
const read = (path: string) => readFileSync(path, 'utf8');

const rows = read(join(import.meta.dirname, 'semantics.md'))
  .split('\n')
  .filter(line => /^\| \d/.test(line))
  .map(line => {
    const cells = line.split('|').map(cell => cell.trim());
    return { item: cells[1] ?? '', held: cells[3] ?? '' };
  });

test('every item of the reference has a row, in order', { skip: !existsSync(reference) }, () => {
  const items: string[] = [];
  let section = 0;
  let count = 0;
  for (const line of read(reference).split('\n')) {
    if (line.startsWith('## ')) {
      section++;
      count = 0;
    } else if (line.startsWith('- ')) items.push(`${section}.${++count}`);
  }
  assert.deepEqual(
    rows.map(({ item }) => item),
    items,
  );
});

test('every test that is named is there', () => {
  const sources = new Map<string, string>();
  for (const { item, held } of rows) {
    const named = [...held.matchAll(/`([^`]+)`: (.*?)(?=<br>|$)/g)];
    assert.ok(named.length > 0, `${item} names no test`);
    for (const [, file = '', name = ''] of named) {
      const source = sources.get(file) ?? read(join(root, file));
      sources.set(file, source);
      const quoted = [`'${name}'`, `"${name}"`, `\`${name}\``];
      assert.ok(
        quoted.some(each => new RegExp(`test\\(\\s*${escaped(each)}`).test(source)),
        `${item}: no test "${name}" in ${file}`,
      );
    }
  }
});

test('what is not done stands in the specification, by its item', () => {
  const specification = read(join(root, 'SPECIFICATION.md'));
  const [, section = ''] = /^## Not done\n([\s\S]*?)(?=^## |(?![\s\S]))/m.exec(specification) ?? [];
  const items = [...section.matchAll(/^- ([\d.]+): \S/gm)].map(([, item]) => item);
  assert.ok(items.length > 0);
  for (const item of items)
    assert.ok(
      rows.some(each => each.item === item),
      `${item} is no item of the reference`,
    );
});

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
