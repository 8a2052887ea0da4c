import assert from 'node:assert/strict';
import { conformance, type Trial } from '../conformance.ts';

interface Group {
  readonly name: string;
  readonly versions: readonly { readonly groupVersion: string; readonly version: string }[];
  readonly preferredVersion: { readonly groupVersion: string };
}

interface Resources {
  readonly groupVersion: string;
  readonly resources: readonly { readonly name: string; readonly kind: string; readonly verbs: readonly string[] }[];
}

conformance(it => {
  it('[sig-api-machinery] Discovery should locate the groupVersion and a resource within each APIGroup [Conformance]', async t => {
    for (const { name, versions } of await groups(t))
      for (const { groupVersion } of versions) {
        assert.ok(groupVersion.startsWith(`${name}/`));
        const answer = await t.request('GET', `/apis/${groupVersion}`);
        assert.equal(answer.code, 200, groupVersion);
        const listed = answer.json<Resources>();
        assert.equal(listed.groupVersion, groupVersion);
        assert.ok(
          listed.resources.some(each => each.kind !== '' && each.verbs.length > 0),
          `${groupVersion} has resources`,
        );
      }
  });

  it('[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup [Conformance]', async t => {
    for (const { name, versions, preferredVersion } of await groups(t)) {
      const { groupVersion } = preferredVersion;
      assert.ok(
        versions.some(each => each.groupVersion === groupVersion),
        `${name} prefers ${groupVersion}`,
      );
      assert.equal((await t.request('GET', `/apis/${name}`)).json<Group>().preferredVersion.groupVersion, groupVersion);
    }
  });
});

async function groups(t: Trial): Promise<readonly Group[]> {
  const listed = (await t.request('GET', '/apis')).json<{ groups: readonly Group[] }>().groups;
  assert.ok(listed.length > 10);
  // Those of other tests come and go.
  return listed.filter(({ name }) => !name.endsWith('.example.com'));
}
