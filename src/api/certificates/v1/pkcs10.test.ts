import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { certificateProblem, requestProblem } from './pkcs10.ts';

const openssl = (...args: string[]) =>
  execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString();
const request = (...key: string[]) =>
  openssl('req', '-new', '-newkey', ...key, '-nodes', '-keyout', '/dev/null', '-subj', '/CN=x');

test('a request is signed by its own key', () => {
  const elliptic: string[] = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'];
  for (const key of [['rsa:2048'], elliptic, ['ed25519']] as string[][])
    assert.equal(requestProblem(request(...key)), undefined, key.join(' '));
  const pem = request(...elliptic);
  const der = Buffer.from(pem.replaceAll(/-----[^\n]+|\n/g, ''), 'base64');
  const framed = (bytes: Buffer) =>
    `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
  assert.equal(requestProblem(`text before\n${framed(der)}`), undefined);
  const forged = Buffer.from(der);
  forged.writeUInt8(forged.readUInt8(forged.length - 1) ^ 1, forged.length - 1);
  assert.equal(requestProblem(framed(forged)), 'x509: ECDSA verification failure');
  assert.equal(requestProblem('nonsense'), 'PEM block type must be CERTIFICATE REQUEST');
  assert.equal(
    requestProblem(pem.replaceAll('CERTIFICATE REQUEST', 'CERTIFICATE')),
    'PEM block type must be CERTIFICATE REQUEST',
  );
  for (let length = 0; length < der.length; length += 7)
    assert.ok(requestProblem(framed(der.subarray(0, length))), `${length} bytes`);
});

test('what was issued is certificates and nothing else', () => {
  const pem = openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    '/dev/null',
    '-subj',
    '/CN=x',
  );
  assert.equal(certificateProblem(`explanation\n${pem}${pem}`), undefined);
  assert.equal(certificateProblem(''), 'must contain at least one CERTIFICATE PEM block');
  assert.equal(
    certificateProblem(pem.replaceAll('CERTIFICATE', 'PRIVATE KEY')),
    'only CERTIFICATE PEM blocks are allowed, found "PRIVATE KEY"',
  );
  assert.equal(certificateProblem(pem.replace('-----\n', '-----\nA: b\n\n')), 'no PEM block headers are permitted');
  assert.equal(
    certificateProblem('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
    'x509: malformed certificate',
  );
});
