import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addressAt,
  AddressPool,
  cidrContains,
  formatCidr,
  formatIp,
  networkOf,
  networkSize,
  offsetIn,
  parseCidr,
  parseIp,
} from './ip.ts';

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

test('addresses by their place in a network', () => {
  const network = parseCidr('10.1.2.3/24');
  assert.ok(network);
  assert.equal(networkSize(network), 256n);
  assert.equal(formatIp(addressAt(network, 255n)), '10.1.2.255');
  const address = parseIp('10.1.2.7');
  assert.ok(address);
  assert.equal(offsetIn(network, address), 7n);
  assert.throws(() => addressAt(network, 256n), RangeError);
  const wide = parseCidr('fd00::/64');
  assert.ok(wide);
  assert.equal(formatIp(addressAt(wide, 0x1_0000n)), 'fd00::1:0');
});

test('a pool hands out each address once and comes back to released ones last', () => {
  const network = parseCidr('10.0.0.0/29');
  assert.ok(network);
  const pool = new AddressPool(network, ['10.0.0.0', '10.0.0.1', '10.0.0.7']);
  const first = pool.allocate();
  assert.equal(first, '10.0.0.2');
  assert.deepEqual([pool.allocate(), pool.allocate()], ['10.0.0.3', '10.0.0.4']);
  pool.release('10.0.0.2');
  assert.deepEqual([pool.allocate(), pool.allocate(), pool.allocate()], ['10.0.0.5', '10.0.0.6', '10.0.0.2']);
  assert.equal(pool.allocate(), undefined);
  assert.equal(pool.take('10.0.0.2'), false);
  assert.equal(pool.take('10.9.0.2'), false);
  pool.release('10.0.0.7');
  assert.equal(pool.allocate(), undefined, 'a reserved address is never released');
  pool.release('10.0.0.3');
  assert.equal(pool.free, 1);
  assert.equal(pool.take('10.0.0.3'), true);
});

test('a pool never gives an address twice', () => {
  const network = parseCidr('fd00:1::/120');
  assert.ok(network);
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constant(-1), fc.nat(300)), { maxLength: 600 }), operations => {
      const pool = new AddressPool(network, ['fd00:1::']);
      const held: string[] = [];
      for (const operation of operations) {
        if (operation < 0) {
          const address = pool.allocate();
          if (address === undefined) assert.equal(held.length, 255);
          else {
            assert.equal(held.includes(address), false);
            held.push(address);
          }
        } else {
          const [address] = held.splice(operation % Math.max(1, held.length), 1);
          if (address !== undefined) pool.release(address);
        }
        assert.equal(pool.free, 255 - held.length);
      }
    }),
  );
});
