import { compareQuantities, parseQuantity, zeroQuantity, type Quantity } from '#api/machinery/quantity.ts';
import type { Draft } from '#api/machinery/kind.ts';
import { LimitRange, type LimitRangeItem } from '#api/core/v1/limit-range.ts';
import { aggregateLimits, aggregateRequests } from '#api/core/v1/pod-resources.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { concerns, draftOf, forbidden, isOf, objectOf } from '../request.ts';
import type { Sources } from '../sources.ts';

type Amounts = Readonly<Record<string, string>>;

interface Demand {
  readonly requests: Amounts;
  readonly limits: Amounts;
}

/** Default, least and greatest resources of the containers, pods and claims of a namespace. */
export function limitRanger({ informers }: Sources): AdmissionPlugin {
  const ranges = informers.of(LimitRange);
  const rangesIn = (namespace: string) =>
    [...ranges.inNamespace(namespace).values()].map(range => range.spec?.limits ?? []);
  return {
    name: 'LimitRanger',
    handles: request =>
      concerns(request, Pod, 'CREATE') ||
      concerns(request, PersistentVolumeClaim, 'CREATE', 'UPDATE') ||
      (isOf(request, Pod) && request.operation === 'UPDATE' && request.subresource === 'resize'),
    admit(request) {
      if (!isOf(request, Pod) || request.operation !== 'CREATE') return;
      const defaults = rangesIn(request.namespace).map(limits => limits.filter(each => each.type === 'Container'));
      if (defaults.some(limits => limits.length > 0)) fillIn(draftOf(Pod, request), defaults);
    },
    validate(request) {
      // What is going away is not held to anything any more.
      if (request.object?.metadata.deletionTimestamp !== undefined) return;
      for (const limits of rangesIn(request.namespace)) {
        const broken = isOf(request, Pod)
          ? brokenByPod(objectOf(Pod, request), limits)
          : brokenByClaim(objectOf(PersistentVolumeClaim, request), limits);
        refuse(request, broken);
      }
    },
  };
}

function refuse(request: AdmissionRequest, broken: readonly string[]): void {
  if (broken.length === 1) throw forbidden(request, broken[0] ?? '');
  if (broken.length > 1) throw forbidden(request, `[${broken.join(', ')}]`);
}

function fillIn(pod: Draft<Pod>, defaults: readonly (readonly LimitRangeItem[])[]): void {
  const limits = merged(defaults.map(items => items.map(each => each.default ?? {})));
  const requests = merged(defaults.map(items => items.map(each => each.defaultRequest ?? {})));
  const notes: string[] = [];
  const groups = [
    ['container', pod.spec?.containers ?? []],
    ['init container', pod.spec?.initContainers ?? []],
  ] as const;
  for (const [what, containers] of groups)
    for (const container of containers) {
      container.resources ??= {};
      const missing = (wanted: Amounts, present: Amounts | undefined) =>
        Object.keys(wanted).filter(key => !Object.hasOwn(present ?? {}, key));
      const noRequests = missing(requests, container.resources.requests);
      const noLimits = missing(limits, container.resources.limits);
      if (noRequests.length > 0) {
        container.resources.requests = { ...pick(requests, noRequests), ...container.resources.requests };
        notes.push(`${noRequests.sort().join(', ')} request for ${what} ${container.name}`);
      }
      if (noLimits.length > 0) {
        container.resources.limits = { ...pick(limits, noLimits), ...container.resources.limits };
        notes.push(`${noLimits.sort().join(', ')} limit for ${what} ${container.name}`);
      }
    }
  if (notes.length === 0) return;
  pod.metadata.annotations = {
    ...pod.metadata.annotations,
    'kubernetes.io/limit-ranger': `LimitRanger plugin set: ${notes.join('; ')}`,
  };
}

/** The first range that names a resource counts, and the last of its items. */
function merged(ranges: readonly (readonly Amounts[])[]): Amounts {
  const result = Object.create(null) as Record<string, string>;
  for (const items of ranges)
    for (const [key, value] of items.flatMap(each => Object.entries(each)).reverse()) result[key] ??= value;
  return result;
}

function pick(from: Amounts, keys: readonly string[]): Record<string, string> {
  return Object.fromEntries(keys.map(key => [key, from[key] ?? '0']));
}

