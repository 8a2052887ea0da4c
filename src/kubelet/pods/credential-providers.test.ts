import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { CredentialProviders } from './credential-providers.ts';

const directory = mkdtempSync(join(tmpdir(), 'windlass-providers-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const apiVersion = 'credentialprovider.kubelet.k8s.io/v1';

function open(provider: object, program: string) {
  const config = join(directory, 'config.yaml');
  writeFileSync(
    config,
    JSON.stringify({
      apiVersion: 'kubelet.config.k8s.io/v1',
      kind: 'CredentialProviderConfig',
      providers: [
        { name: 'provider', apiVersion, matchImages: ['*.example.com/team'], defaultCacheDuration: '1m', ...provider },
      ],
    }),
  );
  writeFileSync(join(directory, 'provider'), `#!/bin/sh\n${program}\n`, { mode: 0o755 });
  const clock = new ManualClock();
  return { clock, providers: new CredentialProviders(config, directory, clock, silentLog) };
}

const answer = (more: object = {}) =>
  JSON.stringify({
    kind: 'CredentialProviderResponse',
    apiVersion,
    cacheKeyType: 'Registry',
    auth: {
      '*.example.com': { username: 'general', password: 'g' },
      'eu.example.com/team': { username: 'team', password: 't' },
    },
    ...more,
  });

describe('credential providers', () => {
  test('a program is asked about images that are its own, and its answer is kept as long as it says', async () => {
    const asked = join(directory, 'asked');
    const { clock, providers } = open(
      { args: ['hello'], env: [{ name: 'REGION', value: 'eu' }] },
      `cat >> ${asked}; echo " $1 $REGION" >> ${asked}; echo '${answer()}'`,
    );
    assert.deepEqual(await providers.of('other.com/team/app'), []);
    assert.deepEqual(await providers.of('eu.example.com/team/app:v1'), [
      { serverAddress: 'eu.example.com/team', username: 'team', password: 't' },
      { serverAddress: '*.example.com', username: 'general', password: 'g' },
    ]);
    assert.equal((await providers.of('eu.example.com/team/other')).length, 2);
    const request = JSON.stringify({
      kind: 'CredentialProviderRequest',
      apiVersion,
      image: 'eu.example.com/team/app:v1',
    });
    assert.equal(readFileSync(asked, 'utf8'), `${request} hello eu\n`);
    await clock.advance(60_001);
    await providers.of('eu.example.com/team/app');
    assert.equal(readFileSync(asked, 'utf8').split('\n').length, 3);
  });

  test('one that fails, or says nonsense, gives nothing', async () => {
    for (const program of [
      'exit 3',
      'echo nonsense',
      `echo '${answer({ apiVersion: 'other/v1' })}'`,
      `echo '${answer({ cacheKeyType: 'Moon' })}'`,
    ])
      assert.deepEqual(await open({}, program).providers.of('eu.example.com/team/app'), [], program);
  });

  test('a configuration that is wrong is told with its file', () => {
    for (const [provider, why] of [
      [{ name: '../sh' }, /is no program/],
      [{ matchImages: [] }, /needs matchImages/],
      [{ apiVersion: 'v0' }, /has apiVersion "v0"/],
    ] as const)
      assert.throws(
        () => open(provider, 'true'),
        error => error instanceof Error && why.test(error.message) && error.message.includes('config.yaml'),
      );
  });
});
