import { checkDnsLabel, checkQualifiedName, negativeMessage } from '../../machinery/checks.ts';
import { isQualifiedName } from '../../machinery/names.ts';
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  milliValue,
  parseQuantity,
  type Quantity,
  zeroQuantity,
} from '../../machinery/quantity.ts';
import type { Report } from '../../machinery/validation.ts';
import type { Container, PodSpec } from './pod-spec.ts';
import type { ResourceClaim, ResourceRequirements } from './resource-requirements.ts';

/** What a pod or container asks for, by resource. */
export type ResourceList = Readonly<Record<string, string>>;

/** Of a container. `report` stands at `resources`. */
export function validateContainerResources(
  requirements: ResourceRequirements,
  claimNames: ReadonlySet<string>,
  report: Report,
): void {
  validateRequirements(requirements, checkContainerResourceName, report);
  validateClaimUses(requirements.claims ?? [], claimNames, report.at('claims'));
}

/** Of a whole pod (KEP-2837). `report` stands at the spec. */
export function validatePodLevelResources(spec: PodSpec, claimNames: ReadonlySet<string>, report: Report): void {
  const { resources } = spec;
  if (!resources) return;
  const at = report.at('resources');
  if (spec.os?.name === 'windows') {
    at.forbidden('may not be set for a windows pod');
    return;
  }
  if (resources.claims) at.at('claims').forbidden('claims may not be set for Resources at pod-level');
  validateRequirements(resources, checkPodLevelResourceName, at);
  validateClaimUses(resources.claims ?? [], claimNames, at.at('claims'));
  for (const [name, total] of Object.entries(aggregateRequests(spec))) {
    const request = resources.requests?.[name];
    if (request !== undefined && compareTexts(total, request) > 0)
      at.at('requests')
        .key(name)
        .invalid(request, `must be greater than or equal to aggregate container requests of ${total}`);
  }
  for (const [name, total] of Object.entries(aggregateLimits(spec))) {
    const limit = resources.limits?.[name];
    if (isHugePages(name) && limit !== undefined && compareTexts(total, limit) > 0)
      at.at('limits')
        .key(name)
        .invalid(limit, `must be greater than or equal to aggregate container limits of ${total}`);
  }
  for (const [index, container] of (spec.containers ?? []).entries())
    for (const [name, limit] of Object.entries(container.resources?.limits ?? {})) {
      const most = resources.limits?.[name];
      if (most !== undefined && compareTexts(limit, most) > 0)
        at.at('containers')
          .index(index)
          .key(name)
          .at('limits')
          .invalid(limit, `must be less than or equal to pod limits of ${most}`);
    }
}

/** `overhead` of a pod or RuntimeClass. `report` stands at the list. */
export function validateOverhead(overhead: ResourceList, report: Report): void {
  validateRequirements({ limits: overhead }, checkContainerResourceName, report);
}

/** Not negative, and whole where the resource is counted. `report` stands at the entry. */
export function checkResourceQuantity(name: string, text: string, report: Report): void {
  if (quantityOrZero(text).nano < 0n) report.invalid(shownQuantity(text), negativeMessage);
  if (isCounted(name) && quantityOrZero(text).nano % 1_000_000_000n !== 0n)
    report.invalid(shownQuantity(text), 'must be an integer');
}

/** Resource names as nodes, quotas and limit ranges use them. */
export function checkResourceName(name: string, report: Report): boolean {
  const before = report.errors.length;
  checkQualifiedName(name, report);
  if (report.errors.length > before) return false;
  if (!name.includes('/') && !isStandard(name)) {
    report.invalid(name, 'must be a standard resource type or fully qualified');
    return false;
  }
  return true;
}

export function checkContainerResourceName(name: string, report: Report): void {
  checkResourceName(name, report);
  if (!name.includes('/')) {
    if (!containerResources.has(name) && !isHugePages(name))
      report.invalid(name, 'must be a standard resource for containers');
  } else if (!isNative(name) && !isExtendedResource(name))
    report.invalid(name, "doesn't follow extended resource name standard");
}

export function checkQuotaResourceName(name: string, report: Report): void {
  checkResourceName(name, report);
  if (!name.includes('/') && !isStandardForQuota(name)) report.invalid(name, 'must be a standard resource for quota');
}