function brokenByPod(pod: Pod, limits: readonly LimitRangeItem[]): string[] {
  const demandOf = (container: {
    readonly resources?: { readonly requests?: Amounts | undefined; readonly limits?: Amounts | undefined } | undefined;
  }): Demand => ({ requests: container.resources?.requests ?? {}, limits: container.resources?.limits ?? {} });
  const containers = (pod.spec?.containers ?? []).map(demandOf);
  const initContainers = (pod.spec?.initContainers ?? []).map(demandOf);
  return limits.flatMap(limit => {
    if (limit.type === 'Container')
      return [...containers, ...initContainers].flatMap(demand => brokenBy(demand, limit));
    if (limit.type === 'Pod') return brokenBy(totalOf(pod), limit);
    return [];
  });
}

function brokenByClaim(claim: PersistentVolumeClaim, limits: readonly LimitRangeItem[]): string[] {
  const requests = claim.spec?.resources?.requests ?? {};
  return limits
    .filter(limit => limit.type === 'PersistentVolumeClaim')
    .flatMap(limit => [
      ...Object.entries(limit.min ?? {}).flatMap(([name, least]) => belowLeast(limit.type, name, least, requests, {})),
      // A claim has requests only, so that a missing limit is no fault.
      ...Object.entries(limit.max ?? {}).flatMap(([name, most]) => {
        const request = quantityIn(requests, name);
        return request && compareQuantities(request, quantity(most)) > 0
          ? [`maximum ${name} usage per ${limit.type} is ${most}, but request is ${requests[name]}`]
          : [];
      }),
    ]);
}

function brokenBy(demand: Demand, limit: LimitRangeItem): string[] {
  const { requests, limits } = demand;
  return [
    ...Object.entries(limit.min ?? {}).flatMap(([name, least]) =>
      belowLeast(limit.type, name, least, requests, limits),
    ),
    ...Object.entries(limit.max ?? {}).flatMap(([name, most]) => aboveMost(limit.type, name, most, requests, limits)),
    ...Object.entries(limit.maxLimitRequestRatio ?? {}).flatMap(([name, ratio]) =>
      aboveRatio(limit.type, name, ratio, requests, limits),
    ),
  ];
}

function belowLeast(type: string, name: string, least: string, requests: Amounts, limits: Amounts): string[] {
  const [request, limit] = [quantityIn(requests, name), quantityIn(limits, name)];
  const what = `minimum ${name} usage per ${type} is ${least}`;
  if (!request) return [`${what}.  No request is specified`];
  if (compareQuantities(request, quantity(least)) < 0) return [`${what}, but request is ${requests[name]}`];
  if (limit && compareQuantities(limit, quantity(least)) < 0) return [`${what}, but limit is ${limits[name]}`];
  return [];
}

function aboveMost(type: string, name: string, most: string, requests: Amounts, limits: Amounts): string[] {
  const [request, limit] = [quantityIn(requests, name), quantityIn(limits, name)];
  const what = `maximum ${name} usage per ${type} is ${most}`;
  if (!limit) return [`${what}.  No limit is specified`];
  if (compareQuantities(limit, quantity(most)) > 0) return [`${what}, but limit is ${limits[name]}`];
  if (request && compareQuantities(request, quantity(most)) > 0) return [`${what}, but request is ${requests[name]}`];
  return [];
}

function aboveRatio(type: string, name: string, most: string, requests: Amounts, limits: Amounts): string[] {
  const [request, limit] = [quantityIn(requests, name), quantityIn(limits, name)];
  const what = `${name} max limit to request ratio per ${type} is ${most}`;
  if (!request || request.nano === 0n) return [`${what}, but no request is specified or request is 0`];
  if (!limit || limit.nano === 0n) return [`${what}, but no limit is specified or limit is 0`];
  const ratio = Number(limit.nano) / Number(request.nano);
  return ratio > Number(quantity(most).nano) / 1e9 ? [`${what}, but provided ratio is ${ratio.toFixed(6)}`] : [];
}

/** What a whole pod asks for: its containers and sidecars together, or its greediest init container. */
function totalOf({ spec }: Pod): Demand {
  return { requests: aggregateRequests(spec ?? {}), limits: aggregateLimits(spec ?? {}) };
}

function quantityIn(amounts: Amounts, name: string): Quantity | undefined {
  return Object.hasOwn(amounts, name) ? quantity(amounts[name] ?? '') : undefined;
}

function quantity(text: string): Quantity {
  return parseQuantity(text) ?? zeroQuantity;
}
