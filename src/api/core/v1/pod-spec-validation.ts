import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkIp,
  checkMessages,
  checkQualifiedName,
  checkRequiredOneOf,
} from '../../machinery/checks.ts';
import { goForm } from '../../machinery/go-form.ts';
import { byteLength, isDNS1123SubdomainWithUnderscore, isInRange } from '../../machinery/names.ts';
import { validateAnnotations, validateLabels } from '../../machinery/object-meta-validation.ts';
import type { Report } from '../../machinery/validation.ts';
import type { ObjectMeta } from '../../meta/v1/object-meta.ts';
import {
  validateContainers,
  validateEphemeralContainers,
  validateInitContainers,
  visitContainers,
} from './container-validation.ts';
import { validateOverhead, validatePodLevelResources } from './pod-resources.ts';
import { type PodDNSConfig, PodResourceClaim, type PodSpec } from './pod-spec.ts';
import type { PodTemplateSpec } from './pod-template-spec.ts';
import { validateAffinity, validateTolerations, validateTopologySpread } from './scheduling-validation.ts';
import { validatePodSecurityContext } from './security-context-validation.ts';
import { type PodContext, validateVolumes } from './volume-validation.ts';

/** Checks a pod spec as upstream's ValidatePodSpec, in its order. `report` stands at the spec. */
export function validatePodSpec(spec: PodSpec, context: PodContext, report: Report): void {
  const volumes = validateVolumes(spec.volumes ?? [], context, report.at('volumes'));
  validateResourceClaims(spec.resourceClaims ?? [], report.at('resourceClaims'));
  const claimNames = new Set((spec.resourceClaims ?? []).map(claim => claim.name).filter(Boolean));
  const containers = { spec, volumes, claimNames };
  validateContainers(containers, report.at('containers'));
  validateInitContainers(containers, report.at('initContainers'));
  validateEphemeralContainers(containers, report.at('ephemeralContainers'));
  validatePodLevelResources(spec, claimNames, report);
  if (spec.hostNetwork) validateHostPorts(spec, context, report.at('containers'));
  checkRequiredOneOf(spec.restartPolicy, ['Always', 'OnFailure', 'Never'], report.at('restartPolicy'));
  checkRequiredOneOf(
    spec.dnsPolicy,
    ['ClusterFirstWithHostNet', 'ClusterFirst', 'Default', 'None'],
    report.at('dnsPolicy'),
  );
  validateLabels(spec.nodeSelector, report.at('nodeSelector'));
  validatePodSecurityContext(spec, report.at('securityContext'));
  validateAffinity(spec.affinity, report.at('affinity'));
  validateDnsConfig(spec, report.at('dnsConfig'));
  for (const [index, gate] of (spec.readinessGates ?? []).entries())
    checkQualifiedName(gate.conditionType ?? '', report.at('readinessGates').index(index).at('conditionType'));
  validateSchedulingGates(spec, report.at('schedulingGates'));
  validateTopologySpread(spec.topologySpreadConstraints ?? [], report.at('topologySpreadConstraints'));
  validateHostProcess(spec, report);
  validateHostUsers(spec, report);
  validateHostnameOverride(spec, report.at('hostnameOverride'));
  validateNames(spec, report);
  if (spec.os) validateOs(spec, report);
  validateFileKeyVolumes(spec, report);
}

/** A template of pods. `report` stands at the template. */
export function validatePodTemplate(template: PodTemplateSpec, report: Report): void {
  const metadata: ObjectMeta = template.metadata ?? {};
  validateLabels(metadata.labels, report.at('labels'));
  validateAnnotations(metadata.annotations, report.at('annotations'));
  validatePodAnnotations(metadata, template.spec, report.at('annotations'));
  validatePodSpec(template.spec, { isPod: false }, report.at('spec'));
  validateProfileAnnotations(metadata, template.spec, report.at('spec'));
  if ((template.spec.ephemeralContainers ?? []).length > 0)
    report.at('spec', 'ephemeralContainers').forbidden('ephemeral containers not allowed in pod template');
}

export const mirrorAnnotation = 'kubernetes.io/config.mirror';
export const deletionCostAnnotation = 'controller.kubernetes.io/pod-deletion-cost';
export const appArmorAnnotationPrefix = 'container.apparmor.security.beta.kubernetes.io/';
const seccompPodAnnotation = 'seccomp.security.alpha.kubernetes.io/pod';
const seccompContainerAnnotationPrefix = 'container.seccomp.security.alpha.kubernetes.io/';

