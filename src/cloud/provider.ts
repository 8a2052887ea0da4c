import type { LoadBalancerIngress, Service } from '#api/core/v1/service.ts';
import type { Node } from '#api/core/v1/node.ts';

/**
 * What a cluster runs on, as upstream's cloud-provider interface divides it. A part that is absent is not the cloud's
 * business: its controller does nothing.
 */
export interface CloudProvider {
  /** What stands before `://` in a node's providerID. */
  readonly name: string;
  readonly instances?: Instances;
  readonly zones?: Zones;
  readonly loadBalancers?: LoadBalancers;
  readonly routes?: Routes;
}

export interface Instances {
  exists(node: Node, signal: AbortSignal): Promise<boolean>;
  isShutDown(node: Node, signal: AbortSignal): Promise<boolean>;
  metadata(node: Node, signal: AbortSignal): Promise<InstanceMetadata>;
}

export interface InstanceMetadata {
  readonly providerId: string;
  readonly instanceType: string;
  readonly addresses: readonly { readonly type: string; readonly address: string }[];
  readonly zone: string;
  readonly region: string;
}

export interface Zones {
  zoneOf(providerId: string, signal: AbortSignal): Promise<{ readonly zone: string; readonly region: string }>;
}

export interface LoadBalancers {
  /** What the outside sees of the service's balancer; undefined when it has none. */
  get(service: Service, signal: AbortSignal): Promise<readonly LoadBalancerIngress[] | undefined>;
  /** Makes or changes it, so that it leads to these nodes. */
  ensure(service: Service, nodes: readonly Node[], signal: AbortSignal): Promise<readonly LoadBalancerIngress[]>;
  /** Other nodes, nothing else; answers what is seen of it then. */
  update(service: Service, nodes: readonly Node[], signal: AbortSignal): Promise<readonly LoadBalancerIngress[]>;
  /** Takes it away; one that is not there is no failure. */
  ensureDeleted(service: Service, signal: AbortSignal): Promise<void>;
}

export interface Route {
  readonly name: string;
  readonly nodeName: string;
  readonly destinationCidr: string;
}

export interface Routes {
  list(signal: AbortSignal): Promise<readonly Route[]>;
  create(route: Route, signal: AbortSignal): Promise<void>;
  delete(route: Route, signal: AbortSignal): Promise<void>;
}
