import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { addressAt, formatIp, parseCidr } from '#base/ip.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { Node } from '#api/core/v1/node.ts';
import { serviceAccountUser } from '#auth/user.ts';
import type { ControlPlane } from './control-plane.ts';
import type { ClusterConfig, DataDir } from './data-dir.ts';
import { dnsNodeLabel } from './dns-service.ts';
import { actWhileLeading } from './leadership.ts';
import { lackOf, proxyPackages } from './packages.ts';

/** Where the proxy of a cluster keeps its files. */
export function gatewayDirectory(dir: DataDir): string {
  return join(dir.run, 'gateway');
}

/** Ends the proxy, when there is one: it outlives the control plane, but not its cluster. */
export async function endGateway(dir: DataDir, clock: Clock): Promise<void> {
  const directory = gatewayDirectory(dir);
  if (!existsSync(directory)) return;
  const { endProxy } = await import('#addons/gateway/proxy.ts');
  await endProxy(directory, clock);
}

/** The proxy's threads beyond this number have little to do on the machines that this is for. */
const threadsMax = 4;

/** Serves Ingresses and the Gateway API where `up` was asked to. */
export async function serveGateway(
  plane: ControlPlane,
  options: {
    readonly dir: DataDir;
    readonly config: ClusterConfig;
    /** Other control planes are beside this one: one of them serves. */
    readonly isShared: boolean;
    readonly clock: Clock;
    readonly random: Random;
    readonly log: Log;
  },
  lifetime: Lifetime,
): Promise<void> {
  const { dir, config, isShared, clock, random, log } = options;
  const serves = { ingress: config.ingress ?? false, gateway: config.gateway ?? false };
  if (!serves.ingress && !serves.gateway) return endGateway(dir, clock);
  const { gatewayAccount, startGateway } = await import('#addons/gateway/gateway.ts');
  const nodes = plane.informers.of(Node);
  const account = serviceAccountUser('kube-system', gatewayAccount);
  const act = async (acting: Lifetime) => {
    const controller = acting.own(
      await startGateway({
        client: plane.clientOf(account, 'gateway-controller'),
        admin: plane.client,
        informers: plane.informers,
        serves,
        directory: gatewayDirectory(dir),
        logFile: join(dir.logs, 'gateway.log'),
        clusterId: dir.id,
        threads: Math.min(threadsMax, availableParallelism()),
        place: () => placeAmong(nodes.objects.values()),
        onPlaceChange: listener =>
          acting.defer(nodes.subscribe({ added: listener, updated: changed(listener), deleted: listener })),
        problem: problemOf(config),
        clock,
        log: log.child('gateway'),
      }),
    );
    controller.metrics.registerOn(plane.apiServer.metrics.registry);
  };
  if (!isShared) return act(lifetime);
  const name = 'windlass-gateway-controller';
  const client = plane.clientOf({ name: 'system:kube-controller-manager', groups: ['system:authenticated'] }, name);
  const leading = actWhileLeading({ client, name, clock, random, log: log.child('election') }, act, lifetime.signal);
  lifetime.defer(() => leading);
}

function problemOf(config: ClusterConfig): string | undefined {
  if (config.nodes === 0) return 'There are only simulated nodes, which no request can reach.';
  return lackOf(proxyPackages, 'Ingresses and Gateways');
}

/** The proxy is on the pod network's address of this machine's first node, like DNS. */
function placeAmong(nodes: Iterable<Node>): { readonly address: string; readonly nodeName: string } | undefined {
  for (const { metadata, spec } of nodes) {
    const network = metadata.labels?.[dnsNodeLabel] === 'true' ? parseCidr(spec.podCIDR ?? '') : undefined;
    if (network) return { address: formatIp(addressAt(network, 1n)), nodeName: metadata.name ?? '' };
  }
  return undefined;
}

function changed(listener: () => void) {
  return (node: Node, old: Node) => {
    if (placeAmong([node])?.address !== placeAmong([old])?.address) listener();
  };
}
