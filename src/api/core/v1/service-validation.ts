import {
  checkCidr,
  checkDnsLabel,
  checkDnsSubdomain,
  checkIp,
  checkOneOf,
  checkPort,
  checkPortNumber,
  checkQualifiedName,
  checkReachableIp,
  checkRequiredOneOf,
  isDualStack,
} from '../../machinery/checks.ts';
import type { WithSpec } from '../../machinery/kind.ts';
import { isIP } from '../../machinery/names.ts';
import { validateLabels } from '../../machinery/object-meta-validation.ts';
import { Report } from '../../machinery/validation.ts';
import { isExternallyAccessible, isHeadless, needsHealthCheck } from './service-strategy.ts';
import type { LoadBalancerStatus, ServicePort, ServiceSpec, ServiceStatus } from './service.ts';

type ServiceLike = WithSpec<ServiceSpec, ServiceStatus>;

const noService: Partial<ServiceSpec> = {};

/** In upstream's order. `old` keeps addresses that were taken once. `report` stands at the service. */
export function validateService(service: ServiceLike, report: Report, old: Partial<ServiceSpec> = noService): void {
  const { metadata, spec } = service;
  const at = report.at('spec');
  // Upstream gives out addresses before it looks at anything else, and for that they have to make sense.
  if (!areClusterIpsValid(spec, old.clusterIPs ?? [], at)) return;
  checkTopologyAnnotations(metadata.annotations ?? {}, report.at('metadata', 'annotations'));
  const ports = spec.ports ?? [];
  if (ports.length === 0 && !isHeadless(spec) && spec.type !== 'ExternalName') at.at('ports').required();
  validateType(spec, at);
  const names = new Set<string>();
  for (const [index, port] of ports.entries()) validatePort(port, ports.length > 1, names, at.at('ports').index(index));
  validateLabels(spec.selector, at.at('selector'));
  checkRequiredOneOf(spec.sessionAffinity, ['ClientIP', 'None'], at.at('sessionAffinity'));
  validateAffinityConfig(spec, at.at('sessionAffinityConfig'));
  for (const [index, ip] of (spec.externalIPs ?? []).entries()) {
    const before = at.errors.length;
    checkIp(ip, at.at('externalIPs').index(index), old.externalIPs);
    if (at.errors.length === before) checkReachableIp(ip, at.at('externalIPs').index(index));
  }
  checkRequiredOneOf(spec.type, ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'], at.at('type'));
  validateUniquePorts(spec, at.at('ports'));
  validateSourceRanges(service, old, report);
  validateLoadBalancerFields(spec, at);
  validateTrafficPolicies(spec, at);
}

export function validateServiceUpdate(service: ServiceLike, oldService: ServiceLike, report: Report): void {
  const { spec } = service;
  const old = oldService.spec;
  if (!areClusterIpsValid(spec, old.clusterIPs ?? [], new Report())) return;
  validateClusterIpUpdate(spec, old, report.at('spec'));
  validateFamilyUpdate(spec, old, report.at('spec'));
  if (old.type === 'LoadBalancer' && spec.type === 'LoadBalancer' && spec.loadBalancerClass !== old.loadBalancerClass)
    report.at('spec', 'loadBalancerClass').invalid(spec.loadBalancerClass, 'may not change once set');
  checkLoadBalancerClass(spec, report.at('spec', 'loadBalancerClass'));
  if (needsHealthCheck(old) && needsHealthCheck(spec) && spec.healthCheckNodePort !== old.healthCheckNodePort)
    report.at('spec', 'healthCheckNodePort').forbidden('field is immutable');
}

/** `report` stands at `status.loadBalancer`. */
export function validateLoadBalancerStatus(
  status: LoadBalancerStatus,
  old: LoadBalancerStatus,
  spec: ServiceSpec,
  report: Report,
): void {
  const ingress = status.ingress ?? [];
  if (spec.type !== 'LoadBalancer' && ingress.length > 0) {
    report.at('ingress').forbidden("may only be used when `spec.type` is 'LoadBalancer'");
    return;
  }
  const known = (old.ingress ?? []).map(({ ip }) => ip ?? '');
  for (const [index, { ip, ipMode, hostname }] of ingress.entries()) {
    const at = report.at('ingress').index(index);
    if (ip) checkIp(ip, at.at('ip'), known);
    if (ipMode === undefined) {
      if (ip) at.at('ipMode').required('must be specified when `ip` is set');
    } else if (!ip) at.at('ipMode').forbidden('may not be specified when `ip` is not set');
    else checkOneOf(ipMode, ['Proxy', 'VIP'], at.at('ipMode'));
    if (!hostname) continue;
    checkDnsSubdomain(hostname, at.at('hostname'));
    if (isIP(hostname).length === 0) at.at('hostname').invalid(hostname, 'must be a DNS name, not an IP address');
  }
}

const topologyHints = 'service.kubernetes.io/topology-aware-hints';
const topologyMode = 'service.kubernetes.io/topology-mode';
const sourceRangesAnnotation = 'service.beta.kubernetes.io/load-balancer-source-ranges';

function checkTopologyAnnotations(annotations: Readonly<Record<string, string>>, report: Report): void {
  const { [topologyHints]: hints, [topologyMode]: mode } = annotations;
  if (hints !== undefined && mode !== undefined && hints !== mode)
    report.key(topologyMode).invalid(mode, `must match annotations[${topologyHints}] when both are specified`);
}

function validateType(spec: ServiceSpec, report: Report): void {
  if (spec.type === 'LoadBalancer' || spec.type === 'NodePort') {
    if (isHeadless(spec))
      report.at('clusterIPs').index(0).invalid('None', `may not be set to 'None' for ${spec.type} services`);
    return;
  }
  if (spec.type !== 'ExternalName') return;
  const message = 'may not be set for ExternalName services';
  if ((spec.clusterIPs ?? []).length > 0) report.at('clusterIPs').forbidden(message);
  if ((spec.ipFamilies ?? []).length > 0) report.at('ipFamilies').forbidden(message);
  if (spec.ipFamilyPolicy !== undefined) report.at('ipFamilyPolicy').forbidden(message);
  const name = (spec.externalName ?? '').replace(/\.$/, '');
  if (name === '') report.at('externalName').required();
  else checkDnsSubdomain(name, report.at('externalName'));
}

function validatePort(port: ServicePort, needsName: boolean, names: Set<string>, report: Report): void {
  if (port.name) {
    checkDnsLabel(port.name, report.at('name'));
    if (names.has(port.name)) report.at('name').duplicate(port.name);
    names.add(port.name);
  } else if (needsName) report.at('name').required();
  checkPortNumber(port.port, report.at('port'));
  checkRequiredOneOf(port.protocol, ['SCTP', 'TCP', 'UDP'], report.at('protocol'));
  checkPort(port.targetPort, report.at('targetPort'));
  if (port.appProtocol !== undefined) checkQualifiedName(port.appProtocol, report.at('appProtocol'));
}

function validateAffinityConfig({ sessionAffinity, sessionAffinityConfig }: ServiceSpec, report: Report): void {
  if (sessionAffinity === 'None') {
    if (sessionAffinityConfig) report.forbidden('must not be set when session affinity is None');
    return;
  }
  if (sessionAffinity !== 'ClientIP') return;
  const missing = 'when session affinity type is ClientIP';
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds;
  if (!sessionAffinityConfig) report.required(missing);
  else if (!sessionAffinityConfig.clientIP) report.at('clientIP').required(missing);
  else if (seconds === undefined) report.at('clientIP', 'timeoutSeconds').required(missing);
  else if (seconds <= 0 || seconds > 86_400)
    report.at('clientIP', 'timeoutSeconds').invalid(seconds, 'must be greater than 0 and less than 86400');
}

function areClusterIpsValid(spec: ServiceSpec, known: readonly string[], report: Report): boolean {
  const before = report.errors.length;
  validateClusterIps(spec, known, report);
  return report.errors.length === before;
}

function validateClusterIps(spec: ServiceSpec, known: readonly string[], report: Report): void {
  if (spec.type === 'ExternalName') return;
  const ips = spec.clusterIPs ?? [];
  const at = report.at('clusterIPs');
  if (spec.clusterIP) {
    if (ips.length === 0) at.required();
    else if (ips[0] !== spec.clusterIP) at.invalid(ips, 'first value must match `clusterIP`');
  } else if (ips.length > 0) at.invalid(ips, 'must be empty when `clusterIP` is not specified');
  const families = spec.ipFamilies ?? [];
  for (const [index, family] of families.entries()) {
    checkOneOf(family, ['IPv4', 'IPv6'], report.at('ipFamilies').index(index));
    if (families.indexOf(family) < index) report.at('ipFamilies').index(index).duplicate(family);
  }
  if (spec.ipFamilyPolicy !== undefined)
    checkOneOf(
      spec.ipFamilyPolicy,
      ['PreferDualStack', 'RequireDualStack', 'SingleStack'],
      report.at('ipFamilyPolicy'),
    );
  const before = report.errors.length;
  for (const [index, ip] of ips.entries()) {
    if (index > 0 || ip !== 'None') checkIp(ip, at.index(index), known);
    else if (ips.length > 1) at.invalid(ips, "'None' must be the first and only value");
  }
  const isWrong = report.errors.length > before;
  if (ips.length > 2) at.invalid(ips, 'may only hold up to 2 values');
  if (isWrong) return;
  if (ips.length > 1 && !isDualStack(ips)) at.invalid(ips, 'may specify no more than one IP for each IP family');
  if (isHeadless(spec)) return;
  for (const [index, ip] of ips.entries()) {
    const family = ip.includes(':') ? 'IPv6' : 'IPv4';
    const wanted = families[index];
    if ((wanted === 'IPv4' || wanted === 'IPv6') && wanted !== family)
      at.index(index).invalid(ip, `expected an ${wanted} value as indicated by \`ipFamilies[${index}]\``);
  }
}

function validateUniquePorts({ type, ports = [] }: ServiceSpec, report: Report): void {
  for (const [index, port] of ports.entries())
    if (type === 'ClusterIP' && port.nodePort)
      report.index(index).at('nodePort').forbidden("may not be used when `type` is 'ClusterIP'");
  const taken = new Set<string>();
  const take = (key: string) => taken.size === taken.add(key).size;
  for (const [index, port] of ports.entries())
    if (port.nodePort && take(`node ${port.protocol} ${port.nodePort}`))
      report.index(index).at('nodePort').duplicate(port.nodePort);
  for (const [index, port] of ports.entries())
    if (take(`${port.protocol} ${port.port}`))
      report.index(index).duplicate({
        Name: '',
        Protocol: port.protocol,
        AppProtocol: null,
        Port: port.port,
        TargetPort: 0,
        NodePort: 0,
      });
}

function validateSourceRanges({ metadata, spec }: ServiceLike, old: Partial<ServiceSpec>, report: Report): void {
  const ranges = spec.loadBalancerSourceRanges ?? [];
  const annotation = metadata.annotations?.[sourceRangesAnnotation];
  if (ranges.length > 0) {
    const at = report.at('spec', 'LoadBalancerSourceRanges');
    const known = (old.loadBalancerSourceRanges ?? []).map(range => range.trim());
    if (spec.type !== 'LoadBalancer') at.forbidden(needsLoadBalancer);
    for (const [index, range] of ranges.entries()) checkCidr(range.trim(), at.index(index), known);
  } else if (annotation !== undefined) {
    const at = report.at('metadata', 'annotations').key(sourceRangesAnnotation);
    if (spec.type !== 'LoadBalancer') at.forbidden(needsLoadBalancer);
    if (annotation.trim() !== '') for (const range of annotation.trim().split(',')) checkCidr(range.trim(), at);
  }
}

function validateLoadBalancerFields(spec: ServiceSpec, report: Report): void {
  if (spec.allocateLoadBalancerNodePorts !== undefined && spec.type !== 'LoadBalancer')
    report.at('allocateLoadBalancerNodePorts').forbidden(needsLoadBalancer);
  checkLoadBalancerClass(spec, report.at('loadBalancerClass'));
}

const needsLoadBalancer = "may only be used when `type` is 'LoadBalancer'";

function checkLoadBalancerClass({ type, loadBalancerClass }: ServiceSpec, report: Report): void {
  if (loadBalancerClass === undefined) return;
  if (type === 'LoadBalancer') checkQualifiedName(loadBalancerClass, report);
  else report.forbidden(needsLoadBalancer);
}

function validateTrafficPolicies(spec: ServiceSpec, report: Report): void {
  const { externalTrafficPolicy, internalTrafficPolicy, trafficDistribution } = spec;
  const external = report.at('externalTrafficPolicy');
  if (isExternallyAccessible(spec)) checkRequiredOneOf(externalTrafficPolicy, ['Cluster', 'Local'], external);
  else if (externalTrafficPolicy)
    external.invalid(externalTrafficPolicy, 'may only be set for externally-accessible services');
  if (spec.healthCheckNodePort) {
    const at = report.at('healthCheckNodePort');
    if (needsHealthCheck(spec)) checkPortNumber(spec.healthCheckNodePort, at);
    else
      at.invalid(
        spec.healthCheckNodePort,
        "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
      );
  }
  if (internalTrafficPolicy !== undefined)
    checkOneOf(internalTrafficPolicy, ['Cluster', 'Local'], report.at('internalTrafficPolicy'));
  if (trafficDistribution !== undefined)
    checkOneOf(
      trafficDistribution,
      ['PreferClose', 'PreferSameZone', 'PreferSameNode'],
      report.at('trafficDistribution'),
    );
}

/** The first address stays for good; a second one may come, and go with a change to a single stack. */
function validateClusterIpUpdate(spec: ServiceSpec, old: ServiceSpec, report: Report): void {
  if (spec.type === 'ExternalName' || old.type === 'ExternalName') return;
  if (isHeadless(spec) && isHeadless(old)) return;
  const ips = spec.clusterIPs ?? [];
  const olds = old.clusterIPs ?? [];
  const at = (index: number) => report.at('clusterIPs').index(index);
  if (olds.length === ips.length) {
    for (const [index, ip] of olds.entries()) if (ip !== ips[index]) at(index).invalid(ips, 'may not change once set');
    return;
  }
  if (ips.length === 0) at(0).invalid(ips, 'primary clusterIP can not be unset');
  else if (olds.length > 0 && ips[0] !== olds[0]) at(0).invalid(ips, 'may not change once set');
  if (olds.length > ips.length && ips.length === 1 && spec.ipFamilyPolicy !== 'SingleStack')
    report
      .at('ipFamilyPolicy')
      .invalid(spec.ipFamilyPolicy, "must be set to 'SingleStack' when releasing the secondary clusterIP");
}

function validateFamilyUpdate(spec: ServiceSpec, old: ServiceSpec, report: Report): void {
  if (spec.type === 'ExternalName' || old.type === 'ExternalName') return;
  if (isHeadless(spec) || isHeadless(old)) return;
  const families = spec.ipFamilies ?? [];
  const olds = old.ipFamilies ?? [];
  const at = report.at('ipFamilies').index(0);
  if (olds.length === families.length) {
    for (const [index, family] of olds.entries())
      if (family !== families[index]) at.invalid(families, 'may not change once set');
    return;
  }
  if (olds.length > families.length && (spec.clusterIPs ?? []).length === 0)
    at.invalid(families, 'primary ipFamily can not be unset');
  if (families.length > 0 && olds.length > 0 && families[0] !== olds[0])
    at.invalid(families, 'may not change once set');
  if (olds.length > families.length && families.length === 1 && spec.ipFamilyPolicy !== 'SingleStack')
    report
      .at('ipFamilyPolicy')
      .invalid(spec.ipFamilyPolicy, "must be set to 'SingleStack' when releasing the secondary ipFamily");
}
