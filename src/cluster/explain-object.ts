import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { Event } from '#api/core/v1/event.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { Client } from '#client/client.ts';
import { discover } from '#client/discovery.ts';
import { listAll } from '#scheduler/explain/snapshot.ts';

/** Why an object that was deleted is still there. */
export interface Deletion {
  readonly since: string;
  readonly finalizers: readonly {
    readonly name: string;
    /** Who removes it, and when. */
    readonly remover: string;
    /** The client that put it there, as managedFields know. */
    readonly setBy?: string;
  }[];
  /** What it waits for, one sentence each. */
  readonly waitsFor: readonly string[];
}

export interface Reference {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
}

/** A Warning Event: what was refused, what failed. */
export interface Warning {
  readonly about: Reference;
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  readonly last: string;
}

/** Finalizers of Kubernetes, and who removes them when. */
const removers: Readonly<Record<string, string>> = {
  foregroundDeletion: 'the garbage collector, when everything it owns (with blockOwnerDeletion) is gone',
  orphan: 'the garbage collector, when what it owns has been let go',
  kubernetes: 'the namespace controller, when everything in the namespace is gone',
  'kubernetes.io/pvc-protection': 'the volume protection controller, when no pod uses the claim',
  'kubernetes.io/pv-protection': 'the volume protection controller, when the volume is bound to no claim',
  'batch.kubernetes.io/job-tracking': 'the Job controller, when it has counted the pod',
  'service.kubernetes.io/load-balancer-cleanup': "the service controller, when the load balancer's parts are gone",
  'customresourcecleanup.apiextensions.k8s.io': 'the API server, when all objects of the kind are gone',
  'resource.kubernetes.io/delete-protection': 'the resource claim controller, when no pod has the claim reserved',
  'external-provisioner.volume.kubernetes.io/finalizer':
    "the provisioner of the volume's driver, when the volume is deleted",
};

export async function explainDeletion(client: Client, kind: Kind, object: ApiObject): Promise<Deletion | undefined> {
  const { metadata } = object;
  const since = metadata.deletionTimestamp;
  if (since === undefined) return undefined;
  const { spec, status } = object as { spec?: Record<string, unknown>; status?: Record<string, unknown> };
  const ofSpec = kind.kind === 'Namespace' ? ((spec?.finalizers ?? []) as readonly string[]) : [];
  const finalizers = [...(metadata.finalizers ?? []), ...ofSpec].map(name => {
    const setBy = managerOf(object, name);
    return { name, remover: removerOf(name), ...(setBy !== undefined && { setBy }) };
  });
  const waitsFor: string[] = [];
  if (kind.kind === 'Namespace')
    for (const { status: holds, type, message } of conditionsOf(status))
      if (holds === 'True' && type !== 'NamespaceDeletionCompleted' && message) waitsFor.push(message);
  if (metadata.finalizers?.includes('foregroundDeletion')) waitsFor.push(...(await dependentsOf(client, object)));
  if (kind.kind === 'PersistentVolumeClaim') waitsFor.push(...(await usersOf(client, object)));
  if (kind.kind === 'Pod') waitsFor.push(...(await waitsOfPod(client, object as Pod)));
  return { since, finalizers, waitsFor };
}

function removerOf(name: string): string {
  const known = Object.hasOwn(removers, name) ? removers[name] : undefined;
  if (known !== undefined) return known;
  const [domain] = name.split('/');
  return `the controller of ${domain}, which Kubernetes does not know; while it does not run, the object stays`;
}

