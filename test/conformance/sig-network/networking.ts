import assert from 'node:assert/strict';
import { conformance, type Trial } from '../conformance.ts';
import { asker, datagramFrom, fetchFrom, servers } from '../network.ts';
import { schedulableNodes } from '../nodes.ts';

const pods = '[sig-network] Networking Granular Checks: Pods should function for';

conformance(it => {
  it(`${pods} intra-pod communication: http [Conformance] [NodeConformance]`, t => everyWay(t, 'http', false));
  it(`${pods} intra-pod communication: udp [Conformance] [NodeConformance]`, t => everyWay(t, 'udp', false));
  it(`${pods} node-pod communication: http [LinuxOnly] [Conformance] [NodeConformance]`, t =>
    everyWay(t, 'http', true));
  it(`${pods} node-pod communication: udp [LinuxOnly] [Conformance] [NodeConformance]`, t => everyWay(t, 'udp', true));
});

/** From a client on each node to a server on each node. */
async function everyWay(t: Trial, how: 'http' | 'udp', hostNetwork: boolean): Promise<void> {
  const targets = await servers(t);
  for (const { metadata } of await schedulableNodes(t)) {
    const client = await asker(t, { nodeName: metadata.name, hostNetwork });
    for (const { metadata: target, status } of targets) {
      const address = status?.podIP ?? '';
      const answer =
        how === 'http'
          ? await fetchFrom(t, client.metadata.name, `http://${address}:8080/`)
          : await datagramFrom(t, client.metadata.name, address, 8080);
      assert.equal(answer, target.name, `from ${metadata.name} to ${address}`);
    }
  }
}
