import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeJson, duplicateKeys, encodeJson } from './json.ts';

test('wide integers survive', () => {
  const text = '{"a":9223372036854775807,"b":-9223372036854775808,"c":[9007199254740993],"d":1,"s":"9007199254740993"}';
  const value = decodeJson(text);
  assert.deepEqual(value, {
    a: 9223372036854775807n,
    b: -9223372036854775808n,
    c: [9007199254740993n],
    d: 1,
    s: '9007199254740993',
  });
  assert.equal(encodeJson(value), text);
  assert.equal(decodeJson('92233720368547758080'), 92233720368547758080);
});

test('prototype names are plain keys on both paths', () => {
  for (const wide of ['1', '9007199254740993']) {
    const value = decodeJson(`{"__proto__":{"x":${wide}},"constructor":1}`) as Record<string, unknown>;
    assert.equal(Object.getPrototypeOf(value), Object.prototype);
    assert.deepEqual(Object.keys(value), ['__proto__', 'constructor']);
    assert.equal(value['x'], undefined);
    assert.equal(encodeJson(value), `{"__proto__":{"x":${wide}},"constructor":1}`);
  }
});

test('what Go says of bad JSON', () => {
  const cases: Record<string, string> = {
    '': 'unexpected end of JSON input',
    '{': 'unexpected end of JSON input',
    x: "invalid character 'x' looking for beginning of value",
    '{a:1}': "invalid character 'a' looking for beginning of object key string",
    '{"a" 1}': "invalid character '1' after object key",
    '{"a":1 "b":2}': "invalid character '\"' after object key:value pair",
    '[1 2]': "invalid character '2' after array element",
    '{} x': "invalid character 'x' after top-level value",
    tru3: "invalid character '3' in literal true (expecting 'e')",
    '01': "invalid character '1' after top-level value",
    '-x': "invalid character 'x' in numeric literal",
    '1.x': "invalid character 'x' after decimal point in numeric literal",
    '"\\x"': "invalid character 'x' in string escape code",
    '"\n"': "invalid character '\\n' in string literal",
  };
  for (const [text, message] of Object.entries(cases)) assert.throws(() => decodeJson(text), { message }, text);
});

test('nesting is bounded, breadth is not', () => {
  assert.throws(() => decodeJson('['.repeat(100_000) + ']'.repeat(100_000)), { message: 'exceeded max depth' });
  assert.equal((decodeJson(`[${'[],'.repeat(5_000)}[]]`) as unknown[]).length, 5_001);
  assert.equal(typeof decodeJson(`"${'['.repeat(5_000)}"`), 'string');
});

test('a number beyond all doubles is refused', () => {
  const message = /^json: cannot unmarshal number 1e\+?0?309 into Go value of type float64$/;
  for (const text of ['1e309', '[-1,{"a":1e+309}]', '1E0309'])
    assert.throws(() => decodeJson(text), { message: text.includes('E') ? /1E0309/ : message });
  assert.throws(() => decodeJson('9'.repeat(400)), /cannot unmarshal number/);
  assert.deepEqual(decodeJson('[1e308,1e-400,"1e309"]'), [1e308, 0, '1e309']);
});

test('half a surrogate pair becomes U+FFFD', () => {
  assert.equal(decodeJson('"\\ud800x"'), '\ufffdx');
  assert.equal(decodeJson('"\\ud83d\\ude00"'), '😀');
  assert.deepEqual(decodeJson(new Uint8Array([34, 0xff, 34])), '\ufffd');
});

test('duplicate keys are named by path', () => {
  assert.deepEqual(duplicateKeys('{"spec":{"a":1,"b":[{"c":1},{"c":1,"c":2}],"a":2},"spec2":{}}'), [
    'spec.b[1].c',
    'spec.a',
  ]);
  assert.deepEqual(duplicateKeys('{"a":1,"\\u0061":2}'), ['a']);
  assert.deepEqual(duplicateKeys('{"a":"x:y","b":{"a":1},"c":[{"a":1},{"a":1}]}'), []);
  const many = Array.from({ length: 100 }, (_, index) => `"k${index}":${index}`).join();
  assert.deepEqual(duplicateKeys(`{${many}}`), []);
  assert.deepEqual(duplicateKeys(`{${many},"k50":1}`), ['k50']);
});

test('we agree with JSON.parse', () => {
  fc.assert(
    fc.property(fc.json(), text => {
      const value = decodeJson(text);
      assert.deepEqual(value, JSON.parse(text));
      // The slow path gives the same.
      assert.deepEqual((decodeJson(`[9007199254740993,${text}]`) as unknown[])[1], JSON.parse(text));
    }),
  );
});
