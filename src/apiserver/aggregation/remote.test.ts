import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import type { RemoteService } from './api-services.ts';
import { identityHeaders, openRemotes } from './remote.ts';

test('connections are kept, and a certificate has to be for the service', async () => {
  const issuing = { clock: systemClock, random: systemRandom };
  const validForMs = 3_600_000;
  const authority = await issueAuthority({ commonName: 'ca', validForMs }, issuing);
  const serving = await issue(
    authority,
    { commonName: 'wardle', hosts: ['wardle.ns.svc'], usages: ['server'], validForMs },
    issuing,
  );
  let connections = 0;
  const server = createServer({ cert: serving.certPem, key: serving.keyPem }, (_request, response) =>
    response.end('fine'),
  );
  server.on('secureConnection', () => connections++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
  const remote = { namespace: 'ns', service: 'wardle', caPem: authority.certPem, insecure: false } as RemoteService;
  const remotes = openRemotes(() => undefined, systemClock);
  try {
    const { signal } = new AbortController();
    const read = (of: RemoteService) =>
      remotes.read(remotes.backend(of, endpoint), { path: '/x', headers: {}, timeoutMs: 5_000 }, signal);
    for (let time = 0; time < 3; time++) assert.equal((await read(remote)).text, 'fine');
    assert.equal(connections, 1);
    await assert.rejects(read({ ...remote, service: 'other' }), /other\.ns\.svc/);
    assert.equal((await read({ ...remote, service: 'other', insecure: true })).text, 'fine');
    await assert.rejects(read({ ...remote, caPem: undefined } as unknown as RemoteService), /certificate/);
  } finally {
    remotes[Symbol.dispose]();
    server.closeAllConnections();
    server.close();
  }
});

test('an identity is written as front proxies write it', () => {
  const user = { name: 'jérôme', uid: '7', groups: ['a', 'b,c'], extra: { 'Example.com/Scope%': ['x', 'y'] } };
  assert.deepEqual(identityHeaders(user), {
    'x-remote-user': Buffer.from('jérôme').toString('latin1'),
    'x-remote-uid': '7',
    'x-remote-group': ['a', 'b,c'],
    'x-remote-extra-example.com%2Fscope%25': ['x', 'y'],
  });
});
