import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkImmutable,
  checkIp,
  checkMessages,
  checkQualifiedName,
  isDualStack,
} from '../../machinery/checks.ts';
import type { WithSpec } from '../../machinery/kind.ts';
import { byteLength, isGroupId, isUserId } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';
import type { Container, PodSpec } from './pod-spec.ts';
import { validatePodAnnotations } from './pod-spec-validation.ts';
import { validateAnnotationUpdate } from './pod-validation.ts';
import type { ContainerStatus, PodExtendedResourceClaimStatus, PodStatus, ResourceStatus } from './pod.ts';

type PodLike = WithSpec<PodSpec, PodStatus>;

/** An update of `pods/status`. */
export function validatePodStatusUpdate(pod: PodLike, old: PodLike, report: Report): void {
  validateAnnotationUpdate(pod.metadata, old.metadata, report.at('metadata', 'annotations'));
  validatePodAnnotations(pod.metadata, pod.spec, report.at('metadata', 'annotations'));
  const at = report.at('status');
  const { spec, status } = pod;
  validateConditions(status, at.at('conditions'));
  if (spec.nodeName !== old.spec.nodeName) at.at('nodeName').forbidden('may not be changed directly');
  const { nominatedNodeName } = status;
  if (nominatedNodeName && nominatedNodeName !== old.status.nominatedNodeName) {
    checkDnsSubdomain(nominatedNodeName, at.at('nominatedNodeName'));
    if (old.spec.nodeName)
      at.at('nominatedNodeName').forbidden('may not be set on pods that are already bound to a node');
  }
  if ((status.observedGeneration ?? 0) < 0) at.at('observedGeneration').invalid(status.observedGeneration, negative);
  checkImmutable(status.qosClass ?? '', old.status.qosClass ?? '', at.at('qosClass'));
  for (const [name, list] of statusLists)
    validateTransitions(status[name], old.status[name], old.spec, list, at.at(name));
  validateClaimStatuses(pod, at.at('resourceClaimStatuses'));
  if (status.extendedResourceClaimStatus)
    validateExtendedClaim(status.extendedResourceClaimStatus, spec, at.at('extendedResourceClaimStatus'));
  validateIps(status.podIPs, old.status.podIPs, at.at('podIPs'));
  const [firstHost] = status.hostIPs ?? [];
  if (firstHost && firstHost.ip !== (status.hostIP ?? ''))
    at.at('hostIPs').index(0).at('ip').invalid(firstHost.ip, 'must be equal to `hostIP`');
  validateIps(status.hostIPs, old.status.hostIPs, at.at('hostIPs'));
  for (const [name] of statusLists)
    for (const [index, container] of (status[name] ?? []).entries())
      validateContainerUser(container, spec, at.at(name).index(index).at('user', 'linux'));
  for (const [name, list] of statusLists)
    for (const [index, container] of (status[name] ?? []).entries())
      validateAllocated(container, spec, list, at.at(name).index(index).at('allocatedResourcesStatus'));
}

const negative = 'must be a non-negative integer';

const statusLists = [
  ['containerStatuses', 'containers'],
  ['initContainerStatuses', 'initContainers'],
  ['ephemeralContainerStatuses', 'ephemeralContainers'],
] as const;

type ContainerList = (typeof statusLists)[number][1];

function validateConditions({ conditions = [] }: PodStatus, report: Report): void {
  for (const [index, { observedGeneration = 0, type }] of conditions.entries()) {
    const at = report.index(index);
    if (observedGeneration < 0) at.at('observedGeneration').invalid(observedGeneration, negative);
    if (!['PodScheduled', 'Ready', 'Initialized'].includes(type)) checkQualifiedName(type ?? '', at.at('Type'));
  }
}

/** A container that ended may only come back when the policy restarts it. */
function validateTransitions(
  statuses: readonly ContainerStatus[] = [],
  olds: readonly ContainerStatus[] = [],
  spec: PodSpec,
  list: ContainerList,
  report: Report,
): void {
  for (const [index, old] of olds.entries()) {
    const ended = old.state?.terminated;
    if (!ended) continue;
    const status = statuses.find(each => each.name === old.name);
    if (!status || status.state?.terminated) continue;
    if (list !== 'ephemeralContainers') {
      const container = (spec[list] ?? []).find(each => each.name === old.name);
      const policy = container?.restartPolicy ?? spec.restartPolicy;
      if (policy === 'Always' || (policy === 'OnFailure' && ended.exitCode !== 0)) continue;
      if ((container?.restartPolicyRules ?? []).length > 0) continue;
    }
    report.index(index).at('state').forbidden('may not be transitioned to non-terminated state');
  }
}