/** Whoever owns the finalizer in `managedFields`. */
function managerOf({ metadata }: ApiObject, finalizer: string): string | undefined {
  for (const { manager, fieldsV1 } of metadata.managedFields ?? []) {
    const fields = fieldsV1 as Record<string, Record<string, Record<string, unknown>>> | undefined;
    const owned = fields?.['f:metadata']?.['f:finalizers'];
    if (owned !== undefined && Object.hasOwn(owned, `v:${JSON.stringify(finalizer)}`)) return manager;
  }
  return undefined;
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

export function conditionsOf(status: unknown): readonly Condition[] {
  const { conditions } = (status ?? {}) as { conditions?: unknown };
  return Array.isArray(conditions) ? (conditions as readonly Condition[]) : [];
}

/** Everything that the API serves and that can be listed, once. */
export async function listableKinds(client: Client): Promise<readonly Kind[]> {
  const { kinds } = await discover(client);
  return kinds.filter(
    ({ plural, verbs, group }) => verbs.includes('list') && plural !== 'events' && group !== 'metrics.k8s.io',
  );
}

async function dependentsOf(client: Client, { metadata }: ApiObject): Promise<readonly string[]> {
  const found: string[] = [];
  for (const kind of await listableKinds(client)) {
    const { namespace } = metadata;
    if (namespace !== undefined && !kind.namespaced) continue;
    const { items } = await client.list(kind, { ...(namespace !== undefined && { namespace }) });
    for (const item of items)
      for (const owner of item.metadata.ownerReferences ?? [])
        if (owner.uid === metadata.uid && owner.blockOwnerDeletion === true)
          found.push(
            `${kind.kind} ${nameOf(item)}, which it owns${item.metadata.deletionTimestamp ? ' (Terminating)' : ''}`,
          );
  }
  return found;
}

async function usersOf(client: Client, { metadata }: ApiObject): Promise<readonly string[]> {
  const { name = '', namespace = '' } = metadata;
  const { items } = await client.list(Pod, { namespace });
  return items
    .filter(
      ({ spec, status }) =>
        status.phase !== 'Succeeded' &&
        status.phase !== 'Failed' &&
        spec.volumes?.some(volume => volume.persistentVolumeClaim?.claimName === name),
    )
    .map(pod => `Pod ${nameOf(pod)}, which uses the claim`);
}

async function waitsOfPod(client: Client, pod: Pod): Promise<readonly string[]> {
  const { nodeName } = pod.spec;
  if (!nodeName) return [];
  const running = [...(pod.status.containerStatuses ?? []), ...(pod.status.initContainerStatuses ?? [])].filter(
    each => each.state?.running !== undefined,
  );
  const waits = running.map(
    each => `container ${each.name} to end (${pod.metadata.deletionGracePeriodSeconds ?? 30} s of grace)`,
  );
  const { items } = await client.list(Node, { fieldSelector: `metadata.name=${nodeName}` });
  const [node] = items;
  if (!node) waits.push(`node ${nodeName}, which is gone: the pod garbage collector removes the pod`);
  else {
    const ready = node.status.conditions?.find(each => each.type === 'Ready');
    if (ready?.status !== 'True')
      waits.push(`the kubelet of node ${nodeName}, which is not ready${ready?.message ? `: ${ready.message}` : ''}`);
    else if (waits.length === 0) waits.push(`the kubelet of node ${nodeName} to take back what the pod had`);
  }
  return waits;
}

/** Why a pod that has a node is not ready: one line for each thing that is in the way. */
export function explainStart(pod: Pod, warnings: readonly Warning[]): readonly string[] {
  const { spec, status } = pod;
  if (!spec.nodeName || status.phase === 'Succeeded') return [];
  const ready = status.conditions?.find(each => each.type === 'Ready');
  if (ready?.status === 'True') return [];
  if (status.phase === 'Failed')
    return [`it failed${status.reason ? `: ${status.reason}` : ''}${status.message ? `: ${status.message}` : ''}`];
  const lines: string[] = [];
  const initialising = status.conditions?.find(each => each.type === 'Initialized')?.status !== 'True';
  const all = [
    ...(status.initContainerStatuses ?? []).map(each => ({ each, sort: 'init container' })),
    ...(initialising ? [] : (status.containerStatuses ?? []).map(each => ({ each, sort: 'container' }))),
  ];
  for (const { each, sort } of all) {
    const { name, state, lastState, ready: isReady, started, restartCount = 0, image } = each;
    const of = `${sort} ${name}`;
    const ended = lastState?.terminated;
    const before = ended
      ? `; it ended ${restartCount} time(s), last with exit code ${ended.exitCode}${ended.reason ? ` (${ended.reason})` : ''}`
      : '';
    if (state?.waiting) {
      const { reason = 'Waiting', message } = state.waiting;
      const about = /image/i.test(reason) ? ` (${image})` : '';
      lines.push(`${of} waits: ${reason}${about}${message ? `: ${message}` : ''}${before}`);
    } else if (state?.running && sort === 'container' && started === false)
      lines.push(`${of} runs since ${state.running.startedAt}, but its startup probe has not passed${before}`);
    else if (state?.running && sort === 'container' && !isReady)
      lines.push(`${of} runs since ${state.running.startedAt}, but its readiness probe does not pass${before}`);
    else if (state?.running && sort === 'init container' && initialising && !isReady)
      lines.push(`${of} runs since ${state.running.startedAt}; the others wait for it${before}`);
    else if (state?.terminated && state.terminated.exitCode !== 0)
      lines.push(`${of} ended with exit code ${state.terminated.exitCode}${before}`);
  }
  for (const { conditionType } of spec.readinessGates ?? []) {
    const condition = status.conditions?.find(each => each.type === conditionType);
    if (condition?.status !== 'True') lines.push(`readiness gate ${conditionType} is not True`);
  }
  if (all.length === 0)
    lines.push(`the kubelet of node ${spec.nodeName} has not said anything of it yet; is the node ready?`);
  for (const { reason, message, count } of warnings)
    lines.push(`${reason}: ${message}${count > 1 ? ` (${count} times)` : ''}`);
  return lines;
}

/** Warning Events about an object, or about everything; the newest last. */
export async function warningsAbout(
  client: Client,
  filter: { readonly namespace?: string; readonly name?: string; readonly uid?: string },
): Promise<readonly Warning[]> {
  const { namespace, name, uid } = filter;
  const { items } = await client.list(Event, {
    ...(namespace !== undefined && { namespace }),
    ...(name !== undefined && { fieldSelector: `involvedObject.name=${name},type=Warning` }),
    ...(name === undefined && { fieldSelector: 'type=Warning' }),
  });
  return items
    .filter(({ involvedObject }) => uid === undefined || involvedObject.uid === uid)
    .map(({ involvedObject, reason = '', message = '', count, series, lastTimestamp, eventTime, metadata }) => ({
      about: {
        kind: involvedObject.kind ?? '',
        ...(involvedObject.namespace && { namespace: involvedObject.namespace }),
        name: involvedObject.name ?? '',
      },
      reason,
      message,
      count: series?.count ?? count ?? 1,
      last: series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? '',
    }))
    .toSorted((a, b) => Date.parse(a.last) - Date.parse(b.last));
}

/** What in the whole cluster was deleted and is still there. */
export async function terminating(client: Client): Promise<readonly (Reference & { readonly deletion: Deletion })[]> {
  const found: (Reference & { readonly deletion: Deletion })[] = [];
  for (const kind of await listableKinds(client))
    for (const item of await listAll(client, kind)) {
      const deletion = await explainDeletion(client, kind, item);
      const { name = '', namespace } = item.metadata;
      if (deletion) found.push({ kind: kind.kind, name, ...(namespace !== undefined && { namespace }), deletion });
    }
  return found;
}

function nameOf({ metadata: { namespace, name = '' } }: ApiObject): string {
  return namespace ? `${namespace}/${name}` : name;
}
