import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kinds } from '#api/kinds.ts';
import type { Kind } from '#api/machinery/kind.ts';
import { StorageVersionMigration } from '#api/storagemigration/v1beta1/storage-version-migration.ts';
import type { ControllerSettings } from '#controllers/controller.ts';
import { controllers } from '#controllers/controllers.ts';
import { scenarios } from './scenarios.ts';
import { ordeals, Trial } from './trial.ts';

/** One of them: `TRIAL=job-controller`. Another run of all: `SEED=2`. */
const { TRIAL: only, SEED: seed = '1' } = process.env;

/** Nobody looks at more of it than that it is one; its key is nowhere. */
const certificate = `-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUOPderJJoynCLlBT0UL1nhKe48HIwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJc2ltdWxhdGVkMCAXDTI2MTEyMDE2MDcyMVoYDzIxMjYxMDI3
MTYwNzIxWjAUMRIwEAYDVQQDDAlzaW11bGF0ZWQwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATy0Bfrq3Fy2F/V08OE73RLlTiHtlcmNToa8ovBfsNlh5RE4EMM0zQv
cnDy72CoKpbYWK/fzXqAdy1yGdP17wuWo1MwUTAdBgNVHQ4EFgQUEiY5Z39T5pTL
gQdDRoOaycWBvtMwHwYDVR0jBBgwFoAUEiY5Z39T5pTLgQdDRoOaycWBvtMwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAizQtEe7xRLGxeKQLYuuY
knRpiA+U8Uq/UXAsEsf2kSgCIFA0Yux+k5zpouMLA7ovJuh0/p0//Ls1az8mjDn4
igs0
-----END CERTIFICATE-----
`;

const settings: Partial<ControllerSettings> = {
  signer: {
    describe: async () => ({
      commonName: 'system:node:hollow-0',
      organizations: ['system:nodes'],
      hosts: [],
      ips: [],
      emails: [],
      uris: [],
      otherNames: [],
    }),
    sign: async () => certificate,
  },
  accountToken: async (account, secret) => `token of ${account.name} for ${secret}`,
};
const served = kinds.filter(
  kind => (kind.served && kind.plural !== '') || (kind as unknown) === StorageVersionMigration,
);

test('Every controller has a trial', () => {
  assert.deepEqual(Object.keys(scenarios).toSorted(), controllers.map(({ name }) => name).toSorted());
});

for (const ordeal of ordeals)
  test(`Controllers come to an end of their work, and keep to their limits: ${ordeal}`, async context => {
    using trial = new Trial(Number(seed), { kinds: served as readonly Kind[], settings });
    await trial.start();
    // What a server gives only where it serves migrations by default.
    await trial.permit('storage-version-migrator-controller');
    let index = 0;
    for (const [name, scenario] of Object.entries(scenarios)) {
      if (only !== undefined && name !== only) continue;
      const namespace = `trial-${index++}`;
      await context.test(name, async () => {
        const problems = await trial.run(name, scenario, ordeal, namespace);
        const again = `TRIAL=${name} SEED=${seed} npm test -- test/simulation/controllers.test.ts`;
        assert.deepEqual(problems, [], `${again}\n${trial.cluster.history.tail.slice(-60).join('\n')}`);
        assert.ok(trial.blows > 0, 'nothing happened to it');
      });
    }
  });
