import { errors, isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  subtractQuantities,
  zeroQuantity,
  type Quantity,
} from '#api/machinery/quantity.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import { missingRequests, resourcesOfKind, scopesHold, usageOf, type Usage } from '#api/core/v1/quota-usage.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import type { LimitedResource } from '../configuration.ts';
import { forbidden } from '../request.ts';
import type { Sources } from '../sources.ts';

/** A charge that lost against another writer of the quota's status is tried again so often. */
const attemptsMax = 10;

/**
 * Charges what is created to the quotas of its namespace before it is stored. Charges of one namespace are made together,
 * one batch after another, so that creates in parallel never overshoot; the quota controller gives back what has gone.
 */
export function resourceQuota(sources: Sources, limited: readonly LimitedResource[] = []): AdmissionPlugin {
  const quotas = sources.informers.of(ResourceQuota);
  /** What this plugin wrote last: an informer may be a moment behind. */
  const written = new Map<string, ResourceQuota>();
  const batches = new Map<string, Batch>();
  const current = (namespace: string) =>
    [...quotas.inNamespace(namespace).values()].map(each => newer(each, written.get(keyOf(each))));
  quotas.subscribe({
    deleted: quota => void written.delete(keyOf(quota)),
    updated: quota => {
      if (newer(quota, written.get(keyOf(quota))) === quota) written.delete(keyOf(quota));
    },
  });
  const settle = (namespace: string, batch: Batch) =>
    charge(sources, namespace, batch.waiting, current, written, limited);
  return {
    name: 'ResourceQuota',
    handles: ({ operation, kind, namespace, subresource }) => {
      if (namespace === '' || kind.namespaced === false) return false;
      if (quotas.inNamespace(namespace).size === 0 && !limited.some(each => isLimited(each, kind))) return false;
      if (operation === 'CREATE') return subresource === '';
      const changes = kind.group === '' && ['services', 'persistentvolumeclaims', 'pods'].includes(kind.plural);
      return operation === 'UPDATE' && changes && (subresource === '' || subresource === 'resize');
    },
    async validate(request) {
      const { namespace } = request;
      let batch = batches.get(namespace);
      if (!batch || batch.started) {
        const before = batch?.done ?? Promise.resolve();
        const next: Batch = { waiting: [], started: false, done: Promise.resolve() };
        next.done = before.then(async () => {
          next.started = true;
          await settle(namespace, next);
          if (batches.get(namespace) === next) batches.delete(namespace);
        });
        batches.set(namespace, next);
        batch = next;
      }
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      batch.waiting.push({ request, resolve, reject });
      return promise;
    },
  };
}