/** Annotations with a meaning for pods. `report` stands at the annotations. */
export function validatePodAnnotations({ annotations = {} }: ObjectMeta, spec: PodSpec, report: Report): void {
  const mirror = annotations[mirrorAnnotation];
  if (mirror !== undefined && !spec.nodeName)
    report.key(mirrorAnnotation).invalid(mirror, 'must set spec.nodeName if mirror pod annotation is set');
  const cost = annotations[deletionCostAnnotation];
  if (cost !== undefined && !isInt32(cost)) report.key(deletionCostAnnotation).invalid(cost, 'must be a 32bit integer');
  for (const [name, value] of Object.entries(annotations)) {
    if (name === seccompPodAnnotation || name.startsWith(seccompContainerAnnotationPrefix))
      checkSeccompAnnotation(value, report.at(name));
    if (!name.startsWith(appArmorAnnotationPrefix)) continue;
    const container = name.slice(appArmorAnnotationPrefix.length);
    if (!hasContainer(spec, container)) report.key(name).invalid(container, 'container not found');
    if (value !== '' && value !== 'runtime/default' && value !== 'unconfined' && !value.startsWith('localhost/'))
      report.key(name).invalid(value, `invalid AppArmor profile name: ${JSON.stringify(value)}`);
  }
}

/** The old annotations for profiles must say what the fields say. `report` stands at the spec. */
export function validateProfileAnnotations({ annotations = {} }: ObjectMeta, spec: PodSpec, report: Report): void {
  const podSeccomp = spec.securityContext?.seccompProfile;
  if (podSeccomp)
    checkProfileMatch(
      'seccomp',
      annotations[seccompPodAnnotation],
      podSeccomp,
      report.at('securityContext', 'seccompProfile'),
    );
  visitContainers(spec, report, (container, at) => {
    const seccomp = container.securityContext?.seccompProfile;
    if (seccomp)
      checkProfileMatch(
        'seccomp',
        annotations[seccompContainerAnnotationPrefix + container.name],
        seccomp,
        at.at('securityContext', 'seccompProfile'),
      );
  });
  if (spec.os?.name === 'windows') return;
  visitContainers(spec, report, (container, at) => {
    const appArmor = container.securityContext?.appArmorProfile ?? spec.securityContext?.appArmorProfile;
    if (appArmor)
      checkProfileMatch(
        'apparmor',
        annotations[appArmorAnnotationPrefix + container.name],
        appArmor,
        at.at('securityContext', 'appArmorProfile'),
      );
  });
}

function checkProfileMatch(
  kind: 'seccomp' | 'apparmor',
  annotation: string | undefined,
  { type, localhostProfile }: { readonly type: string; readonly localhostProfile?: string | undefined },
  report: Report,
): void {
  if (annotation === undefined) return;
  const isDefault = annotation === 'runtime/default' || (kind === 'seccomp' && annotation === 'docker/default');
  const isSameType =
    type === 'Unconfined'
      ? annotation === 'unconfined'
      : type === 'RuntimeDefault'
        ? isDefault
        : type === 'Localhost'
          ? annotation.startsWith('localhost/')
          : true;
  if (!isSameType) report.at('type').forbidden(`${kind} type in annotation and field must match`);
  else if (type === 'Localhost' && annotation !== `localhost/${localhostProfile ?? ''}`)
    report.at('localhostProfile').forbidden(`${kind} profile in annotation and field must match`);
}

function checkSeccompAnnotation(value: string, report: Report): void {
  if (value === 'runtime/default' || value === 'docker/default' || value === 'unconfined') return;
  if (!value.startsWith('localhost/')) report.invalid(value, 'must be a valid seccomp profile');
  else if (value.slice('localhost/'.length).startsWith('/')) report.invalid(value, 'must be a relative path');
  else if (value.split('/').includes('..')) report.invalid(value, "must not contain '..'");
}

function isInt32(text: string): boolean {
  return /^(?:0|-?[1-9][0-9]{0,9})$/.test(text) && Math.abs(Number(text)) <= 2_147_483_647;
}

function hasContainer(spec: PodSpec, name: string): boolean {
  return [...(spec.containers ?? []), ...(spec.initContainers ?? []), ...(spec.ephemeralContainers ?? [])].some(
    container => container.name === name,
  );
}

function validateResourceClaims(claims: readonly PodResourceClaim[], report: Report): void {
  const names = new Set<string>();
  for (const [index, claim] of claims.entries()) {
    const at = report.index(index);
    if (!claim.name) at.at('name').required();
    else if (names.has(claim.name)) at.at('name').duplicate(claim.name);
    else checkDnsLabel(claim.name, at.at('name'));
    names.add(claim.name);
    const { resourceClaimName, resourceClaimTemplateName } = claim;
    if (resourceClaimName !== undefined && resourceClaimTemplateName !== undefined)
      at.invalid(
        goForm(PodResourceClaim, claim),
        'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified',
      );
    if (resourceClaimName === undefined && resourceClaimTemplateName === undefined)
      at.invalid(
        goForm(PodResourceClaim, claim),
        'must specify one of: `resourceClaimName`, `resourceClaimTemplateName`',
      );
    if (resourceClaimName !== undefined) checkDnsSubdomain(resourceClaimName, at.at('resourceClaimName'));
    if (resourceClaimTemplateName !== undefined)
      checkDnsSubdomain(resourceClaimTemplateName, at.at('resourceClaimTemplateName'));
  }
}

