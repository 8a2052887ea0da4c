import assert from 'node:assert/strict';
import { PodTemplate } from '#api/core/v1/pod-template.ts';
import { conformance, type Trial } from '../conformance.ts';
import { refusal } from '../waiting.ts';

const count = 40;

conformance(it => {
  it('[sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls [Conformance]', async t => {
    await makeTemplates(t);
    const { client, namespace } = t;
    for (const limit of [7, 13, 40]) {
      const names: string[] = [];
      let token: string | undefined;
      let revision: string | undefined;
      do {
        const { items, metadata } = await client.list(PodTemplate, {
          namespace,
          limit,
          ...(token && { continue: token }),
        });
        assert.ok(items.length <= limit, `${items.length} of at most ${limit}`);
        revision ??= metadata.resourceVersion;
        assert.equal(metadata.resourceVersion, revision, 'every page is of one revision');
        names.push(...items.map(each => each.metadata.name ?? ''));
        token = metadata.continue;
        assert.equal(metadata.remainingItemCount ?? 0, count - names.length);
      } while (token);
      assert.deepEqual(names, templateNames);
    }
    const all = await client.list(PodTemplate, { namespace });
    assert.equal(all.items.length, count);
    assert.equal(all.metadata.continue ?? '', '');
  });

  it(
    '[sig-api-machinery] Servers with support for API chunking should support continue listing from the last key if the original version has been compacted away, though the list is inconsistent [Conformance] [Slow]',
    async t => {
      await makeTemplates(t);
      const { client, namespace } = t;
      const first = await client.list(PodTemplate, { namespace, limit: 10 });
      const token = first.metadata.continue ?? '';
      // History is kept for five to ten minutes.
      const status = await t.eventually(
        'the token expires',
        async () => {
          try {
            await client.list(PodTemplate, { namespace, limit: 10, continue: token });
            return false;
          } catch {
            return refusal(client.list(PodTemplate, { namespace, limit: 10, continue: token }));
          }
        },
        900_000,
      );
      assert.equal(status.code, 410);
      assert.equal(status.reason, 'Expired');
      const inconsistent = status.metadata.continue ?? '';
      assert.notEqual(inconsistent, '');
      const rest = await client.list(PodTemplate, { namespace, limit: 10, continue: inconsistent });
      assert.deepEqual(
        rest.items.map(each => each.metadata.name),
        templateNames.slice(10, 20),
      );
      assert.notEqual(rest.metadata.resourceVersion, first.metadata.resourceVersion);
    },
    { slow: true, timeoutMs: 900_000 },
  );
});

const templateNames = Array.from({ length: count }, (_, index) => `template-${String(index).padStart(4, '0')}`);

async function makeTemplates({ client, namespace, image }: Trial): Promise<void> {
  const spec = { containers: [{ name: 'test', image: image('busybox') }] };
  await Promise.all(
    templateNames.map(name =>
      client.create(
        PodTemplate,
        { metadata: { name }, template: { metadata: { labels: { pod: name } }, spec } },
        { namespace },
      ),
    ),
  );
}