export function isHugePages(name: string): boolean {
  return name.startsWith('hugepages-');
}

/** Resources of devices and the like: `example.com/gpu`. */
export function isExtendedResource(name: string): boolean {
  return !isNative(name) && !name.startsWith('requests.') && isQualifiedName(`requests.${name}`).length === 0;
}

/** Whether requests may be lower than limits. */
export function isOvercommitAllowed(name: string): boolean {
  return isNative(name) && !isHugePages(name);
}

export function isPodLevelResource(name: string): boolean {
  return name === 'cpu' || name === 'memory' || isHugePages(name);
}

export function isStandardForQuota(name: string): boolean {
  return quotaResources.has(name) || isHugePages(name) || name.startsWith('requests.hugepages-');
}

export function aggregateRequests(spec: ContainersOf): ResourceList {
  return aggregate(spec, 'requests');
}

export function aggregateLimits(spec: ContainersOf): ResourceList {
  return aggregate(spec, 'limits');
}

/** Upstream's quality of service class: who is evicted first. */
export function qosClass(spec: ContainersOf & Pick<PodSpec, 'resources'>): 'BestEffort' | 'Burstable' | 'Guaranteed' {
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map(each => each.resources ?? {});
  const podLevel = spec.resources;
  const hasPodLevel =
    podLevel !== undefined &&
    Object.keys(podLevel.requests ?? {}).length + Object.keys(podLevel.limits ?? {}).length > 0;
  const all: readonly ResourceRequirements[] = hasPodLevel ? [podLevel] : containers;
  const requests = sumOfCompute(all, 'requests');
  const limits = sumOfCompute(all, 'limits');
  if (requests.size === 0 && limits.size === 0) return 'BestEffort';
  const isLimited = all.every(each => computeResources.every(name => milliValue(each.limits?.[name]) > 0));
  const isSame = requests.size === limits.size && [...requests].every(([name, total]) => limits.get(name) === total);
  return isLimited && isSame ? 'Guaranteed' : 'Burstable';
}

/** Compares two quantities as text; what is no quantity counts as zero. */
export function compareTexts(left: string | undefined, right: string | undefined): number {
  return compareQuantities(quantityOrZero(left), quantityOrZero(right));
}

type ContainersOf = {
  readonly containers?: readonly Pick<Container, 'resources' | 'restartPolicy'>[];
  readonly initContainers?: readonly Pick<Container, 'resources' | 'restartPolicy'>[] | undefined;
};

const computeResources = ['cpu', 'memory'] as const;
const containerResources: ReadonlySet<string> = new Set(['cpu', 'memory', 'ephemeral-storage']);
const countedResources: ReadonlySet<string> = new Set([
  'pods',
  'resourcequotas',
  'services',
  'replicationcontrollers',
  'secrets',
  'configmaps',
  'persistentvolumeclaims',
  'services.nodeports',
  'services.loadbalancers',
]);
const quotaResources: ReadonlySet<string> = new Set([
  ...['', 'requests.', 'limits.'].flatMap(prefix => [...containerResources].map(name => prefix + name)),
  ...countedResources,
  'requests.storage',
]);

function isStandard(name: string): boolean {
  return name === 'storage' || isStandardForQuota(name);
}

/** Without a domain, or of Kubernetes' own. */
function isNative(name: string): boolean {
  return !name.includes('/') || name.includes('kubernetes.io/');
}

function isCounted(name: string): boolean {
  return countedResources.has(name) || isExtendedResource(name);
}

function quantityOrZero(text: string | undefined): Quantity {
  return (text === undefined ? undefined : parseQuantity(text)) ?? zeroQuantity;
}

function shownQuantity(text: string): string {
  return canonicalQuantity(text) ?? text;
}

function checkPodLevelResourceName(name: string, report: Report): void {
  if (checkResourceName(name, report) && !isPodLevelResource(name))
    report.notSupported(name, ['cpu', 'hugepages-', 'memory']);
}