function validateClaimStatuses({ spec, status }: PodLike, report: Report): void {
  const names = new Set<string>();
  for (const [index, claim] of (status.resourceClaimStatuses ?? []).entries()) {
    const at = report.index(index);
    if (!(spec.resourceClaims ?? []).some(each => each.name === claim.name))
      at.at('name').invalid(claim.name, 'must match the name of an entry in `spec.resourceClaims`');
    if (names.has(claim.name)) at.at('name').duplicate(claim.name);
    names.add(claim.name);
    if (claim.resourceClaimName !== undefined) checkDnsSubdomain(claim.resourceClaimName, at.at('resourceClaimName'));
  }
}

function validateExtendedClaim(
  { requestMappings = [], resourceClaimName }: PodExtendedResourceClaimStatus,
  spec: PodSpec,
  report: Report,
): void {
  const containers = new Map([...(spec.initContainers ?? []), ...spec.containers].map(each => [each.name, each]));
  const mappings = report.at('requestMappings');
  if (requestMappings.length === 0) mappings.required('at least one request mapping is required');
  const seen = new Set<string>();
  for (const [index, mapping] of requestMappings.entries()) {
    const at = mappings.index(index);
    const container = containers.get(mapping.containerName);
    if (!container)
      at.at('containerName').invalid(
        mapping.containerName,
        'must match the name of an entry in spec.initContainers.name or spec.containers.name',
      );
    else if (!Object.hasOwn(container.resources?.requests ?? {}, mapping.resourceName))
      at.at('resourceName').invalid(
        mapping.resourceName,
        'must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests',
      );
    // Upstream leaves out where the mapping stands.
    checkDnsLabel(mapping.requestName, report.at('requestName'));
    const key = JSON.stringify([mapping.containerName, mapping.resourceName, mapping.requestName]);
    if (seen.has(key))
      for (const name of ['containerName', 'resourceName', 'requestName'] as const)
        at.at(name).duplicate(mapping[name]);
    seen.add(key);
  }
  if (!resourceClaimName) report.at('resourceClaimName').required();
  else checkDnsSubdomain(resourceClaimName, report.at('resourceClaimName'));
}

function validateIps(
  ips: readonly { readonly ip: string }[] = [],
  olds: readonly { readonly ip: string }[] = [],
  report: Report,
): void {
  const known = olds.map(({ ip }) => ip);
  for (const [index, { ip }] of ips.entries()) checkIp(ip, report.index(index), known);
  if (ips.length > 1 && (ips.length > 2 || !isDualStack(ips.map(({ ip }) => ip))))
    report.invalid(ips, 'may specify no more than one IP for each IP family');
}

function validateContainerUser({ user }: ContainerStatus, spec: PodSpec, report: Report): void {
  if (!user?.linux) return;
  if (spec.os?.name === 'windows') {
    report.forbidden('cannot be set for a windows pod');
    return;
  }
  checkMessages(isUserId(user.linux.uid), user.linux.uid, report.at('uid'));
  checkMessages(isGroupId(user.linux.gid), user.linux.gid, report.at('gid'));
  for (const [index, group] of (user.linux.supplementalGroups ?? []).entries())
    checkMessages(isGroupId(group), group, report.at('supplementalGroups').index(index));
}

function validateAllocated(
  { name, allocatedResourcesStatus = [] }: ContainerStatus,
  spec: PodSpec,
  list: ContainerList,
  report: Report,
): void {
  if (list === 'ephemeralContainers') {
    if (allocatedResourcesStatus.length > 0) report.forbidden('must not be specified in container status');
    return;
  }
  const container = (spec[list] ?? []).find(each => each.name === name);
  for (const [index, resource] of allocatedResourcesStatus.entries()) {
    const at = report.index(index);
    if (container) checkAsked(resource.name, container, at.at('name'));
    validateHealth(resource, at.at('resources'));
  }
}

function checkAsked(name: string, { resources }: Container, report: Report): void {
  if (!name.startsWith('claim:')) {
    if (!Object.hasOwn(resources?.requests ?? {}, name))
      report.invalid(name, "must match one of the container's resource requests");
    return;
  }
  const claims = (resources?.claims ?? []).map(
    claim => `claim:${claim.name}${claim.request ? `/${claim.request}` : ''}`,
  );
  if (!claims.includes(name))
    report.invalid(
      name,
      "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty",
    );
}

const healthMessageBytesMax = 1024;

function validateHealth({ resources = [] }: ResourceStatus, report: Report): void {
  const ids = new Set<string>();
  for (const [index, { resourceID, health = '', message }] of resources.entries()) {
    const at = report.index(index);
    const healths = ['Healthy', 'Unhealthy', 'Unknown'];
    if (!healths.includes(health)) at.at('health').notSupported(health, healths);
    if (message === '') at.at('message').required('must be non-empty if specified');
    else if (byteLength(message ?? '') > healthMessageBytesMax) at.at('message').tooLong(healthMessageBytesMax);
    if (ids.has(resourceID)) at.at('resourceID').duplicate(resourceID);
    ids.add(resourceID);
  }
}
