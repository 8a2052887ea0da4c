import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { layers } from './layers.ts';

const source = import.meta.dirname;
const files = globSync('**/*.ts', { cwd: source }).toSorted();
const importPattern =
  /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s+'([^']+)'|import\(\s*'([^']+)'\s*\)|(?:^|\n)import\s+'([^']+)'/g;

function importsOf(file: string): string[] {
  const text = readFileSync(join(source, file), 'utf8');
  return [...text.matchAll(importPattern)].map(match => match[1] ?? match[2] ?? match[3] ?? '');
}

test('every import goes down the table of layers', () => {
  const wrong: string[] = [];
  for (const file of files) {
    const [layer = ''] = file.split('/');
    if (!(layer in layers)) continue;
    const allowed: readonly string[] = layers[layer as keyof typeof layers];
    for (const target of importsOf(file)) {
      if (target.startsWith('#')) {
        const to = target.slice(1).split('/')[0] ?? '';
        if (to !== layer && !allowed.includes(to))
          wrong.push(`${file} imports ${target}: ${layer} may not import ${to}`);
        if (to === layer) wrong.push(`${file} imports ${target}: inside a layer imports are relative`);
      } else if (target.startsWith('.')) {
        const to = relative(source, join(source, dirname(file), target)).split('/')[0];
        if (to !== layer) wrong.push(`${file} imports ${target}: crossing a layer is spelled #layer/file.ts`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test('pure layers reach no file, socket or process', () => {
  const pure = ['api', 'cel', 'admission', 'scheduler', 'controllers'];
  const effects = /^(node:)?(fs|fs\/promises|net|tls|http|http2|https|child_process|worker_threads|dgram|dns)$/;
  const wrong = files
    .filter(
      file => pure.includes(file.split('/')[0] ?? '') && !file.endsWith('.test.ts') && !file.endsWith('.bench.ts'),
    )
    // Calling a webhook is what this folder is for.
    .filter(file => !file.startsWith('admission/webhooks/'))
    .flatMap(file =>
      importsOf(file)
        .filter(target => effects.test(target))
        .map(target => `${file} imports ${target}`),
    );
  assert.deepEqual(wrong, []);
});

test('only base/ reads the clock, makes chance and sets bare timers', () => {
  const forbidden = /\bDate\.now\(|\bMath\.random\(|\bnew Date\(\)|(?<![.\w])set(?:Timeout|Interval)\(/;
  const wrong = files
    .filter(
      file =>
        !file.startsWith('base/') &&
        !file.endsWith('.test.ts') &&
        !file.endsWith('.bench.ts') &&
        !file.endsWith('suite.ts'),
    )
    .filter(file => forbidden.test(withoutComments(readFileSync(join(source, file), 'utf8'))));
  assert.deepEqual(wrong, []);
});

test('every layer of the table has its folder, and every folder its layer', () => {
  const folders = new Set(files.filter(file => file.includes('/')).map(file => file.split('/')[0] ?? ''));
  const unknown = [...folders].filter(folder => !(folder in layers));
  assert.deepEqual(unknown, []);
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}
