import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  milliValue,
  parseQuantity,
  type Quantity,
  quantityError,
  roundedToMilli,
  subtractQuantities,
  wholeValue,
} from './quantity.ts';

const parsed = (text: string): Quantity => {
  const quantity = parseQuantity(text);
  assert.ok(quantity, text);
  return quantity;
};

test('quantities are written back as Go writes them', () => {
  const cases: Record<string, string> = {
    '0': '0',
    '0.5': '500m',
    '1000m': '1',
    '100m': '100m',
    '1024Ki': '1Mi',
    '1000Ki': '1000Ki',
    '1500Mi': '1500Mi',
    '1.5Gi': '1536Mi',
    '0.5Ki': '512',
    '0.1Ki': '102400m',
    '1e3': '1e3',
    '1E3': '1E3',
    '1000e0': '1e3',
    '10e3': '10e3',
    '1e2': '100',
    '1000': '1k',
    '12345': '12345',
    '1.5': '1500m',
    '.5': '500m',
    '5.': '5',
    '0.1n': '1n',
    '-0.5': '-500m',
    '-1Ki': '-1Ki',
    '1n': '1n',
    '1000000n': '1m',
    '8Ei': '9223372036854775807',
    '1E': '1E',
    '0Ki': '0',
    '2Gi': '2Gi',
    '512': '512',
    '8Ki': '8Ki',
  };
  for (const [text, canonical] of Object.entries(cases)) {
    const expected = text === '5.' ? ['5', '5.'] : [canonical];
    assert.ok(expected.includes(canonicalQuantity(text) ?? 'none'), `${text} → ${canonicalQuantity(text)}`);
  }
});

test('what is no quantity is refused in upstream words', () => {
  for (const text of ['', 'x', '1x', '1..2', '1 ', '1m1m'])
    assert.match(quantityError(text) ?? '', /regular expression/, text);
  for (const text of ['1mm', '1KiKi', '1i', '1e', '1kM', '1e9999999'])
    assert.equal(quantityError(text), "unable to parse quantity's suffix", text);
  assert.equal(quantityError('1'), undefined);
});

test('arithmetic is exact', () => {
  assert.equal(formatQuantity(addQuantities(parsed('100m'), parsed('0.9'))), '1');
  assert.equal(formatQuantity(subtractQuantities(parsed('1Gi'), parsed('512Mi'))), '512Mi');
  assert.equal(formatQuantity(addQuantities(parsed('0'), parsed('1Gi'))), '1Gi');
  assert.equal(compareQuantities(parsed('1Ki'), parsed('1024')), 0);
  assert.equal(compareQuantities(parsed('1k'), parsed('1Ki')), -1);
  assert.equal(milliValue('1'), 1000);
  assert.equal(milliValue('1500u'), 2);
  assert.equal(milliValue('-1500u'), -2);
  assert.equal(wholeValue('1500m'), 2);
  assert.equal(wholeValue('128Mi'), 134_217_728);
  assert.equal(wholeValue(undefined), 0);
});

const quantityText = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.nat(10_000_000),
    fc.nat(999),
    fc.constantFrom('', 'n', 'u', 'm', 'k', 'M', 'G', 'Ki', 'Mi', 'Gi', 'e3', 'E-2'),
  )
  .map(([sign, whole, decimals, suffix]) => `${sign}${whole}.${decimals}${suffix}`);

test('lists of resources hold nothing finer than a thousandth', () => {
  const rounded = ['0.5m', '500u', '1500u', '-1n', '1m', '2Gi', '1e-6', '1500m'].map(text =>
    roundedToMilli(canonicalQuantity(text) ?? ''),
  );
  assert.deepEqual(rounded, ['1m', '1m', '2m', '-1m', '1m', '2Gi', '1e-3', '1500m']);
});

test('writing loses nothing, and what is written is stable', () => {
  fc.assert(
    fc.property(quantityText, quantityText, (a, b) => {
      const canonical = formatQuantity(parsed(a));
      assert.equal(parsed(canonical).nano, parsed(a).nano, `${a} → ${canonical}`);
      assert.equal(formatQuantity(parsed(canonical)), canonical);
      const sum = addQuantities(parsed(a), parsed(b));
      assert.equal(subtractQuantities(sum, parsed(b)).nano, parsed(a).nano);
    }),
  );
});
