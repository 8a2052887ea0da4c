import assert from 'node:assert/strict';
import { Node } from '#api/core/v1/node.ts';
import { conformance } from '../conformance.ts';

conformance(it => {
  it('[sig-architecture] Conformance Tests should have at least two untainted nodes [Conformance]', async ({
    client,
  }) => {
    const { items } = await client.list(Node);
    const untainted = items.filter(({ spec }) => !spec?.unschedulable && !spec?.taints?.length);
    assert.ok(untainted.length >= 2, `${untainted.length} of ${items.length} nodes are untainted`);
  });
});
