import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Secret } from '#api/core/v1/secret.ts';
import { authoritiesOf, certificateOf } from './certificates.ts';

const directory = mkdtempSync(join(tmpdir(), 'windlass-certificates-'));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

function make(name: string, ...words: readonly string[]): { readonly certPem: string; readonly keyPem: string } {
  const [key, cert] = [join(directory, `${name}.key`), join(directory, `${name}.crt`)];
  spawnSync('openssl', [
    'req',
    '-x509',
    '-nodes',
    '-days',
    '9',
    '-subj',
    '/CN=a.example',
    '-keyout',
    key,
    '-out',
    cert,
    ...words,
  ]);
  return { certPem: readFileSync(cert, 'utf8'), keyPem: readFileSync(key, 'utf8') };
}

function secretOf(certPem: string, keyPem: string, type = 'kubernetes.io/tls'): Secret {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  return {
    metadata: { name: 'x' },
    type,
    data: { 'tls.crt': base64(certPem), 'tls.key': base64(keyPem) },
  } as unknown as Secret;
}

test('of a Secret only what was understood is handed on', { skip: !hasOpenssl && 'openssl is missing' }, () => {
  const { certPem, keyPem } = make('good', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1');
  const around = `# \nbackend evil\n${certPem}\n\0 -----BEGIN RSA PRIVATE KEY-----`;
  const found = certificateOf(secretOf(around, keyPem));
  assert.ok(typeof found !== 'string');
  assert.equal(found.certPem.trim(), certPem.trim());
  assert.doesNotMatch(found.certPem + found.keyPem, /evil|RSA/);
  assert.deepEqual(certificateOf(secretOf(certPem + certPem, keyPem, 'Opaque')), {
    ...found,
    certPem: `${found.certPem}\n${found.certPem}`,
  });
});

test('what the proxy could not load is refused before it keeps out everybody else', {
  skip: !hasOpenssl && 'openssl is missing',
}, () => {
  const good = make('good', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1');
  const other = make('other', '-newkey', 'ed25519');
  const weak = make('weak', '-newkey', 'rsa:1024');
  const curve = make('curve', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime192v1');
  assert.equal(typeof certificateOf(secretOf(other.certPem, other.keyPem)), 'object');
  for (const [certPem, keyPem, why] of [
    [weak.certPem, weak.keyPem, 'ee key too small'],
    [curve.certPem, curve.keyPem, 'ee key too small'],
    [good.certPem, other.keyPem, 'tls.key is not the key of tls.crt'],
    ['', good.keyPem, 'tls.crt has no certificate'],
    [good.certPem, '', 'tls.crt or tls.key is not PEM'],
    [good.certPem, good.certPem, 'tls.crt or tls.key is not PEM'],
    [`${good.certPem}${'x'.repeat(1 << 19)}`, good.keyPem, 'tls.crt or tls.key is not PEM'],
    [good.certPem.repeat(40), good.keyPem, 'tls.crt or tls.key is not PEM'],
  ] as const)
    assert.equal(certificateOf(secretOf(certPem, keyPem)), why);
  assert.match(String(certificateOf(secretOf(good.certPem, good.keyPem, 'kubernetes.io/basic-auth'))), /its type/);
  assert.deepEqual(authoritiesOf({ metadata: {}, data: { 'ca.crt': 'x' } } as never), {
    problem: 'ca.crt has no certificate',
  });
  assert.equal('caPem' in authoritiesOf({ metadata: {}, data: { 'ca.crt': `x${good.certPem}y` } } as never), true);
});
