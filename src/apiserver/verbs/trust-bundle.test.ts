import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { seededRandom } from '#base/random.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import { kinds } from '#api/kinds.ts';
import type { Kind } from '#api/machinery/kind.ts';
import { openTestServer } from '../test-server.ts';

const path = '/apis/certificates.k8s.io/v1beta1/clustertrustbundles';
/** Beta versions, too. */
const served = (kinds as readonly Kind[]).filter(
  kind => kind.plural !== '' && (kind.served || kind.plural === 'clustertrustbundles'),
);
const issuing = { clock: new ManualClock(), random: seededRandom(1) };
const validForMs = 60 * 60_000;
const authority = await issueAuthority({ commonName: 'one', validForMs }, issuing);
const { certPem: leaf } = await issue(authority, { commonName: 'leaf', usages: ['client'], validForMs }, issuing);
const one = authority.certPem;
const { certPem: two } = await issueAuthority({ commonName: 'two', validForMs }, issuing);

async function refusals(name: string, spec: object): Promise<string[]> {
  await using api = await openTestServer({ kinds: served });
  const { code, body } = await api.call('POST', path, { metadata: { name }, spec });
  if (code === 201) return [];
  assert.equal(code, 422);
  return body.details.causes.map(({ field, message }: { field: string; message: string }) => `${field}: ${message}`);
}

test('a bundle has certificates of authorities, each once', async () => {
  assert.deepEqual(await refusals('anchors', { trustBundle: `garbage\n${one}\ngarbage\n${two}` }), []);
  const wrong = async (trustBundle: string) => {
    const [first = '', ...more] = await refusals('anchors', { trustBundle });
    assert.deepEqual(more, []);
    return first.replace('spec.trustBundle: Invalid value: "<value omitted>": ', '');
  };
  assert.equal(await wrong('garbage'), 'at least one trust anchor must be provided');
  assert.equal(await wrong(one + two + one), 'duplicate trust anchor (indices [0 2])');
  assert.equal(await wrong(one + leaf), 'entry 1 does not have the CA bit set');
  assert.equal(
    await wrong(one.replaceAll('CERTIFICATE', 'NOTACERTIFICATE')),
    'entry 0 has bad block type: NOTACERTIFICATE',
  );
  assert.equal(await wrong(one.replace('-----\n', '-----\nkey: value\n\n')), 'entry 0 has PEM block headers');
  assert.equal(
    await wrong('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
    'entry 0 does not parse as X.509',
  );
});

test("a signer's bundle carries the signer's name", async () => {
  const signerName = 'k8s.io/foo';
  assert.deepEqual(await refusals('k8s.io:foo:abc', { signerName, trustBundle: one }), []);
  assert.deepEqual(await refusals('abc', { signerName, trustBundle: one }), [
    'metadata.name: Invalid value: "abc": ClusterTrustBundle for signerName k8s.io/foo must be named with prefix k8s.io:foo:',
  ]);
  assert.deepEqual(await refusals('a:b', { trustBundle: one }), [
    'metadata.name: Invalid value: "a:b": ClusterTrustBundle without signer name must not have ":" in its name',
  ]);
});

test('the signer stays, the certificates may change', async () => {
  await using api = await openTestServer({ kinds: served });
  const made = await api.call('POST', path, { metadata: { name: 'anchors' }, spec: { trustBundle: one } });
  const put = (spec: object) => api.call('PUT', `${path}/anchors`, { ...made.body, spec });
  assert.match((await put({ trustBundle: one, signerName: 'k8s.io/foo' })).text, /field is immutable/);
  assert.match((await put({ trustBundle: 'none' })).text, /at least one trust anchor/);
  assert.equal((await put({ trustBundle: two })).code, 200);
});
