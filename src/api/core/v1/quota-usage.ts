import type { ApiObject, Kind } from '../../machinery/kind.ts';
import { addQuantities, parseQuantity, quantityOf, zeroQuantity, type Quantity } from '../../machinery/quantity.ts';
import { resourceNameOf } from '../../machinery/kind.ts';
import { timeMs } from '../../machinery/time.ts';
import type { PersistentVolumeClaim } from './persistent-volume-claim.ts';
import type { Pod } from './pod.ts';
import { aggregateLimits, aggregateRequests, isExtendedResource, isHugePages, qosClass } from './pod-resources.ts';
import type { ResourceQuota, ResourceQuotaSpec } from './resource-quota.ts';
import type { Service } from './service.ts';

/** What one object takes of the resources that quotas count: `pods`, `requests.cpu`, `count/jobs.batch`, … */
export type Usage = ReadonlyMap<string, Quantity>;

const one = quantityOf(1);
const computeResources = new Set(['cpu', 'memory', 'ephemeral-storage']);
/** Kinds of the core group that quotas count by their plain name. */
const plainCounts = new Set([
  'configmaps',
  'persistentvolumeclaims',
  'pods',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'services',
]);

export function usageOf(kind: Kind, object: ApiObject, nowMs: number): Usage {
  const usage = new Map<string, Quantity>([[`count/${resourceNameOf(kind)}`, one]]);
  if (kind.group !== '') return usage;
  const add = (name: string, amount: Quantity) =>
    usage.set(name, addQuantities(usage.get(name) ?? zeroQuantity, amount));
  if (kind.plural === 'pods') addPod(object as Pod & ApiObject, nowMs, add);
  else if (plainCounts.has(kind.plural)) add(kind.plural, one);
  if (kind.plural === 'services') addService(object as Service & ApiObject, add);
  if (kind.plural === 'persistentvolumeclaims') addClaim(object as PersistentVolumeClaim & ApiObject, add);
  return usage;
}

/** Which of a quota's resources have to do with a kind. */
export function resourcesOfKind(kind: Kind, names: Iterable<string>): string[] {
  const count = `count/${resourceNameOf(kind)}`;
  return [...names].filter(name => {
    if (name === count) return true;
    if (kind.group !== '') return false;
    if (name === kind.plural) return plainCounts.has(name);
    switch (kind.plural) {
      case 'pods':
        return isPodResource(name);
      case 'services':
        return name.startsWith('services.');
      case 'persistentvolumeclaims':
        return name === 'requests.storage' || name.includes('.storageclass.storage.k8s.io/');
      default:
        return false;
    }
  });
}

/** Whether all the scopes of a quota hold for an object. Scopes say something of pods and of claims only. */
export function scopesHold(spec: ResourceQuotaSpec, kind: Kind, object: ApiObject): boolean {
  const requirements = [
    ...(spec.scopes ?? []).map(scopeName => ({ scopeName, operator: 'Exists', values: [] as readonly string[] })),
    ...(spec.scopeSelector?.matchExpressions ?? []).map(each => ({ ...each, values: each.values ?? [] })),
  ];
  if (requirements.length === 0) return true;
  if (kind.group !== '') return false;
  if (kind.plural === 'pods') return requirements.every(each => podScopeHolds(each, object as Pod & ApiObject));
  if (kind.plural === 'persistentvolumeclaims')
    return requirements.every(each => claimScopeHolds(each, object as PersistentVolumeClaim & ApiObject));
  return false;
}

/** A quota on cpu or memory makes every container say what it needs: what is missing, in upstream's words. */
export function missingRequests(quota: ResourceQuota, pod: Pod): string | undefined {
  const required = Object.keys(quota.status?.hard ?? {}).filter(name =>
    /^((requests|limits)\.)?(cpu|memory)$/.test(name),
  );
  const wholePod = pod.spec?.resources;
  const missing = required.sort().flatMap(name => {
    const field = name.startsWith('limits.') ? 'limits' : 'requests';
    const resource = name.replace(/^(requests|limits)\./, '');
    if (wholePod?.[field]?.[resource] !== undefined) return [];
    const silent = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]
      .filter(each => each.resources?.[field]?.[resource] === undefined)
      .map(each => each.name);
    return silent.length === 0 ? [] : [`${name} for: ${[...new Set(silent)].sort().join(',')}`];
  });
  return missing.length === 0 ? undefined : `must specify ${missing.join('; ')}`;
}

type Add = (name: string, amount: Quantity) => void;