function validateHostPorts(spec: PodSpec, context: PodContext, report: Report): void {
  for (const [index, container] of (spec.containers ?? []).entries())
    for (const [position, port] of (container.ports ?? []).entries()) {
      const hostPort = port.hostPort ?? 0;
      if ((context.isPod || hostPort !== 0) && hostPort !== port.containerPort)
        report
          .index(index)
          .at('ports')
          .index(position)
          .at('hostPort')
          .invalid(hostPort, 'must match `containerPort` when `hostNetwork` is true');
    }
}

function validateDnsConfig({ dnsPolicy, dnsConfig }: PodSpec, report: Report): void {
  if (dnsPolicy === 'None' && !dnsConfig) {
    report.required('must provide `dnsConfig` when `dnsPolicy` is None');
    return;
  }
  if (!dnsConfig) return;
  const { nameservers = [], searches = [], options = [] }: PodDNSConfig = dnsConfig;
  if (dnsPolicy === 'None' && nameservers.length === 0) {
    report.at('nameservers').required('must provide at least one DNS nameserver when `dnsPolicy` is None');
    return;
  }
  if (nameservers.length > 3) report.at('nameservers').invalid(nameservers, 'must not have more than 3 nameservers');
  for (const [index, server] of nameservers.entries()) checkIp(server, report.at('nameservers').index(index));
  if (searches.length > 32) report.at('searches').invalid(searches, 'must not have more than 32 search paths');
  if (byteLength(searches.join(' ')) > 2048)
    report
      .at('searches')
      .invalid(searches, 'must not have more than 2048 characters (including spaces) in the search list');
  for (const [index, search] of searches.entries()) {
    const domain = search.endsWith('.') ? search.slice(0, -1) : search;
    if (search !== '.')
      checkMessages(isDNS1123SubdomainWithUnderscore(domain), domain, report.at('searches').index(index));
  }
  for (const [index, option] of options.entries())
    if (!option.name) report.at('options').index(index).required('must not be empty');
}

function validateSchedulingGates(spec: PodSpec, report: Report): void {
  const seen = new Set<string>();
  for (const [index, { name = '' }] of (spec.schedulingGates ?? []).entries()) {
    checkQualifiedName(name, report.index(index));
    if (seen.has(name)) report.index(index).duplicate(name);
    seen.add(name);
  }
}

/** Windows HostProcess pods are all or nothing. */
function validateHostProcess(spec: PodSpec, report: Report): void {
  const ofPod = spec.securityContext?.windowsOptions?.hostProcess;
  let containers = 0;
  let hostProcesses = 0;
  visitContainers(spec, report, (container, at) => {
    containers++;
    const ofContainer = container.securityContext?.windowsOptions?.hostProcess;
    if (ofPod !== undefined && ofContainer !== undefined && ofPod !== ofContainer)
      at.at('securityContext', 'windowsOptions', 'hostProcess').invalid(
        ofContainer,
        `pod hostProcess value must be identical if both are specified, was ${ofPod}`,
      );
    if (ofContainer ?? ofPod) hostProcesses++;
  });
  if (hostProcesses === 0) return;
  if (hostProcesses !== containers)
    report.invalid('', 'If pod contains any hostProcess containers then all containers must be HostProcess containers');
  if (!spec.hostNetwork)
    report.at('hostNetwork').invalid(false, 'hostNetwork must be true if pod contains any hostProcess containers');
}

function validateHostUsers(spec: PodSpec, report: Report): void {
  if (spec.hostUsers !== false) return;
  const message = 'when `hostUsers` is false';
  if (spec.hostNetwork) report.at('hostNetwork').forbidden(message);
  if (spec.hostPID) report.at('HostPID').forbidden(message);
  if (spec.hostIPC) report.at('HostIPC').forbidden(message);
  visitContainers(spec, report, (container, at) => {
    if ((container.volumeDevices ?? []).length > 0) at.at('volumeDevices').forbidden(message);
  });
}

