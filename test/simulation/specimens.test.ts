import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#base/random.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { openTestServer } from '#apiserver/test-server.ts';
import { loopbackAdmin, type User } from '#auth/user.ts';
import { inProcessClient } from '#client/in-process.ts';
import { otherwiseMade, specimenOf, specimens, storedKinds } from './specimens.ts';

test('Users of the simulator make objects of every kind that is served', () => {
  const made = [...Object.keys(specimens), ...otherwiseMade];
  assert.deepEqual(made.toSorted(), [...storedKinds.keys()].toSorted());
});

test('What they make of any kind is valid, and most of what the schema adds is, too', async () => {
  await using server = await openTestServer();
  const client = inProcessClient((user: User, request) => server.server.handleAs(user, request), loopbackAdmin);
  await client.create(Namespace, { metadata: { name: 'sim' } });
  let taken = 0;
  let asked = 0;
  for (const resource of Object.keys(specimens)) {
    const kind = storedKinds.get(resource);
    assert.ok(kind);
    const where = kind.namespaced ? { namespace: 'sim' } : {};
    for (let seed = 0; seed < 5; seed++) {
      const { plain, adorned } = specimenOf(kind, `specimen-${seed}`, 'sim', seededRandom(seed));
      await client
        .create(kind, plain, { ...where, dryRun: true })
        .catch((error: unknown) => assert.fail(`${resource}: ${String(error)}`));
      asked++;
      await client.create(kind, adorned, { ...where, dryRun: true }).then(
        () => taken++,
        () => undefined,
      );
    }
  }
  assert.ok(taken > asked / 2, `${taken} of ${asked}`);
});