function addPod(pod: Pod & ApiObject, nowMs: number, add: Add): void {
  // What has ended, or should have, takes nothing but its place in the store.
  if (!takesResources(pod, nowMs) || !pod.spec) return;
  add('pods', one);
  const overhead = pod.spec.overhead ?? {};
  const total = (field: 'requests' | 'limits') => {
    const sum = field === 'requests' ? aggregateRequests(pod.spec ?? {}) : aggregateLimits(pod.spec ?? {});
    return { ...sum, ...pod.spec?.resources?.[field] };
  };
  for (const [name, text] of Object.entries(total('requests'))) {
    const amount = addQuantities(quantity(text), quantity(overhead[name]));
    if (computeResources.has(name)) add(name, amount);
    if (computeResources.has(name) || isHugePages(name) || isExtendedResource(name)) add(`requests.${name}`, amount);
    if (isHugePages(name)) add(name, amount);
  }
  for (const [name, text] of Object.entries(total('limits')))
    if (computeResources.has(name)) add(`limits.${name}`, addQuantities(quantity(text), quantity(overhead[name])));
}

function takesResources({ metadata, status }: Pod & ApiObject, nowMs: number): boolean {
  if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return false;
  if (metadata.deletionTimestamp === undefined || metadata.deletionGracePeriodSeconds === undefined) return true;
  return nowMs <= timeMs(metadata.deletionTimestamp) + Number(metadata.deletionGracePeriodSeconds) * 1000;
}

function addService({ spec }: Service & ApiObject, add: Add): void {
  const ports = spec?.ports?.length ?? 0;
  if (spec?.type === 'NodePort') add('services.nodeports', quantityOf(ports));
  if (spec?.type !== 'LoadBalancer') return;
  add('services.loadbalancers', one);
  const allocates = spec.allocateLoadBalancerNodePorts !== false;
  add('services.nodeports', quantityOf(allocates ? ports : (spec.ports ?? []).filter(each => each.nodePort).length));
}

function addClaim({ metadata, spec }: PersistentVolumeClaim & ApiObject, add: Add): void {
  const className = metadata.annotations?.['volume.beta.kubernetes.io/storage-class'] ?? spec?.storageClassName ?? '';
  const storage = spec?.resources?.requests?.['storage'];
  if (storage !== undefined) add('requests.storage', quantity(storage));
  if (className === '') return;
  const prefix = `${className}.storageclass.storage.k8s.io/`;
  add(`${prefix}persistentvolumeclaims`, one);
  if (storage !== undefined) add(`${prefix}requests.storage`, quantity(storage));
}

interface ScopeRequirement {
  readonly scopeName: string;
  readonly operator: string;
  readonly values: readonly string[];
}

function podScopeHolds(requirement: ScopeRequirement, { spec }: Pod): boolean {
  switch (requirement.scopeName) {
    case 'Terminating':
      return spec?.activeDeadlineSeconds !== undefined && spec.activeDeadlineSeconds >= 0;
    case 'NotTerminating':
      return spec?.activeDeadlineSeconds === undefined || spec.activeDeadlineSeconds < 0;
    case 'BestEffort':
      return qosClass(spec ?? {}) === 'BestEffort';
    case 'NotBestEffort':
      return qosClass(spec ?? {}) !== 'BestEffort';
    case 'PriorityClass':
      return valueMatches(requirement, spec?.priorityClassName ?? '');
    case 'CrossNamespacePodAffinity':
      return usesOtherNamespaces(spec);
    default:
      return false;
  }
}

function claimScopeHolds(requirement: ScopeRequirement, { spec }: PersistentVolumeClaim): boolean {
  return (
    requirement.scopeName === 'VolumeAttributesClass' &&
    valueMatches(requirement, spec?.volumeAttributesClassName ?? '')
  );
}

function valueMatches({ operator, values }: ScopeRequirement, value: string): boolean {
  switch (operator) {
    case 'Exists':
      return value !== '';
    case 'DoesNotExist':
      return value === '';
    case 'In':
      return values.includes(value);
    case 'NotIn':
      return !values.includes(value);
    default:
      return false;
  }
}

function usesOtherNamespaces(spec: Pod['spec']): boolean {
  const { podAffinity, podAntiAffinity } = spec?.affinity ?? {};
  const terms = [podAffinity, podAntiAffinity].flatMap(each => [
    ...(each?.requiredDuringSchedulingIgnoredDuringExecution ?? []),
    ...(each?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(weighted => weighted.podAffinityTerm),
  ]);
  return terms.some(each => (each?.namespaces?.length ?? 0) > 0 || each?.namespaceSelector !== undefined);
}

function isPodResource(name: string): boolean {
  if (computeResources.has(name) || isHugePages(name)) return true;
  if (name === 'requests.storage') return false;
  return name.startsWith('requests.') || name.startsWith('limits.');
}

function quantity(text: string | undefined): Quantity {
  return (text === undefined ? undefined : parseQuantity(text)) ?? zeroQuantity;
}
