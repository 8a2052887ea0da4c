import type { DaemonSet } from '#api/apps/v1/daemon-set.ts';
import type { Deployment } from '#api/apps/v1/deployment.ts';
import type { StatefulSet } from '#api/apps/v1/stateful-set.ts';
import type { Job } from '#api/batch/v1/job.ts';
import type { Node } from '#api/core/v1/node.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { ResourceQuota } from '#api/core/v1/resource-quota.ts';
import type { Service } from '#api/core/v1/service.ts';
import type { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import type { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import { isHealthy } from './always.ts';
import type { History } from './history.ts';

/** What is not yet as it is wanted, each as a sentence; nothing, once everything has come to rest. */
export function unfinished(history: History): readonly string[] {
  const found: string[] = [];
  const pods = [...history.of<Pod>('pods').values()];
  const owned = new Map<string, Pod[]>();
  for (const pod of pods) {
    const owner = pod.metadata.ownerReferences?.find(({ controller }) => controller)?.uid ?? '';
    owned.set(owner, [...(owned.get(owner) ?? []), pod]);
  }
  const podsOf = ({ metadata }: ApiObject) => owned.get(metadata.uid ?? '') ?? [];
  const isFull = fullNamespaces(history, pods);

  for (const node of history.of<Node>('nodes').values()) {
    const ready = node.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
    if (ready !== 'True') found.push(`node ${node.metadata.name} is not ready`);
    for (const { key } of node.spec?.taints ?? []) found.push(`node ${node.metadata.name} has the taint ${key}`);
  }
  for (const [key, deployment] of history.of<Deployment>('deployments.apps')) {
    const { spec, status = {}, metadata } = deployment;
    const wanted = spec?.replicas ?? 1;
    if (status.observedGeneration !== metadata.generation) found.push(`deployment ${key} has not been looked at`);
    else if (isFull(metadata.namespace ?? '')) continue;
    else if ([status.replicas, status.updatedReplicas, status.availableReplicas].some(count => (count ?? 0) !== wanted))
      found.push(
        `deployment ${key} has ${status.replicas}/${status.updatedReplicas}/${status.availableReplicas} of ${wanted} pods`,
      );
  }
  for (const [key, set] of history.of<StatefulSet>('statefulsets.apps')) {
    const { spec, status, metadata } = set;
    const wanted = spec?.replicas ?? 1;
    if (status?.observedGeneration !== metadata.generation) found.push(`stateful set ${key} has not been looked at`);
    else if (isFull(metadata.namespace ?? '')) continue;
    else if (podsOf(set).filter(isHealthy).length !== wanted || (status?.readyReplicas ?? 0) !== wanted)
      found.push(`stateful set ${key} has ${podsOf(set).length} pods, ${status?.readyReplicas} ready, of ${wanted}`);
    else if (wanted > 0 && (status?.updatedReplicas ?? 0) !== wanted)
      found.push(`stateful set ${key} has ${status?.updatedReplicas} updated of ${wanted}`);
  }
  for (const [key, set] of history.of<DaemonSet>('daemonsets.apps')) {
    const { status, metadata } = set;
    if (status?.observedGeneration !== metadata.generation) found.push(`daemon set ${key} has not been looked at`);
    else if (isFull(metadata.namespace ?? '')) continue;
    else if (
      status.numberReady !== history.of('nodes').size ||
      status.updatedNumberScheduled !== history.of('nodes').size
    )
      found.push(`daemon set ${key} is ready on ${status.numberReady} nodes, ${status.updatedNumberScheduled} updated`);
  }
  for (const [key, job] of history.of<Job>('jobs.batch')) {
    const { spec, status, metadata } = job;
    const done = status?.conditions?.some(
      ({ type, status: is }) => ['Complete', 'Failed'].includes(type) && is === 'True',
    );
    if (!done && !isFull(metadata.namespace ?? '')) found.push(`job ${key} is not done: ${JSON.stringify(status)}`);
    const indexes = podsOf(job)
      .filter(({ status: is }) => is?.phase === 'Running' || is?.phase === 'Pending')
      .map(pod => pod.metadata.annotations?.['batch.kubernetes.io/job-completion-index']);
    if (spec?.completionMode === 'Indexed' && new Set(indexes).size !== indexes.length)
      found.push(`job ${key} has two pods with one index: ${indexes.join(' ')}`);
  }
  for (const [key, pod] of history.of<Pod>('pods')) {
    const { phase } = pod.status ?? {};
    if (pod.metadata.deletionTimestamp !== undefined) found.push(`pod ${key} is still being deleted`);
    // By chance it may ask for what no node has.
    else if (isSpecimen(pod) && pod.spec?.nodeName === undefined) continue;
    else if (phase === 'Running' ? !isHealthy(pod) : phase !== 'Succeeded' && phase !== 'Failed')
      found.push(`pod ${key} on ${pod.spec?.nodeName} is ${phase}, and not ready`);
  }
  findOrphans(history, found);
  for (const [key, service] of history.of<Service>('services')) {
    const app = service.spec?.selector?.app;
    if (app === undefined) continue;
    const { namespace = '' } = service.metadata;
    const wanted = pods
      .filter(pod => pod.metadata.namespace === namespace && pod.metadata.labels?.app === app && isHealthy(pod))
      .map(({ metadata }) => metadata.name)
      .toSorted();
    const there = [...history.of<EndpointSlice>('endpointslices.discovery.k8s.io').values()]
      .filter(
        ({ metadata }) =>
          metadata.namespace === namespace && metadata.labels?.['kubernetes.io/service-name'] === service.metadata.name,
      )
      .flatMap(({ endpoints }) => endpoints ?? [])
      .filter(({ conditions }) => conditions?.ready)
      .map(({ targetRef }) => targetRef?.name)
      .toSorted();
    if (wanted.join() !== there.join()) found.push(`service ${key} leads to ${there.join()}, not to ${wanted.join()}`);
  }
  for (const [key, { spec, status, metadata }] of history.of<PodDisruptionBudget>('poddisruptionbudgets.policy')) {
    const app = spec?.selector?.matchLabels?.app;
    const healthy = pods.filter(
      pod => pod.metadata.namespace === metadata.namespace && pod.metadata.labels?.app === app && isHealthy(pod),
    ).length;
    if (status?.observedGeneration !== metadata.generation) found.push(`budget ${key} has not been looked at`);
    else if (status.currentHealthy !== healthy)
      found.push(`budget ${key} counts ${status.currentHealthy} healthy pods of ${healthy}`);
  }
  findAddressesTwice(history, pods, found);
  return found;
}

function isSpecimen({ metadata }: Pod): boolean {
  return metadata.name?.startsWith('specimen-') === true;
}

/** Namespaces whose quota of pods is used up: what wants more there waits, and rightly so. */
function fullNamespaces(history: History, pods: readonly Pod[]): (namespace: string) => boolean {
  const full = new Set<string>();
  for (const { metadata, status } of history.of<ResourceQuota>('resourcequotas').values()) {
    const { namespace = '' } = metadata;
    const count = pods.filter(
      pod =>
        pod.metadata.namespace === namespace && pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed',
    ).length;
    if (count >= Number(status?.hard?.pods ?? Number.POSITIVE_INFINITY)) full.add(namespace);
  }
  return namespace => full.has(namespace);
}

/** Whatever has owners has one that is there, and what is in a namespace has that. */
function findOrphans(history: History, found: string[]): void {
  const uids = new Set<string>();
  for (const resource of history.resources)
    for (const { metadata } of history.of<ApiObject>(resource).values()) uids.add(metadata.uid ?? '');
  for (const resource of history.resources) {
    if (resource === 'events' || resource === 'events.events.k8s.io') continue;
    for (const [key, { metadata }] of history.of<ApiObject>(resource)) {
      const { ownerReferences = [], namespace } = metadata;
      if (ownerReferences.length > 0 && !ownerReferences.some(({ uid }) => uids.has(uid)))
        found.push(`${resource}/${key} is left of an owner that is gone`);
      if (namespace && !history.of('namespaces').has(namespace))
        found.push(`${resource}/${key} is in a namespace that is gone`);
      if (metadata.deletionTimestamp !== undefined && resource !== 'pods')
        found.push(`${resource}/${key} is still being deleted: ${metadata.finalizers?.join()}`);
    }
  }
  for (const [key, quota] of history.of<ResourceQuota>('resourcequotas')) {
    const { namespace } = quota.metadata;
    for (const [counted, resource] of [
      ['pods', 'pods'],
      ['count/configmaps', 'configmaps'],
    ] as const) {
      if (quota.spec?.hard?.[counted] === undefined) continue;
      const count = [...history.of<Pod>(resource).values()].filter(
        each =>
          each.metadata.namespace === namespace &&
          each.status?.phase !== 'Succeeded' &&
          each.status?.phase !== 'Failed',
      ).length;
      if (Number(quota.status?.used?.[counted]) !== count)
        found.push(`quota ${key} counts ${quota.status?.used?.[counted]} ${resource}, of ${count}`);
    }
  }
}

function findAddressesTwice(history: History, pods: readonly Pod[], found: string[]): void {
  const holders = new Map<string, string>();
  const hold = (address: string | undefined, who: string) => {
    if (address === undefined || address === '' || address === 'None') return;
    const other = holders.get(address);
    if (other !== undefined) found.push(`${who} and ${other} have the address ${address}`);
    holders.set(address, who);
  };
  for (const [key, { spec }] of history.of<Service>('services')) hold(spec?.clusterIP, `service ${key}`);
  for (const { metadata, status } of pods)
    if (status?.phase === 'Running') hold(status.podIP, `pod ${metadata.namespace}/${metadata.name}`);
}
