import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lackOf } from './packages.ts';

test('what is missing is one sentence with the remedy', () => {
  const absent = [{ command: '/nonexistent/haproxy', debian: 'haproxy' }];
  assert.match(
    lackOf(absent, 'Ingresses and Gateways') ?? '',
    /^haproxy missing: (run `sudo apt-get install haproxy`|install them with this system's package manager) for Ingresses and Gateways\.$/,
  );
  assert.equal(lackOf([{ command: process.execPath, debian: 'node' }], 'anything'), undefined);
});
