import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidrContains, formatCidr, formatIp, networkOf, parseCidr, parseIp } from './ip.ts';

const canonical = (text: string) => {
  const address = parseIp(text);
  return address && formatIp(address);
};

test('addresses come out in canonical form', () => {
  assert.equal(canonical('10.9.8.7'), '10.9.8.7');
  assert.equal(canonical('2001:DB8:0:0:0:0:0:FF'), '2001:db8::ff');
  assert.equal(canonical('::'), '::');
  assert.equal(canonical('1::'), '1::');
  assert.equal(canonical('::1'), '::1');
  assert.equal(canonical('1:0:0:2:0:0:0:3'), '1:0:0:2::3');
  assert.equal(canonical('1:0:2:3:4:5:6:7'), '1:0:2:3:4:5:6:7');
  assert.equal(canonical('::ffff:1.2.3.4'), '::ffff:1.2.3.4');
  assert.equal(canonical('255.255.255.255'), '255.255.255.255');
});

test('what is no address is refused', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.04',
    '256.1.1.1',
    '1:2',
    ':::',
    '1::2::3',
    '1.2.3.4::',
    'fe80::1%eth0',
    '12345::',
  ])
    assert.equal(parseIp(text), undefined, text);
});

test('we agree with Node about what an address is', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.stringMatching(/^[0-9a-f:.]{0,20}$/)), text => {
      assert.equal(parseIp(text) !== undefined, isIP(text) !== 0, text);
      const once = canonical(text);
      if (once !== undefined) assert.equal(canonical(once), once);
    }),
  );
});

test('networks', () => {
  const network = parseCidr('10.1.2.3/16');
  assert.ok(network);
  assert.equal(formatIp(networkOf(network)), '10.1.0.0');
  assert.equal(formatCidr(network), '10.1.2.3/16');
  const inside = parseIp('10.1.255.255');
  const outside = parseIp('10.2.0.0');
  assert.ok(inside && outside);
  assert.equal(cidrContains(network, inside), true);
  assert.equal(cidrContains(network, outside), false);
  for (const text of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/08', '::/129', '10.0.0.0/'])
    assert.equal(parseCidr(text), undefined, text);
});