function validateHostnameOverride(spec: PodSpec, report: Report): void {
  const { hostnameOverride } = spec;
  if (hostnameOverride === undefined) return;
  if (spec.setHostnameAsFQDN) report.forbidden('may not be specified when setHostnameAsFQDN is true');
  if (spec.hostNetwork) report.forbidden('may not be specified when hostNetwork is true');
  if (byteLength(hostnameOverride) > 64) report.tooLong(64);
  checkDnsSubdomain(hostnameOverride, report);
}

function validateNames(spec: PodSpec, report: Report): void {
  if (spec.serviceAccountName) checkDnsSubdomain(spec.serviceAccountName, report.at('serviceAccountName'));
  if (spec.nodeName) checkDnsSubdomain(spec.nodeName, report.at('nodeName'));
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined)
    checkMessages(isInRange(deadline, 1, 2_147_483_647), deadline, report.at('activeDeadlineSeconds'));
  if (spec.hostname) checkDnsLabel(spec.hostname, report.at('hostname'));
  if (spec.subdomain) checkDnsLabel(spec.subdomain, report.at('subdomain'));
  validateTolerations(spec.tolerations ?? [], report.at('tolerations'));
  for (const [index, alias] of (spec.hostAliases ?? []).entries()) {
    const at = report.at('hostAliases').index(index);
    checkIp(alias.ip ?? '', at.at('ip'));
    for (const [position, hostname] of (alias.hostnames ?? []).entries())
      checkDnsSubdomain(hostname, at.at('hostnames').index(position));
  }
  if (spec.priorityClassName) checkDnsSubdomain(spec.priorityClassName, report.at('priorityClassName'));
  if (spec.runtimeClassName !== undefined) checkDnsSubdomain(spec.runtimeClassName, report.at('runtimeClassName'));
  if (spec.preemptionPolicy !== undefined)
    checkRequiredOneOf(spec.preemptionPolicy, ['PreemptLowerPriority', 'Never'], report.at('preemptionPolicy'));
  if (spec.overhead) validateOverhead(spec.overhead, report.at('overhead'));
}

function validateOs(spec: PodSpec, report: Report): void {
  const name = spec.os?.name;
  if (!name) report.at('os', 'name').required();
  else if (name !== 'linux' && name !== 'windows') report.at('os').notSupported(name, ['linux', 'windows']);
  else if (name === 'linux') {
    const message = 'windows options cannot be set for a linux pod';
    if (spec.securityContext?.windowsOptions) report.at('securityContext', 'windowsOptions').forbidden(message);
    visitContainers(spec, report, (container, at) => {
      if (container.securityContext?.windowsOptions) at.at('securityContext', 'windowsOptions').forbidden(message);
    });
  } else validateWindows(spec, report);
}

const linuxPodFields = [
  'appArmorProfile',
  'seLinuxOptions',
  'seccompProfile',
  'fsGroup',
  'fsGroupChangePolicy',
  'sysctls',
  'runAsUser',
  'runAsGroup',
  'supplementalGroups',
  'supplementalGroupsPolicy',
  'seLinuxChangePolicy',
] as const;
const linuxContainerFields = [
  'appArmorProfile',
  'seLinuxOptions',
  'seccompProfile',
  'capabilities',
  'readOnlyRootFilesystem',
  'privileged',
  'allowPrivilegeEscalation',
  'procMount',
  'runAsUser',
  'runAsGroup',
] as const;

function validateWindows(spec: PodSpec, report: Report): void {
  const message = 'cannot be set for a windows pod';
  for (const name of linuxPodFields)
    if (spec.securityContext?.[name] !== undefined) report.at('securityContext', name).forbidden(message);
  for (const name of ['hostUsers', 'shareProcessNamespace'] as const)
    if (spec[name] !== undefined) report.at(name).forbidden(message);
  for (const name of ['hostPID', 'hostIPC'] as const) if (spec[name]) report.at(name).forbidden(message);
  visitContainers(spec, report, (container, at) => {
    for (const name of linuxContainerFields)
      if (container.securityContext?.[name] !== undefined) at.at('securityContext', name).forbidden(message);
  });
}

function validateFileKeyVolumes(spec: PodSpec, report: Report): void {
  const volumes = new Map((spec.volumes ?? []).map(volume => [volume.name, volume]));
  visitContainers(spec, report, (container, at) => {
    for (const [index, variable] of (container.env ?? []).entries()) {
      const volumeName = variable.valueFrom?.fileKeyRef?.volumeName;
      if (volumeName === undefined) continue;
      const field = at.at('env').index(index).at('valueFrom', 'fileKeyRef', 'volumeName');
      const volume = volumes.get(volumeName);
      if (!volume) field.notFound(volumeName);
      else if (!volume.emptyDir) field.invalid(volumeName, 'referenced volume must be of type emptyDir');
    }
  });
}
