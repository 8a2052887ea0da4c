import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '#base/random.ts';
import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { ClusterState } from './cluster-state.ts';
import { domainOf, podsInNamespace } from './pod-counts.ts';
import { podInfo } from './pod-info.ts';

test('counts by number are those by name, while nodes and pods come, go and are relabelled', () => {
  const random = seededRandom(7);
  const cluster = new ClusterState();
  const choose = (count: number) => Math.floor(random.next() * count);
  const selection = podsInNamespace('default', { matchLabels: { app: 'web' } });
  const pod = (index: number, app: string) =>
    podInfo({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `pod-${index}`, namespace: 'default', labels: { app } },
      spec: { containers: [] },
      status: {},
    } as unknown as Pod);
  const node = (index: number) => {
    const labels = choose(5) === 0 ? {} : { zone: `zone-${choose(4)}` };
    return { metadata: { name: `node-${index}`, labels }, spec: {}, status: {} } as unknown as Node;
  };
  let compared = 0;
  for (let step = 0; step < 3_000; step++) {
    const what = choose(10);
    if (what < 2) cluster.setNode(node(choose(12)));
    else if (what === 2) cluster.removeNode(`node-${choose(12)}`);
    else if (what < 8) cluster.setPod(pod(choose(60), choose(2) === 0 ? 'web' : 'other'), `node-${choose(12)}`);
    else cluster.removePod(`default/pod-${choose(60)}`);
    if (choose(3) > 0) continue;
    const tally = cluster.counts.of('zone', selection);
    const domains = cluster.domains('zone');
    const counts = tally.counts(domains);
    for (const [index, each] of cluster.nodes.entries()) {
      const zone = domainOf(each, 'zone');
      const number = domains.byNode[index] as number;
      assert.equal(
        number < 0 ? undefined : counts[number],
        zone === undefined ? undefined : (tally.byDomain.get(zone) ?? 0),
      );
      compared += counts[number] ?? 0;
    }
    const inZones = cluster.nodes.filter(each => domainOf(each, 'zone') !== undefined);
    const web = inZones.flatMap(each => [...each.pods.values()]).filter(each => selection.matches(each));
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      web.length,
    );
  }
  assert.ok(compared > 1_000);
});