function validateRequirements(
  { limits = {}, requests = {} }: Pick<ResourceRequirements, 'limits' | 'requests'>,
  checkName: (name: string, report: Report) => void,
  report: Report,
): void {
  for (const [name, limit] of Object.entries(limits)) {
    const at = report.at('limits').key(name);
    checkName(name, at);
    checkResourceQuantity(name, limit, at);
    checkHugePageMultiple(name, limit, at);
  }
  for (const [name, request] of Object.entries(requests)) {
    const at = report.at('requests').key(name);
    checkName(name, at);
    checkResourceQuantity(name, request, at);
    const limit = Object.hasOwn(limits, name) ? limits[name] : undefined;
    if (limit !== undefined) {
      const order = compareTexts(request, limit);
      if (order !== 0 && !isOvercommitAllowed(name))
        report
          .at('requests')
          .invalid(shownQuantity(request), `must be equal to ${name} limit of ${shownQuantity(limit)}`);
      else if (order > 0)
        report
          .at('requests')
          .invalid(shownQuantity(request), `must be less than or equal to ${name} limit of ${shownQuantity(limit)}`);
    } else if (!isOvercommitAllowed(name))
      report.at('limits').required('Limit must be set for non overcommitable resources');
    checkHugePageMultiple(name, request, at);
  }
  const names = [...Object.keys(limits), ...Object.keys(requests)];
  if (names.some(isHugePages) && !names.some(name => name === 'cpu' || name === 'memory'))
    report.forbidden('HugePages require cpu or memory');
}

function checkHugePageMultiple(name: string, text: string, report: Report): void {
  if (!isHugePages(name)) return;
  const page = parseQuantity(name.slice('hugepages-'.length));
  if (!page || page.nano <= 0n || quantityOrZero(text).nano % page.nano !== 0n)
    report.invalid(shownQuantity(text), `${shownQuantity(text)} is not positive integer multiple of ${name}`);
}

function validateClaimUses(claims: readonly ResourceClaim[], known: ReadonlySet<string>, report: Report): void {
  const used = new Set<string>();
  for (const [index, { name, request }] of claims.entries()) {
    const at = report.index(index);
    if (!name) {
      at.required();
      continue;
    }
    if (used.has(name)) at.duplicate(name);
    else {
      const key = request ? `${name}/${request}` : name;
      if (request) checkDnsLabel(request, at.at('request'));
      if (used.has(key)) at.duplicate(key);
      else if (!request && [...used].some(other => other.startsWith(`${name}/`))) at.duplicate(name);
      used.add(key);
    }
    if (known.has(name)) continue;
    const listed = known.size === 0 ? ' which is empty' : `: ${[...known].sort().join(', ')}`;
    at.notFound(name, `must be one of the names in pod.spec.resourceClaims${listed}`);
  }
}

/** What the pod needs at its worst moment: init containers run one by one, sidecars beside everything after them. */
function aggregate(spec: ContainersOf, kind: 'requests' | 'limits'): ResourceList {
  const total = new Map<string, Quantity>();
  const add = (into: Map<string, Quantity>, list: ResourceList | undefined) => {
    for (const [name, text] of Object.entries(list ?? {}))
      into.set(name, addQuantities(into.get(name) ?? zeroQuantity, quantityOrZero(text)));
  };
  for (const container of spec.containers ?? []) add(total, container.resources?.[kind]);
  const sidecars = new Map<string, Quantity>();
  const most = new Map<string, Quantity>();
  for (const container of spec.initContainers ?? []) {
    const moment = new Map(sidecars);
    add(moment, container.resources?.[kind]);
    if (container.restartPolicy === 'Always') {
      add(total, container.resources?.[kind]);
      add(sidecars, container.resources?.[kind]);
    }
    for (const [name, quantity] of moment)
      if (compareQuantities(quantity, most.get(name) ?? zeroQuantity) > 0) most.set(name, quantity);
  }
  for (const [name, quantity] of most)
    if (compareQuantities(quantity, total.get(name) ?? zeroQuantity) > 0) total.set(name, quantity);
  return Object.fromEntries([...total].map(([name, quantity]) => [name, formatQuantity(quantity)]));
}

function sumOfCompute(all: readonly ResourceRequirements[], kind: 'requests' | 'limits'): ReadonlyMap<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const each of all)
    for (const name of computeResources) {
      const { nano } = quantityOrZero(each[kind]?.[name]);
      if (nano > 0n) sums.set(name, (sums.get(name) ?? 0n) + nano);
    }
  return sums;
}
