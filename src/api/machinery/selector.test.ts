import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  compileLabelMap,
  compileRequirements,
  formatFieldSelector,
  formatLabelSelector,
  formatRequirements,
  labelSelectorMatches,
  parseFieldSelector,
  parseLabelSelector,
} from './selector.ts';

const matches = (text: string, labels?: Record<string, string>) =>
  compileRequirements(parseLabelSelector(text))(labels);

test('label selectors select', () => {
  const labels = { a: 'b', n: '5', empty: '' };
  for (const text of [
    '',
    'a',
    'a=b',
    'a==b',
    'a in (b,c)',
    'a!=c',
    '!x',
    'x!=y',
    'x notin (y)',
    'n>4',
    'n<6',
    'empty=',
    'empty in ()',
    'in notin (x)',
    ' a = b , n ',
    'empty in (,x)',
  ])
    assert.equal(matches(text, labels), true, text);
  for (const text of ['a=c', 'x', '!a', 'a notin (b)', 'n>5', 'a>1', 'constructor', 'toString=x', 'x=', 'a=b,x'])
    assert.equal(matches(text, labels), false, text);
  assert.equal(matches('!a'), true);
  assert.equal(matches('a'), false);
  assert.equal(matches('!constructor', {}), true);
});

test('errors are upstream words', () => {
  const cases: Record<string, string> = {
    'a=b,': "found '', expected: identifier after ','",
    '=b': "found '=', expected: !, identifier, or 'end of string'",
    'a b': "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
    'a in b': "unable to parse requirement: found 'b' expected: '('",
    'a=b c': "found 'c', expected: ',' or 'end of string'",
    'n>x':
      "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
  };
  for (const [text, message] of Object.entries(cases)) assert.throws(() => parseLabelSelector(text), { message }, text);
  assert.throws(
    () => parseLabelSelector('a/b/c'),
    /^Error: unable to parse requirement: <nil>: Invalid value: "a\/b\/c": a valid label key/,
  );
  assert.throws(
    () => parseLabelSelector('a=-'),
    /^Error: unable to parse requirement: values\[0\]\[a\]: Invalid value: "-": a valid label/,
  );
});

test('selectors of objects', () => {
  const selector = { matchLabels: { b: '2' }, matchExpressions: [{ key: 'a', operator: 'In', values: ['y', 'x'] }] };
  assert.equal(labelSelectorMatches(selector as never, { a: 'x', b: '2' }), true);
  assert.equal(labelSelectorMatches(selector as never, { a: 'x' }), false);
  assert.equal(labelSelectorMatches({}, undefined), true);
  assert.equal(labelSelectorMatches(undefined, {}), false);
  assert.equal(labelSelectorMatches({ matchExpressions: [{ key: 'a', operator: 'Near' as never }] }, {}), false);
  assert.equal(formatLabelSelector(selector as never), 'a in (x,y),b=2');
  assert.equal(formatLabelSelector({}), '<none>');
  assert.equal(compileLabelMap({ a: '1' })({ a: '1', b: '2' }), true);
  assert.equal(compileLabelMap({})({ a: '1' }), false);
});

test('what is formatted parses to the same', () => {
  const word = fc.stringMatching(/^[a-z]([a-z0-9]{0,3})$/);
  const term = fc.oneof(
    fc.tuple(word, fc.constantFrom('=', '!=', '=='), word).map(each => each.join('')),
    fc
      .tuple(word, fc.constantFrom(' in ', ' notin '), fc.array(word, { minLength: 1, maxLength: 3 }))
      .map(([key, operator, values]) => `${key}${operator}(${values})`),
    word,
    word.map(key => `!${key}`),
  );
  fc.assert(
    fc.property(fc.array(term, { maxLength: 4 }), terms => {
      const parsed = parseLabelSelector(terms.join(','));
      assert.deepEqual(parseLabelSelector(formatRequirements(parsed)), parsed);
    }),
  );
});

test('field selectors', () => {
  assert.deepEqual(parseFieldSelector('metadata.name=a,status.phase!=Running,,x==a\\,b\\=c\\\\'), [
    { field: 'metadata.name', operator: '=', value: 'a' },
    { field: 'status.phase', operator: '!=', value: 'Running' },
    { field: 'x', operator: '=', value: 'a,b=c\\' },
  ]);
  assert.deepEqual(parseFieldSelector(''), []);
  assert.throws(() => parseFieldSelector('abc'), { message: "invalid selector: 'abc'; can't understand 'abc'" });
  assert.throws(() => parseFieldSelector('a=b\\x'), {
    message: 'invalid field selector: invalid escape sequence: \\x',
  });
  fc.assert(
    fc.property(
      fc.array(
        fc.record(
          {
            field: fc.constant('a.b'),
            operator: fc.constantFrom('=' as const, '!=' as const),
            value: fc.string(),
          },
          { noNullPrototype: true },
        ),
      ),
      requirements => {
        assert.deepEqual(parseFieldSelector(formatFieldSelector(requirements)), requirements);
      },
    ),
  );
});
