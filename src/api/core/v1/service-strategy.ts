import { sameValue } from '../../machinery/checks.ts';
import type { Draft } from '../../machinery/kind.ts';
import type { ServiceSpec } from './service.ts';

type Spec = Draft<ServiceSpec>;

/** Reached from outside of the cluster, so that the way of its traffic can be chosen. */
export function isExternallyAccessible(spec: ServiceSpec): boolean {
  const { type } = spec;
  return (
    type === 'LoadBalancer' || type === 'NodePort' || (type === 'ClusterIP' && (spec.externalIPs ?? []).length > 0)
  );
}

/** A load balancer that keeps traffic on the node asks each node whether it has endpoints. */
export function needsHealthCheck(spec: ServiceSpec): boolean {
  return spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
}

export function isHeadless(spec: ServiceSpec): boolean {
  return spec.clusterIPs?.length === 1 && spec.clusterIPs[0] === 'None';
}

export function needsClusterIp(spec: ServiceSpec): boolean {
  return spec.type !== 'ExternalName';
}

export function needsNodePort(spec: ServiceSpec): boolean {
  return spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false);
}

export function defaultService(spec: Spec): void {
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  if (spec.sessionAffinity === 'ClientIP' && spec.sessionAffinityConfig?.clientIP?.timeoutSeconds === undefined)
    spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: 10_800 } };
  for (const port of spec.ports ?? []) if (!port.targetPort) port.targetPort = port.port;
  if (isExternallyAccessible(spec) && !spec.externalTrafficPolicy) spec.externalTrafficPolicy = 'Cluster';
  if (['NodePort', 'LoadBalancer', 'ClusterIP'].includes(spec.type)) spec.internalTrafficPolicy ??= 'Cluster';
  if (spec.type === 'LoadBalancer') spec.allocateLoadBalancerNodePorts ??= true;
}

/** `clusterIP` is the first of `clusterIPs`: whoever writes one of them means both. */
export function prepareService(spec: Spec): void {
  if (spec.clusterIP && (spec.clusterIPs ?? []).length === 0) spec.clusterIPs = [spec.clusterIP];
}

/** Keeps what the server gave out, and drops what a new type has no use for and nobody asked for. */
export function prepareServiceUpdate(spec: Spec, old: ServiceSpec): void {
  keepAllocated(spec, old);
  const sameIps = sameValue(spec.clusterIPs, old.clusterIPs);
  if (spec.clusterIP !== old.clusterIP && sameIps) {
    if (spec.clusterIP) spec.clusterIPs = [spec.clusterIP];
    else delete spec.clusterIPs;
  }
  if (needsClusterIp(old) && !needsClusterIp(spec)) {
    if (spec.clusterIP === old.clusterIP && sameIps) {
      delete spec.clusterIP;
      delete spec.clusterIPs;
    }
    if (sameValue(spec.ipFamilies, old.ipFamilies)) delete spec.ipFamilies;
    if (spec.ipFamilyPolicy === old.ipFamilyPolicy) delete spec.ipFamilyPolicy;
  }
  if (needsNodePort(old) && !needsNodePort(spec)) {
    const nodePorts = (each: ServiceSpec) => (each.ports ?? []).map(port => port.nodePort ?? 0).sort();
    if (sameValue(nodePorts(spec), nodePorts(old)))
      spec.ports = (spec.ports ?? []).map(({ nodePort: _, ...port }) => port);
  }
  if (needsHealthCheck(old) && !needsHealthCheck(spec) && spec.healthCheckNodePort === old.healthCheckNodePort)
    delete spec.healthCheckNodePort;
  if (old.type === 'LoadBalancer' && spec.type !== 'LoadBalancer') {
    if (spec.allocateLoadBalancerNodePorts === old.allocateLoadBalancerNodePorts)
      delete spec.allocateLoadBalancerNodePorts;
    if (spec.loadBalancerClass === old.loadBalancerClass) delete spec.loadBalancerClass;
  }
  const isClosed = isExternallyAccessible(old) && !isExternallyAccessible(spec);
  if (isClosed && spec.externalTrafficPolicy === old.externalTrafficPolicy) delete spec.externalTrafficPolicy;
}

function keepAllocated(spec: Spec, old: ServiceSpec): void {
  if (needsClusterIp(old) && needsClusterIp(spec) && !spec.clusterIP && (spec.clusterIPs ?? []).length === 0) {
    if (old.clusterIP) spec.clusterIP = old.clusterIP;
    if (old.clusterIPs) spec.clusterIPs = [...old.clusterIPs];
  }
  if (needsNodePort(old) && needsNodePort(spec)) {
    const used = new Set((spec.ports ?? []).map(port => port.nodePort));
    for (const port of spec.ports ?? []) {
      if (port.nodePort) continue;
      const known = (old.ports ?? []).find(each => each.port === port.port && each.protocol === port.protocol);
      if (!known?.nodePort || used.has(known.nodePort)) continue;
      port.nodePort = known.nodePort;
      used.add(known.nodePort);
    }
  }
  if (needsHealthCheck(old) && needsHealthCheck(spec) && !spec.healthCheckNodePort && old.healthCheckNodePort)
    spec.healthCheckNodePort = old.healthCheckNodePort;
}
