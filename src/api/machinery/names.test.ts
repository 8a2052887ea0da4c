import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as names from './names.ts';

/** Upstream's own patterns, which our linear checks must agree with. */
const patterns: readonly [check: (text: string) => readonly string[], pattern: RegExp][] = [
  [names.isDNS1123Label, /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/],
  [names.isDNS1123Subdomain, /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/],
  [names.isDNS1123SubdomainWithUnderscore, /^_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*$/],
  [names.isDNS1035Label, /^[a-z]([-a-z0-9]*[a-z0-9])?$/],
  [names.isWildcardDNS1123Subdomain, /^\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/],
  [names.isLabelValue, /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/],
  [names.isConditionReason, /^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/],
];

for (const [check, pattern] of patterns)
  test(`${check.name} agrees with upstream's pattern`, () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[-a0A_.*:]{0,9}$/), text => {
        assert.equal(check(text).length === 0, pattern.test(text), text);
      }),
      { numRuns: 2_000 },
    );
  });

test('messages are upstream words', () => {
  assert.deepEqual(names.isDNS1123Label('a.b'), ['must not contain dots']);
  assert.deepEqual(names.isDNS1123Label('A'), [
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  ]);
  assert.deepEqual(names.isDNS1123Label('a'.repeat(64)), ['must be no more than 63 characters']);
  assert.deepEqual(names.isQualifiedName('a/b/c').length, 1);
  assert.deepEqual(names.isQualifiedName('/b'), ['prefix part must be non-empty']);
  assert.deepEqual(names.isQualifiedName('é'.repeat(40))[0], 'name part must be no more than 63 bytes');
  assert.deepEqual(names.isQualifiedName('example.com/Name'), []);
  assert.deepEqual(names.isPortName('http--x'), ['must not contain consecutive hyphens']);
  assert.deepEqual(names.isPortNumber(0), ['must be between 1 and 65535, inclusive']);
  assert.deepEqual(names.isConfigMapKey('..'), ["must not be '..'"]);
  assert.deepEqual(names.isRelaxedEnvVarName('a b!'), []);
  assert.equal(names.isRelaxedEnvVarName('a=b').length, 1);
});

test('addresses and networks', () => {
  assert.deepEqual(names.isIP('10.0.0.1'), []);
  assert.deepEqual(names.isIP('010.0.0.1'), ['must not have leading 0s']);
  assert.deepEqual(names.isIP('::ffff:10.0.0.1'), ['must not be an IPv4-mapped IPv6 address']);
  assert.deepEqual(names.isIP('x'), ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']);
  assert.deepEqual(names.isCanonicalIP('FE80::1'), ['must be in canonical form ("fe80::1")']);
  assert.deepEqual(names.isCIDR('10.0.0.1/8'), ['must not have bits set beyond the prefix length']);
  assert.deepEqual(names.isCIDR('10.0.0.0/08'), ['must not have leading 0s in IP or prefix length']);
  assert.deepEqual(names.isCIDR('10.0.0.0/33'), ['must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)']);
  assert.deepEqual(names.isCanonicalCIDR('10.0.0.0/8'), []);
});

test('a hostile name costs linear time', () => {
  const started = performance.now();
  const hostile = `${'a-'.repeat(500_000)}!`;
  for (const check of [names.isDNS1123Subdomain, names.isLabelValue, names.isConditionReason, names.isQualifiedName])
    assert.ok(check(hostile).length > 0);
  assert.ok(performance.now() - started < 2_000);
});
