import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errors } from '#api/machinery/errors.ts';
import { openTestServer } from './test-server.ts';

const browsers = {
  allowedOrigins: [/^https:\/\/console\.example\.com(:|$)/],
  strictTransportSecurity: ['max-age=31536000', 'includeSubDomains'],
};

test('pages of an allowed origin may read answers; others are told nothing', async () => {
  await using server = await openTestServer({ browsers });
  const origin = 'https://console.example.com:8443';
  const { headers } = await server.call('GET', '/version', undefined, { origin });
  assert.equal(headers['access-control-allow-origin'], origin);
  assert.equal(headers['access-control-allow-credentials'], 'true');
  assert.equal(headers['access-control-expose-headers'], 'Date');
  assert.match(String(headers['access-control-allow-methods']), /PATCH/);
  for (const other of ['https://console.example.com.evil.org', 'null', 'https://evil.org/?//console.example.com']) {
    const answer = await server.call('GET', '/version', undefined, { origin: other });
    const allowed = answer.headers['access-control-allow-origin'];
    assert.equal(allowed, undefined, other);
  }
});

test('a browser that asks first is answered before it is authenticated; another’s question is a request like any other', async () => {
  const authenticate = () => {
    throw errors.unauthorized();
  };
  await using server = await openTestServer({ browsers, authenticate });
  const asked = await server.call('OPTIONS', '/api/v1/pods', undefined, { origin: 'https://console.example.com' });
  assert.equal(asked.code, 204);
  assert.equal(asked.headers['access-control-allow-origin'], 'https://console.example.com');
  assert.ok(asked.headers['audit-id']);
  assert.equal((await server.call('OPTIONS', '/api/v1/pods', undefined, { origin: 'https://evil.org' })).code, 401);
  assert.equal((await server.call('OPTIONS', '/api/v1/pods')).code, 401);
});

test('every answer says how to come back, when the flag says so', async () => {
  await using server = await openTestServer({ browsers });
  for (const path of ['/version', '/nothing', '/api/v1/namespaces/default/configmaps/none']) {
    const { headers } = await server.call('GET', path);
    assert.equal(headers['strict-transport-security'], 'max-age=31536000; includeSubDomains', path);
  }
  await using plain = await openTestServer();
  assert.equal((await plain.call('GET', '/version')).headers['strict-transport-security'], undefined);
});

test('the time of a request ends when the flag says', async () => {
  const never = { name: 'slow', handles: () => true, admit: () => new Promise<void>(() => {}) };
  await using server = await openTestServer({ admission: [never], requestTimeoutMs: 5_000 });
  const maps = '/api/v1/namespaces/default/configmaps';
  const asked = server.call('POST', `${maps}?timeout=50s`, { metadata: { name: 'a' } });
  await server.clock.advance(5_000);
  const answer = await asked;
  assert.equal(answer.code, 504);
  assert.match(answer.text, /request did not complete within requested timeout/);
});