interface Charge {
  readonly request: AdmissionRequest;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Batch {
  readonly waiting: Charge[];
  started: boolean;
  done: Promise<void>;
}

/** Never rejects: every charge gets its answer. */
async function charge(
  sources: Sources,
  namespace: string,
  waiting: readonly Charge[],
  current: (namespace: string) => ResourceQuota[],
  written: Map<string, ResourceQuota>,
  limited: readonly LimitedResource[],
): Promise<void> {
  let open = waiting;
  for (let attempt = 0; open.length > 0 && attempt < attemptsMax; attempt++) {
    const ledger = new Map(
      current(namespace).map(each => [keyOf(each), { quota: each, used: usedOf(each), changed: false }]),
    );
    const passed: Charge[] = [];
    for (const each of open) {
      try {
        take(each.request, ledger, limited, sources.clock.now());
        passed.push(each);
      } catch (error) {
        each.reject(error);
      }
    }
    const stale = await write(sources, ledger, written);
    if (stale instanceof Error) {
      for (const each of passed) each.reject(stale);
      return;
    }
    if (!stale) {
      for (const each of passed) each.resolve();
      return;
    }
    open = passed;
  }
  for (const { request, reject } of open)
    reject(forbidden(request, 'unable to update the usage of a quota: it keeps changing'));
}

interface Account {
  readonly quota: ResourceQuota;
  readonly used: Map<string, Quantity>;
  changed: boolean;
}

/** Adds one request's usage to every account it concerns, or to none: throws Forbidden. */
function take(
  request: AdmissionRequest,
  ledger: ReadonlyMap<string, Account>,
  limited: readonly LimitedResource[],
  nowMs: number,
): void {
  const { kind, object, old } = request;
  if (!object) return;
  const usage = usageOf(kind, object, nowMs);
  const charges: { readonly account: Account; readonly amounts: ReadonlyMap<string, Quantity> }[] = [];
  const covered = new Set<string>();
  const coveredScopes = new Set<string>();
  for (const account of ledger.values()) {
    const { quota } = account;
    const hard = quota.status?.hard ?? {};
    const concerned = resourcesOfKind(kind, Object.keys(hard));
    if (limited.length > 0)
      for (const scope of scopesOf(quota.spec ?? {}))
        if (scopesHold({ scopeSelector: { matchExpressions: [scope] } }, kind, object))
          coveredScopes.add(scope.scopeName);
    if (concerned.length === 0 || !scopesHold(quota.spec ?? {}, kind, object)) continue;
    const missing =
      kind.group === '' && kind.plural === 'pods' ? missingRequests(quota, object as Pod & ApiObject) : undefined;
    if (missing !== undefined) throw forbidden(request, `failed quota: ${quota.metadata.name}: ${missing}`);
    if (concerned.some(name => !account.used.has(name)))
      throw forbidden(
        request,
        `status unknown for quota: ${quota.metadata.name}, resources: ${concerned.sort().join(',')}`,
      );
    for (const name of concerned) covered.add(name);
    const before = old && scopesHold(quota.spec ?? {}, kind, old) ? usageOf(kind, old, nowMs) : undefined;
    const amounts = new Map<string, Quantity>();
    for (const name of concerned) {
      const amount = usage.get(name) ?? zeroQuantity;
      const more = before ? subtractQuantities(amount, before.get(name) ?? zeroQuantity) : amount;
      if (more.nano > 0n) amounts.set(name, more);
    }
    checkHard(request, quota, account.used, amounts);
    if (amounts.size > 0) charges.push({ account, amounts });
  }
  if (limited.length > 0 && hasGrown(kind, usage, old, nowMs))
    checkLimited(request, limited, usage, covered, coveredScopes);
  for (const { account, amounts } of charges) {
    if (request.dryRun) continue;
    for (const [name, amount] of amounts)
      account.used.set(name, addQuantities(account.used.get(name) ?? zeroQuantity, amount));
    account.changed = true;
  }
}

function isLimited({ apiGroup, resource, matchScopes }: LimitedResource, kind: Kind): boolean {
  return matchScopes.length > 0 || (apiGroup === kind.group && resource === kind.plural);
}

function hasGrown(kind: Kind, usage: Usage, old: ApiObject | undefined, nowMs: number): boolean {
  if (!old) return true;
  const before = usageOf(kind, old, nowMs);
  return [...usage].some(([name, amount]) => compareQuantities(amount, before.get(name) ?? zeroQuantity) > 0);
}

/** What may be used only where a quota counts it is refused where none does. */
function checkLimited(
  request: AdmissionRequest,
  limited: readonly LimitedResource[],
  usage: Usage,
  covered: ReadonlySet<string>,
  coveredScopes: ReadonlySet<string>,
): void {
  const { kind, object } = request;
  if (!object) return;
  const own = limited.filter(({ apiGroup, resource }) => apiGroup === kind.group && resource === kind.plural);
  const uncovered = [...usage]
    .filter(([name, amount]) => amount.nano > 0n && !covered.has(name))
    .map(([name]) => name)
    .filter(name => own.some(({ matchContains }) => matchContains.some(part => name.includes(part))));
  if (uncovered.length > 0) throw forbidden(request, `insufficient quota to consume: ${uncovered.sort().join(',')}`);
  const scopes = limited
    .flatMap(({ matchScopes }) => matchScopes)
    .filter(scope => scopesHold({ scopeSelector: { matchExpressions: [scope] } }, kind, object))
    .filter(({ scopeName }) => !coveredScopes.has(scopeName));
  if (scopes.length === 0) return;
  const listed = scopes.map(
    ({ scopeName, operator, values = [] }) => `{${scopeName} ${operator} [${values.join(' ')}]}`,
  );
  throw errors.other('', `insufficient quota to match these scopes: [${listed.join(' ')}]`, undefined, 500);
}

function scopesOf({ scopes = [], scopeSelector }: NonNullable<ResourceQuota['spec']>) {
  return [...scopes.map(scopeName => ({ scopeName, operator: 'Exists' })), ...(scopeSelector?.matchExpressions ?? [])];
}

function checkHard(
  request: AdmissionRequest,
  quota: ResourceQuota,
  used: ReadonlyMap<string, Quantity>,
  amounts: ReadonlyMap<string, Quantity>,
): void {
  const hard = quota.status?.hard ?? {};
  const exceeded = [...amounts.keys()]
    .filter(name => {
      const total = addQuantities(used.get(name) ?? zeroQuantity, amounts.get(name) ?? zeroQuantity);
      return compareQuantities(total, quantity(hard[name])) > 0;
    })
    .sort();
  if (exceeded.length === 0) return;
  const list = (of: (name: string) => Quantity | undefined) =>
    exceeded.map(name => `${name}=${formatQuantity(of(name) ?? zeroQuantity)}`).join(',');
  throw forbidden(
    request,
    `exceeded quota: ${quota.metadata.name}, requested: ${list(name => amounts.get(name))}, used: ${list(name => used.get(name))}, limited: ${list(name => quantity(hard[name]))}`,
  );
}

/** True: somebody else wrote a quota in between, and all has to be reckoned again. */
async function write(
  { client }: Sources,
  ledger: ReadonlyMap<string, Account>,
  written: Map<string, ResourceQuota>,
): Promise<boolean | Error> {
  for (const [key, { quota, used, changed }] of ledger) {
    if (!changed) continue;
    const { namespace = '', name = '' } = quota.metadata;
    const status = {
      ...quota.status,
      used: Object.fromEntries([...used].map(([resource, amount]) => [resource, formatQuantity(amount)])),
    };
    try {
      written.set(key, await client.update(ResourceQuota, { ...quota, status }, { namespace, subresource: 'status' }));
    } catch (error) {
      if (!isReason(error, 'Conflict', 'NotFound')) return error as Error;
      const latest = await latestOf(client, namespace, name);
      if (latest instanceof Error) return latest;
      if (latest) written.set(key, latest);
      else written.delete(key);
      return true;
    }
  }
  return false;
}

async function latestOf(
  client: Sources['client'],
  namespace: string,
  name: string,
): Promise<ResourceQuota | Error | undefined> {
  try {
    return await client.get(ResourceQuota, name, { namespace });
  } catch (error) {
    return isReason(error, 'NotFound') ? undefined : (error as Error);
  }
}

function usedOf({ status }: ResourceQuota): Map<string, Quantity> {
  return new Map(Object.entries(status?.used ?? {}).map(([name, text]) => [name, quantity(text)]));
}

function newer(known: ResourceQuota, ours: ResourceQuota | undefined): ResourceQuota {
  if (!ours || ours.metadata.uid !== known.metadata.uid) return known;
  return BigInt(ours.metadata.resourceVersion ?? '0') > BigInt(known.metadata.resourceVersion ?? '0') ? ours : known;
}

function keyOf({ metadata }: ResourceQuota): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function quantity(text: string | undefined): Quantity {
  return (text === undefined ? undefined : parseQuantity(text)) ?? zeroQuantity;
}
