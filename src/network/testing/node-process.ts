import { Node } from '#api/core/v1/node.ts';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { openInformers } from '#client/informers.ts';
import { objectFeed } from '#client/testing/object-feed.ts';
import { startNodeRoutes, tunnelOf, type BetweenNodes } from '../between/routes.ts';
import { bridgeNetwork } from '../cni/bridge.ts';

// A node of a test, in the network namespace in which it is started: its pod network and its ways to other nodes.

export interface NodeProcessOptions {
  readonly mode: BetweenNodes;
  /** The cluster's, the same for all nodes; and what this node's own things carry. */
  readonly clusterId: string;
  readonly id: string;
  readonly name: string;
  readonly address: string;
  readonly podCidrs: readonly string[];
  readonly clusterCidrs: readonly string[];
  readonly stateDir: string;
}

export type NodeCall =
  | { readonly do: 'put'; readonly node: Node }
  | { readonly do: 'delete'; readonly node: Node }
  | { readonly do: 'connect'; readonly sandboxId: string; readonly netnsPath: string };

const options = JSON.parse(process.argv[2] ?? '{}') as NodeProcessOptions;
const { mode, clusterId, id, name, address, podCidrs, clusterCidrs, stateDir } = options;
const tunnel = tunnelOf(mode, clusterId);
const network = await bridgeNetwork({
  clusterId: id,
  podCidrs,
  clusterCidrs,
  stateDir,
  ...(tunnel && { tunnel }),
});
const feed = objectFeed();
const informers = openInformers(feed.client, { clock: systemClock });
const nodes = informers.of(Node);
const routes = startNodeRoutes({
  mode,
  clusterId,
  nodes,
  nodeName: name,
  nodeAddress: address,
  nodesChanged: change => network.nodesChanged(change),
  clock: systemClock,
  log: silentLog,
});

process.on('message', ({ number, call }: { number: number; call: NodeCall }) => {
  answer(call).then(
    value => process.send?.({ number, value }),
    (error: unknown) => process.send?.({ number, error: String(error) }),
  );
});
process.on('disconnect', () => {
  void (async () => {
    await routes[Symbol.asyncDispose]();
    await network[Symbol.asyncDispose]();
    informers[Symbol.dispose]();
  })();
});
process.send?.({ number: 0, value: 'ready' });

async function answer(call: NodeCall): Promise<unknown> {
  if (call.do === 'connect') {
    const { ips } = await network.setup({ id: call.sandboxId, netnsPath: call.netnsPath, config: {} });
    return ips;
  }
  if (call.do === 'put') feed.put(Node, call.node);
  else feed.delete(Node, call.node);
  // The feed's events pass the informer before anybody sees them.
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve));
  await routes.settled();
  return undefined;
}
