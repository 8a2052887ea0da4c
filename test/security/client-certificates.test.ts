import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { request } from 'node:https';
import { after, before, test } from 'node:test';
import { ManualClock, systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import type { CertifiedKey } from '#auth/certificates/certificate.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { openPlane, type Plane } from './plane.ts';

const issuing = { clock: systemClock, random: systemRandom };
const dayMs = 86_400_000;

let world: Plane;
let ca: CertifiedKey;
let port: number;
/** Stands beside the machine's clock until a test moves it. */
const clock = new ManualClock(systemClock.now());

before(async () => {
  world = await openPlane();
  ca = await issueAuthority({ commonName: 'ca', validForMs: 10 * dayMs }, issuing);
  const serving = await issue(
    ca,
    { commonName: 'kube-apiserver', ips: ['127.0.0.1'], usages: ['server'], validForMs: 10 * dayMs },
    issuing,
  );
  const listener = await world.plane.apiServer.listen({
    host: '127.0.0.1',
    port: 0,
    tls: { ...serving, clientCaPem: ca.certPem },
    clock,
  });
  port = listener.port;
});
after(async () => {
  await world[Symbol.asyncDispose]();
});

function get(path: string, as?: CertifiedKey): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        path,
        ca: ca.certPem,
        agent: false,
        ...(as && { cert: as.certPem, key: as.keyPem }),
      },
      response => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    outgoing.on('error', reject);
    outgoing.end();
  });
}

const client = (by: CertifiedKey, commonName: string, more: object = {}, around = issuing) =>
  issue(by, { commonName, usages: ['client'], validForMs: dayMs, ...more }, around);

test('odd certificates are nobody, also where anybody may come', async () => {
  assert.equal(await get('/version'), 200, 'without a certificate one is anonymous');
  assert.equal(await get('/version', await client(ca, 'ann')), 200);
  const early = new ManualClock(systemClock.now() + 5 * dayMs);
  const late = new ManualClock(systemClock.now() - 5 * dayMs);
  const stranger = await issueAuthority({ commonName: 'ca', validForMs: 10 * dayMs }, issuing);
  const odd: Record<string, CertifiedKey> = {
    'no name': await client(ca, ''),
    'another authority of the same name': await client(stranger, 'ann', { organizations: ['system:masters'] }),
    'for servers': await client(ca, 'ann', { usages: ['server'] }),
    expired: await client(ca, 'ann', {}, { clock: late, random: systemRandom }),
    'not yet valid': await client(ca, 'ann', {}, { clock: early, random: systemRandom }),
    'signed by one that is no authority': await client(await client(ca, 'ann'), 'kubernetes-admin', {
      organizations: ['system:masters'],
    }),
  };
  for (const [what, certificate] of Object.entries(odd)) assert.equal(await get('/version', certificate), 401, what);
});

test('a name is a name: what looks like a group or another user gives nothing', async () => {
  for (const commonName of [
    'system:masters',
    'O=system:masters',
    'kubernetes-admin\nO=system:masters',
    'ann/O=system:masters',
    '*',
  ])
    assert.equal(await get('/api/v1/namespaces', await client(ca, commonName)), 403, commonName);
  const named = await client(ca, 'kubernetes-admin', {
    organizations: ['system:mastersx', 'system', ' system:masters'],
  });
  assert.equal(await get('/api/v1/namespaces', named), 403);
  assert.equal(await get('/api/v1/namespaces', await client(ca, 'x', { organizations: ['a', 'system:masters'] })), 200);
});

test('a connection that is older than its certificate is nobody’s', async () => {
  const admin = await client(ca, 'admin', { organizations: ['system:masters'] });
  const session = connect(`https://127.0.0.1:${port}`, { ca: ca.certPem, cert: admin.certPem, key: admin.keyPem });
  try {
    const status = async () => {
      const stream = session.request({ ':path': '/api/v1/namespaces' });
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
      stream.close();
      return headers[':status'];
    };
    assert.equal(await status(), 200);
    await clock.advance(2 * dayMs);
    assert.equal(await status(), 401);
  } finally {
    session.destroy();
  }
});
