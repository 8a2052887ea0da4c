import type { Deployment } from '#api/apps/v1/deployment.ts';
import type { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import type { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import type { Change, History } from './history.ts';

/** For how long a component may still act by what it has seen last: a stalled watch, a lost leader that does not know it yet. */
export const staleMsMax = 60_000;

/** Holds at every single change what must hold at every moment, faults or not. */
export function watchAlways(history: History): void {
  const deployments = new Memory();
  const quotas = new Memory();
  const disturbed = new Map<string, number[]>();

  history.listen(change => {
    switch (change.resource) {
      case 'deployments.apps':
        remember(change);
        break;
      case 'replicasets.apps':
        checkSurge(change);
        break;
      case 'resourcequotas':
        rememberQuota(change);
        break;
      case 'pods':
        checkPod(change);
        checkQuota(change, 'pods');
        checkBudget(change);
        break;
      case 'configmaps':
        checkQuota(change, 'count/configmaps');
        break;
      default:
    }
    checkMetadata(change);
  });

  /** An object keeps its identity, and its generation only grows. */
  function checkMetadata({ type, resource, key, object, previous }: Change): void {
    if (type !== 'put' || !previous) return;
    if (object.metadata.uid !== previous.metadata.uid)
      history.problem(`${resource}/${key} changes its uid without being deleted`);
    if ((object.metadata.generation ?? 0) < (previous.metadata.generation ?? 0))
      history.problem(`the generation of ${resource}/${key} goes back`);
    if (previous.metadata.deletionTimestamp !== undefined && object.metadata.deletionTimestamp === undefined)
      history.problem(`${resource}/${key} was being deleted, and is not any more`);
  }

  function remember({ type, object, atMs }: Change): void {
    const { spec } = object as Deployment;
    if (type === 'delete' || !spec) return;
    const { maxSurge = 0 } = spec.strategy?.rollingUpdate ?? {};
    deployments.note(object.metadata.uid ?? '', (spec.replicas ?? 1) + Number(maxSurge), atMs);
  }

  /** More pods than wanted and the surge are never asked for. */
  function checkSurge({ type, object, previous, key, atMs }: Change): void {
    const { spec, metadata } = object as ReplicaSet;
    const owner = metadata.ownerReferences?.find(each => each.controller);
    if (atMs < history.staleUntilMs) return;
    if (type !== 'put' || !owner || (spec?.replicas ?? 0) <= ((previous as ReplicaSet)?.spec?.replicas ?? 0)) return;
    let sum = 0;
    for (const other of history.of<ReplicaSet>('replicasets.apps').values())
      if (other.metadata.ownerReferences?.some(({ uid }) => uid === owner.uid)) sum += other.spec?.replicas ?? 0;
    const most = deployments.most(owner.uid, atMs);
    if (most !== undefined && sum > most)
      history.problem(`replicasets.apps/${key}: its deployment asks for ${sum} pods where ${most} are the most`);
  }

  function rememberQuota({ type, object, key, atMs }: Change): void {
    const { spec } = object as ResourceQuota;
    for (const [name, value] of Object.entries(spec?.hard ?? {}))
      if (type === 'put') quotas.note(`${key} ${name}`, Number(value), atMs);
  }

  function checkQuota({ type, object, previous, key, atMs, resource }: Change, counted: string): void {
    if (type !== 'put' || previous || atMs < history.staleUntilMs) return;
    const { namespace = '' } = object.metadata;
    for (const quota of history.of<ResourceQuota>('resourcequotas').values()) {
      if (quota.metadata.namespace !== namespace) continue;
      // Until its use has been counted for the first time it admits nothing that it counts, but what is on its way may pass.
      const madeMs = Date.parse(String(quota.metadata.creationTimestamp));
      if (quota.status?.hard?.[counted] === undefined || atMs - madeMs < staleMsMax) continue;
      const most = quotas.most(`${namespace}/${quota.metadata.name} ${counted}`, atMs);
      let count = 0;
      for (const each of history.of<ApiObject>(resource).values())
        if (each.metadata.namespace === namespace && !isOver(each) && !isNew(each, atMs)) count++;
      if (most !== undefined && count > most)
        history.problem(`${resource}/${key} is number ${count} in its namespace, where ${most} are the most`);
    }
  }

  function checkPod({ type, object, previous, key }: Change): void {
    const pod = object as Pod;
    const before = previous as Pod | undefined;
    if (type === 'put' && before?.spec?.nodeName && pod.spec?.nodeName !== before.spec.nodeName)
      history.problem(`pods/${key} moves from ${before.spec.nodeName} to ${pod.spec?.nodeName}`);
    if (before && isOver(before) && pod.status?.phase !== before.status?.phase)
      history.problem(`pods/${key} was ${before.status?.phase}, and is ${pod.status?.phase}`);
    // Nobody but its node says that a pod is gone, while the node lives.
    if (
      type === 'delete' &&
      before?.spec?.nodeName &&
      before.metadata.deletionTimestamp === undefined &&
      !isOver(before)
    )
      history.problem(`pods/${key} goes from ${before.spec.nodeName} without having been asked to stop`);
  }

  /** An eviction leaves as many healthy pods as its budget demands. */
  function checkBudget({ type, object, previous, key, atMs }: Change): void {
    const pod = object as Pod;
    const before = previous as Pod | undefined;
    const { namespace = '', labels = {} } = pod.metadata;
    const app = labels.app ?? '';
    if (!app) return;
    const id = `${namespace}/${app}`;
    const wasHealthy = before !== undefined && isHealthy(before);
    if (!wasHealthy || (type === 'put' && isHealthy(pod))) return;
    const isEvicted =
      pod.metadata.deletionTimestamp !== undefined &&
      pod.status?.conditions?.some(
        ({ type: name, reason }) => name === 'DisruptionTarget' && reason === 'EvictionByEvictionAPI',
      );
    if (!isEvicted) {
      const others = disturbed.get(id) ?? [];
      others.push(atMs);
      disturbed.set(id, others);
      return;
    }
    if (atMs < history.staleUntilMs) return;
    for (const budget of history.of<PodDisruptionBudget>('poddisruptionbudgets.policy').values()) {
      if (budget.metadata.namespace !== namespace || budget.spec?.selector?.matchLabels?.app !== app) continue;
      const wanted = budget.spec.minAvailable;
      if (typeof wanted !== 'number') continue;
      let healthy = 0;
      for (const each of history.of<Pod>('pods').values())
        if (each.metadata.namespace === namespace && each.metadata.labels?.app === app && isHealthy(each)) healthy++;
      // What else took pods away lately, the budget had no say in, and may not have heard of.
      const others = (disturbed.get(id) ?? []).filter(each => atMs - each < staleMsMax).length;
      if (healthy + others < wanted)
        history.problem(`the eviction of ${key} leaves ${healthy} healthy pods where ${wanted} are the least`);
    }
  }
}

/** The values that something has had lately. */
class Memory {
  readonly #values = new Map<string, { readonly value: number; readonly atMs: number }[]>();

  note(key: string, value: number, atMs: number): void {
    const values = this.#values.get(key) ?? [];
    if (values.at(-1)?.value !== value) values.push({ value, atMs });
    this.#values.set(key, values);
  }

  /** The greatest of the last and of those that were the last not long ago. */
  most(key: string, atMs: number): number | undefined {
    const values = this.#values.get(key);
    if (!values) return undefined;
    let most = values.at(-1)?.value ?? 0;
    for (let at = values.length - 2; at >= 0; at--) {
      if (atMs - (values[at + 1]?.atMs ?? 0) > staleMsMax) break;
      most = Math.max(most, values[at]?.value ?? 0);
    }
    return most;
  }
}

/** The recount of a quota may not know what was made just now, and lets one more pass: upstream's does so, too. */
function isNew({ metadata }: ApiObject, atMs: number): boolean {
  return atMs - Date.parse(String(metadata.creationTimestamp)) < 10_000;
}

function isOver(object: ApiObject): boolean {
  const { phase } = (object as Pod).status ?? {};
  return phase === 'Succeeded' || phase === 'Failed';
}

export function isHealthy({ metadata, status }: Pod): boolean {
  return (
    metadata.deletionTimestamp === undefined &&
    status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true
  );
}
