import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkIp,
  checkMessages,
  checkOneOf,
  checkPortNumber,
} from '../../machinery/checks.ts';
import {
  isDNS1123Subdomain,
  isIP,
  isPathSegmentName,
  isPortName,
  isWildcardDNS1123Subdomain,
} from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';
import type { HTTPIngressPath, IngressBackend, IngressLoadBalancerStatus, IngressSpec } from './ingress.ts';

/** `report` stands at the spec. */
export function validateIngressSpec(spec: IngressSpec, report: Report): void {
  const { rules = [], defaultBackend, tls = [], ingressClassName } = spec;
  if (rules.length === 0 && !defaultBackend)
    report.invalid(null, 'either `defaultBackend` or `rules` must be specified');
  if (defaultBackend) validateBackend(defaultBackend, report.at('defaultBackend'));
  for (const [index, { host, http }] of rules.entries()) {
    const at = report.at('rules').index(index);
    if (host) validateHost(host, at.at('host'));
    if (http) validatePaths(http.paths ?? [], at.at('http', 'paths'));
  }
  for (const [index, { hosts = [], secretName }] of tls.entries()) {
    const at = report.at('tls').index(index);
    for (const [position, host] of hosts.entries()) {
      const rule = host.includes('*') ? isWildcardDNS1123Subdomain : isDNS1123Subdomain;
      checkMessages(rule(host), host, at.at('hosts').index(position));
    }
    if (secretName) checkDnsSubdomain(secretName, at.at('secretName'));
  }
  if (ingressClassName !== undefined) checkDnsSubdomain(ingressClassName, report.at('ingressClassName'));
}

/** `report` stands at `status.loadBalancer`. */
export function validateIngressStatus({ ingress = [] }: IngressLoadBalancerStatus, report: Report): void {
  for (const [index, { ip, hostname }] of ingress.entries()) {
    const at = report.at('ingress').index(index);
    if (ip) checkIp(ip, at.at('ip'));
    if (!hostname) continue;
    checkDnsSubdomain(hostname, at.at('hostname'));
    if (isIP(hostname).length === 0) at.at('hostname').invalid(hostname, 'must be a DNS name, not an IP address');
  }
}

function validateHost(host: string, report: Report): void {
  if (isIP(host).length === 0) report.invalid(host, 'must be a DNS name, not an IP address');
  checkMessages((host.includes('*') ? isWildcardDNS1123Subdomain : isDNS1123Subdomain)(host), host, report);
}

function validatePaths(paths: readonly HTTPIngressPath[], report: Report): void {
  if (paths.length === 0) report.required();
  for (const [index, path] of paths.entries()) validatePath(path, report.index(index));
}

function validatePath({ path = '', pathType, backend }: HTTPIngressPath, report: Report): void {
  if (pathType === undefined) {
    report.at('pathType').required('pathType must be specified');
    return;
  }
  if (pathType === 'Exact' || pathType === 'Prefix') validateStrictPath(path, report.at('path'));
  else if (pathType === 'ImplementationSpecific') {
    if (path !== '' && !path.startsWith('/')) report.at('path').invalid(path, 'must be an absolute path');
  } else checkOneOf(pathType, ['Exact', 'ImplementationSpecific', 'Prefix'], report.at('pathType'));
  validateBackend(backend ?? {}, report.at('backend'));
}

/** Paths are compared element by element, so they have one way to be written only. */
function validateStrictPath(path: string, report: Report): void {
  if (!path.startsWith('/')) report.invalid(path, 'must be an absolute path');
  for (const part of ['//', '/./', '/../', '%2f', '%2F'])
    if (path.includes(part)) report.invalid(path, `must not contain '${part}'`);
  for (const end of ['/..', '/.']) if (path.endsWith(end)) report.invalid(path, `cannot end with '${end}'`);
}

function validateBackend({ resource, service }: IngressBackend, report: Report): void {
  if (resource && service) report.invalid('', 'cannot set both resource and service backends');
  else if (resource) validateResourceBackend(resource, report.at('resource'));
  else if (service) {
    const at = report.at('service');
    if (!service.name) at.at('name').required();
    else checkDnsLabel(service.name, at.at('name'));
    const { name, number } = service.port ?? {};
    if (name && number) report.invalid('', 'cannot set both port name & port number');
    else if (name) checkMessages(isPortName(name), name, at.at('port', 'name'));
    else if (number) checkPortNumber(number, at.at('port', 'number'));
    else report.required('port name or number is required');
  } else report.invalid('', 'resource or service backend is required');
}

function validateResourceBackend(
  resource: { readonly apiGroup?: string | undefined; readonly kind: string; readonly name: string },
  report: Report,
): void {
  if (resource.apiGroup) checkDnsSubdomain(resource.apiGroup, report.at('apiGroup'));
  for (const name of ['kind', 'name'] as const) {
    if (!resource[name]) report.at(name).required();
    else checkMessages(isPathSegmentName(resource[name]), resource[name], report.at(name));
  }
}
