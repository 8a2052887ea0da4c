import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RE2JS } from '@bufbuild/re2';
import { automatonMatches, compilePattern } from './automaton.ts';

const patterns = [
  'abc',
  '/api/v[0-9]+(/.*)?',
  '(a|ab)(c|bcd)(d*)',
  '^/x$',
  '^$',
  '(^a|b)c?',
  'a{2,4}b{0}c{1,}',
  '[^/]+/[[:alpha:]_]{3}',
  '(?i)/Hello-[a-c]',
  '\\d+\\.\\w*\\s?',
  '(?:x|y)*z',
  '(?P<name>q)+',
  'ä+.',
  '[]a-]+',
  '\\x41\\/',
  '(a?){3}a{3}',
  '',
  'a||b',
];

const texts = [
  '',
  'a',
  'ab',
  'abc',
  'abcd',
  'abcbcd',
  '/x',
  '/xx',
  '/api/v12',
  '/api/v1/a?',
  '/api/v/',
  'bc',
  'ac',
  'cc',
].concat([
  'aac',
  'aaaacc',
  'aaaaac',
  'x/abc',
  'x/ab_',
  'x/ab1',
  '/hELLO-B',
  '/hello-d',
  '1.a ',
  '12.',
  'xyxz',
  'z',
  'xy',
  'qqq',
  'ää!',
  'ä',
  ']-a',
  'A/',
  'aaa',
  'aaaaaa',
  'aaaaaaa',
  'b',
  'a\n',
  '/api/v1/\n',
]);

test('patterns match what RE2 matches as a whole', () => {
  for (const pattern of patterns) {
    const automaton = compilePattern(pattern);
    const oracle = RE2JS.compile(pattern);
    for (const text of texts)
      assert.equal(automatonMatches(automaton, text), oracle.matches(text), `${pattern} on ${JSON.stringify(text)}`);
  }
});

test('what takes exponential time elsewhere is linear here, and what would be huge is refused', () => {
  const evil = compilePattern('(a+)+(a|aa)*b');
  assert.equal(automatonMatches(evil, 'a'.repeat(100_000)), false);
  assert.ok(evil.moves.length < 100);
  for (const huge of ['(a|b)*a(a|b){20}', '((a{1000}){1000}){1000}', '('.repeat(1000) + ')'.repeat(1000)])
    assert.throws(() => compilePattern(huge), /too large|too deeply/);
});

test('what is no pattern, or cannot be one here, is refused', () => {
  for (const wrong of [
    '(',
    ')',
    '*a',
    'a**',
    '[',
    '[b-a]',
    'a{2,1}',
    'a{1001}',
    '\\q',
    '\\b',
    '\\1',
    '(?=a)',
    '\\',
    '[ä]',
  ])
    assert.throws(() => compilePattern(wrong), Error, wrong);
});
