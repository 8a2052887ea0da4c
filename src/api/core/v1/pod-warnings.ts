import { checkIp } from '../../machinery/checks.ts';
import { canonicalQuantity, parseQuantity } from '../../machinery/quantity.ts';
import { Report } from '../../machinery/validation.ts';
import { isLabelValue } from '../../machinery/names.ts';
import type { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { visitContainers } from './container-validation.ts';
import { knownSpecLike } from './known-specs.ts';
import type { ContainerPort, PodAffinityTerm, PodSpec, Volume } from './pod-spec.ts';
import type { PodTemplateSpec } from './pod-template-spec.ts';
import type { NodeSelectorTerm } from './node-selector-term.ts';

/** `podWarnings` of a pod that was validated: what is made of one template is looked at once. */
export function warningsOfPod(metadata: ObjectMeta, spec: PodSpec): readonly string[] {
  const known = knownSpecLike(spec);
  if (known?.isQuiet === true && !hasDeprecatedAnnotation(metadata)) return none;
  const warnings = podWarnings(metadata, spec);
  if (known && warnings.length === 0) known.isQuiet = true;
  return warnings;
}

/** Of a workload whose template is new, or may be. `path` is the template's. */
export function changedTemplateWarnings(
  { metadata }: { readonly metadata: ObjectMeta },
  old: { readonly metadata: ObjectMeta } | undefined,
  template: PodTemplateSpec | undefined,
  path: string,
): readonly string[] {
  if (!template || old?.metadata.generation === metadata.generation) return none;
  return podTemplateWarnings(template, new Report(path));
}

const none: readonly string[] = [];

function hasDeprecatedAnnotation({ annotations }: ObjectMeta): boolean {
  for (const name in annotations) if (Object.hasOwn(deprecatedAnnotations, name)) return true;
  return false;
}

/** What is accepted and most likely not meant, in upstream's words. `base` stands at the pod or template. */
export function podWarnings(metadata: ObjectMeta, spec: PodSpec, base = new Report()): readonly string[] {
  const warnings: string[] = [];
  const warn = (at: Report, message: string) => void warnings.push(`${at.path}: ${message}`);
  const at = base.at('spec');
  for (const label of Object.keys(spec.nodeSelector ?? {})) {
    const message = deprecatedNodeLabels[label];
    if (message !== undefined) warn(at.at('nodeSelector').key(label), message);
  }
  warnOfNodeAffinity(spec, at, warn);
  for (const [index, constraint] of (spec.topologySpreadConstraints ?? []).entries()) {
    const constraintAt = at.at('topologySpreadConstraints').index(index);
    const message = deprecatedNodeLabels[constraint.topologyKey];
    if (message !== undefined) warn(constraintAt.at('topologyKey'), `${constraint.topologyKey} is ${message}`);
    if (!constraint.labelSelector)
      warn(constraintAt.at('labelSelector'), 'a null labelSelector results in matching no pod');
  }
  for (const [name, message] of Object.entries(deprecatedAnnotations))
    if (metadata.annotations?.[name] !== undefined) warn(base.at('metadata', 'annotations').key(name), message);
  for (const [index, volume] of (spec.volumes ?? []).entries())
    for (const name of Object.keys(volume) as (keyof Volume)[]) {
      const message = deprecatedVolumes[name];
      if (message !== undefined && volume[name] !== undefined)
        warn(
          at
            .at('volumes')
            .index(index)
            .at(name === 'storageos' ? 'storageOS' : name),
          message,
        );
    }
  for (const { name, projected } of spec.volumes ?? [])
    for (const source of projected?.sources ?? [])
      if (Object.keys(source).length === 0)
        warnings.push(`volume ${JSON.stringify(name)} (Projected) has no sources provided`);
  warnOfRepeats(spec.hostAliases ?? [], 'ip', at.at('hostAliases'), warn);
  warnOfRepeats(spec.imagePullSecrets ?? [], 'name', at.at('imagePullSecrets'), warn);
  for (const [index, secret] of (spec.imagePullSecrets ?? []).entries())
    if (!secret.name) warn(at.at('imagePullSecrets').index(index).at('name'), 'invalid empty name ""');
  warnOfFractions(spec.overhead, at.at('overhead'), warn);
  visitContainers(spec, at, (container, containerAt) => {
    warnOfFractions(container.resources?.limits, containerAt.at('resources', 'limits'), warn);
    warnOfFractions(container.resources?.requests, containerAt.at('resources', 'requests'), warn);
    const names = new Set<string>();
    for (const [index, { name, value = '', valueFrom }] of (container.env ?? []).entries()) {
      // `$(NAME)` within the new value makes use of the one before.
      const isMeant = !valueFrom && value !== `$(${name})` && value.includes(`$(${name})`);
      if (names.has(name) && !isMeant)
        warn(
          containerAt.at('env').index(index),
          `hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`,
        );
      names.add(name);
    }
  });
  warnOfPorts(spec, at, warn);
  if (spec.terminationGracePeriodSeconds < 0)
    warn(at.at('terminationGracePeriodSeconds'), 'must be >= 0; negative values are invalid and will be treated as 1');
  warnOfPodAffinity(spec, at, warn);
  for (const [index, server] of (spec.dnsConfig?.nameservers ?? []).entries())
    warnOfIp(server, at.at('dnsConfig', 'nameservers').index(index), warn);
  for (const [index, { ip }] of (spec.hostAliases ?? []).entries())
    warnOfIp(ip, at.at('hostAliases').index(index).at('ip'), warn);
  return warnings;
}

export function podTemplateWarnings(template: PodTemplateSpec, base: Report): readonly string[] {
  return podWarnings(template.metadata ?? {}, template.spec, base);
}

type Warn = (at: Report, message: string) => void;

const deprecatedNodeLabels: Readonly<Record<string, string>> = {
  __proto__: null as never,
  'beta.kubernetes.io/arch': 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  'beta.kubernetes.io/os': 'deprecated since v1.14; use "kubernetes.io/os" instead',
  'failure-domain.beta.kubernetes.io/region': 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  'failure-domain.beta.kubernetes.io/zone': 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  'beta.kubernetes.io/instance-type': 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
};

const deprecatedAnnotations = {
  'scheduler.alpha.kubernetes.io/critical-pod': 'non-functional in v1.16+; use the "priorityClassName" field instead',
  'security.alpha.kubernetes.io/sysctls': 'non-functional in v1.11+; use the "sysctls" field instead',
  'security.alpha.kubernetes.io/unsafe-sysctls': 'non-functional in v1.11+; use the "sysctls" field instead',
} as const;

const deprecatedVolumes: Readonly<Partial<Record<keyof Volume, string>>> = {
  photonPersistentDisk: 'deprecated in v1.11, non-functional in v1.16+',
  gitRepo: 'deprecated in v1.11, and disabled by default in v1.33+',
  scaleIO: 'deprecated in v1.16, non-functional in v1.22+',
  flocker: 'deprecated in v1.22, non-functional in v1.25+',
  storageos: 'deprecated in v1.22, non-functional in v1.25+',
  quobyte: 'deprecated in v1.22, non-functional in v1.25+',
  glusterfs: 'deprecated in v1.25, non-functional in v1.26+',
  cephfs: 'deprecated in v1.28, non-functional in v1.31+',
  rbd: 'deprecated in v1.28, non-functional in v1.31+',
};

function warnOfNodeAffinity(spec: PodSpec, report: Report, warn: Warn): void {
  const affinity = spec.affinity?.nodeAffinity;
  const at = report.at('affinity', 'nodeAffinity');
  const required = affinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  for (const [index, term] of required.entries())
    warnOfTerm(term, at.at('requiredDuringSchedulingIgnoredDuringExecution', 'nodeSelectorTerms').index(index), warn);
  for (const [index, { preference }] of (affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries())
    warnOfPreference(
      preference,
      at.at('preferredDuringSchedulingIgnoredDuringExecution').index(index).at('preference'),
      warn,
    );
}

/** A value that no label can have is refused where it is required, not where it is preferred. */
function warnOfPreference(term: NodeSelectorTerm, report: Report, warn: Warn): void {
  warnOfTerm(term, report, warn);
  for (const [index, { values = [] }] of (term.matchExpressions ?? []).entries())
    for (const [position, value] of values.entries())
      for (const message of isLabelValue(value))
        warn(
          report.at('matchExpressions').index(index).at('values').index(position),
          `${value} is invalid, ${message}`,
        );
}

function warnOfTerm(term: NodeSelectorTerm, report: Report, warn: Warn): void {
  for (const [index, { key }] of (term.matchExpressions ?? []).entries()) {
    const message = deprecatedNodeLabels[key];
    if (message !== undefined) warn(report.at('matchExpressions').index(index).at('key'), `${key} is ${message}`);
  }
}

function warnOfRepeats<Name extends string>(
  items: readonly { readonly [Key in Name]?: string }[],
  field: Name,
  report: Report,
  warn: Warn,
): void {
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    const value = item[field] ?? '';
    if (seen.has(value)) warn(report.index(index).at(field), `duplicate ${field} ${JSON.stringify(value)}`);
    seen.add(value);
  }
}

function warnOfFractions(list: Readonly<Record<string, string>> | undefined, report: Report, warn: Warn): void {
  for (const name of ['memory', 'ephemeral-storage']) {
    const value = list?.[name];
    if (value === undefined || (parseQuantity(value)?.nano ?? 0n) % 1_000_000_000n === 0n) continue;
    warn(
      report.key(name),
      `fractional byte value ${JSON.stringify(canonicalQuantity(value))} is invalid, must be an integer`,
    );
  }
}

/** As Go prints a struct. */
function portText({ name = '', hostPort = 0, containerPort, protocol, hostIP = '' }: ContainerPort): string {
  return `{Name:${name} HostPort:${hostPort} ContainerPort:${containerPort} Protocol:${protocol} HostIP:${hostIP}}`;
}

function warnOfPorts(spec: PodSpec, report: Report, warn: Warn): void {
  const known: { readonly at: Report; readonly port: ContainerPort }[] = [];
  const names = new Map<string, string>();
  visitContainers(spec, report, (container, containerAt) => {
    for (const [index, port] of (container.ports ?? []).entries()) {
      const at = containerAt.at('ports').index(index);
      if (port.hostIP && !port.hostPort) warn(at, `hostIP set without hostPort: ${portText(port)}`);
      for (const other of known) {
        if (other.port.containerPort !== port.containerPort || other.port.protocol !== port.protocol) continue;
        const kind = overlapOf(port, other.port);
        if (kind !== undefined) warn(at, `${kind} port definition with ${other.at.path}`);
      }
      known.push({ at, port });
    }
  });
  for (const { at, port } of known) {
    if (!port.name) continue;
    const other = names.get(port.name);
    if (other === undefined) names.set(port.name, at.path);
    else
      warn(
        at,
        `duplicate port name ${JSON.stringify(port.name)} with ${other}, services and probes that select ports by name will use ${other}`,
      );
  }
}

function overlapOf(port: ContainerPort, other: ContainerPort): string | undefined {
  const [ip = '', otherIp = ''] = [port.hostIP, other.hostIP];
  const [hostPort = 0, otherHostPort = 0] = [port.hostPort, other.hostPort];
  if (ip === otherIp && hostPort === otherHostPort) return 'duplicate';
  if (hostPort === 0 || otherHostPort === 0) return 'overlapping';
  return hostPort === otherHostPort && (ip === '') !== (otherIp === '') ? 'dangerously ambiguous' : undefined;
}

function warnOfPodAffinity(spec: PodSpec, report: Report, warn: Warn): void {
  const warnOfAffinityTerm = (term: PodAffinityTerm, at: Report) => {
    if (!term.labelSelector) warn(at.at('labelSelector'), 'a null labelSelector results in matching no pod');
  };
  for (const name of ['podAffinity', 'podAntiAffinity'] as const) {
    const affinity = spec.affinity?.[name];
    const at = report.at('affinity', name);
    for (const [index, term] of (affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).entries())
      warnOfAffinityTerm(term, at.at('requiredDuringSchedulingIgnoredDuringExecution').index(index));
    for (const [index, term] of (affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries())
      warnOfAffinityTerm(
        term.podAffinityTerm,
        at.at('preferredDuringSchedulingIgnoredDuringExecution').index(index).at('podAffinityTerm'),
      );
  }
}

/** Other ways to write the same address are taken, and better not used. */
function warnOfIp(ip: string, report: Report, warn: Warn): void {
  const found = new Report(report.path);
  checkIp(ip, found);
  for (const { message } of found.errors) warn(report, message);
}
