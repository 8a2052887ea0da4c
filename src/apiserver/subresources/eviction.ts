import type { Pod } from '#api/core/v1/pod.ts';
import { errors, isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Draft, Kind } from '#api/machinery/kind.ts';
import { compileLabelSelector } from '#api/machinery/selector.ts';
import { Eviction } from '#api/policy/v1/eviction.ts';
import { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import type { ApiResponse } from '#client/transport.ts';
import { Admission } from '../admit.ts';
import { readObject } from '../body.ts';
import { type Call, writeOptionsOf } from '../call.ts';
import { changeObject } from '../change-object.ts';
import { admissionOptions } from '../create-object.ts';
import { deleteObject, type DeleteOptions } from '../delete-object.ts';
import { checkDeleteOptions } from '../delete-options.ts';
import { matchNamespace } from '../metadata.ts';
import { formatTime } from '#api/machinery/time.ts';
import { existing, type Resource, viewOf } from '../registry.ts';

/** Deletes a pod, if its disruption budget allows it now. */
export async function eviction(call: Call, resource: Resource): Promise<ApiResponse> {
  const { namespace, name } = call.info;
  const options = writeOptionsOf(call, 'CreateOptions');
  const body = await readObject(call, Eviction, options.fieldValidation, ['policy/v1beta1']);
  matchNamespace(body.metadata, namespace);
  if (body.metadata.name !== name) throw errors.badRequest('name in URL does not match name in Eviction object');
  const admission = new Admission(call, resource.kind, {
    operation: 'CREATE',
    subresource: 'eviction',
    namespace,
    name,
    object: body as unknown as Draft<ApiObject>,
    old: undefined,
    options: admissionOptions('CreateOptions', options),
    dryRun: options.dryRun,
  });
  await admission.admit();
  await admission.validate();
  const wire = (body.deleteOptions ?? {}) as Partial<DeleteOptions> & { dryRun?: readonly string[] };
  checkDeleteOptions(wire);
  const wanted: DeleteOptions = {
    ...(wire as object),
    dryRun: options.dryRun || (Array.isArray(wire.dryRun) && wire.dryRun.includes('All')),
  };
  const read = () => viewOf(resource, existing(resource, namespace, name)) as Pod;
  const remove = async (preconditions: DeleteOptions['preconditions']) => {
    const marked = wanted.dryRun ? preconditions : await markDisrupted(call, resource, namespace, name, preconditions);
    return deleteObject(call, resource, namespace, name, { ...wanted, ...(marked && { preconditions: marked }) });
  };
  const success = () =>
    call.respond(201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
  let pod = read();
  for (let attempt = 1; mayIgnoreBudgets(pod); attempt++, pod = read()) {
    try {
      await remove(isOver(pod) ? wanted.preconditions : asRead(pod, wanted));
      return success();
    } catch (error) {
      // It may have begun to serve somebody since it was read.
      const isOurs = wanted.preconditions?.resourceVersion === undefined;
      if (!isReason(error, 'Conflict') || !isOurs || attempt === attemptsMax) throw error;
    }
  }
  const budget = budgetOf(call, pod);
  if (budget === 'several')
    return call.respond(201, {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
      code: 500,
    });
  if (!budget || !skipsUnhealthy(pod, budget)) {
    if (budget) await takeFromBudget(call, pod, budget, wanted.dryRun);
    await remove(wanted.preconditions);
    return success();
  }
  try {
    await remove(asRead(pod, wanted));
    return success();
  } catch (error) {
    if (!isReason(error, 'Conflict') || wanted.preconditions?.resourceVersion !== undefined) throw error;
    throw stillProcessed(budget.metadata.name ?? '');
  }
}

/** Upstream's, of conflicts in a row. */
const attemptsMax = 20;

/**
 * Says in the pod's status who ends it, so that controllers do not take it for a failure of its own. Answers the preconditions
 * for what the pod is then.
 */
async function markDisrupted(
  call: Call,
  resource: Resource,
  namespace: string,
  name: string,
  preconditions: DeleteOptions['preconditions'],
): Promise<DeleteOptions['preconditions']> {
  const { entry } = await changeObject(call, {
    resource,
    namespace,
    name,
    subresource: 'status',
    quiet: true,
    // The change is the server's own: nobody owns the condition.
    ownersKnown: true,
    options: { dryRun: false, fieldManager: 'windlass', fieldValidation: 'Ignore' },
    rules: { prepare() {}, validate() {} },
    produce: current => {
      const pod = current as Pod;
      checkRecord(pod, preconditions);
      const before = pod.status.conditions ?? [];
      const known = before.find(({ type }) => type === 'DisruptionTarget');
      const condition = {
        type: 'DisruptionTarget',
        status: 'True',
        reason: 'EvictionByEvictionAPI',
        message: 'Eviction API: evicting',
        lastTransitionTime:
          known?.status === 'True' ? known.lastTransitionTime : formatTime(call.foundation.clock.now()),
      };
      const conditions = known ? before.map(each => (each === known ? condition : each)) : [...before, condition];
      return {
        ...pod,
        metadata: { ...pod.metadata },
        status: { ...pod.status, conditions },
      } as unknown as Draft<ApiObject>;
    },
  });
  if (!entry || preconditions?.resourceVersion === undefined) return preconditions;
  return { ...preconditions, resourceVersion: String(entry.revision) };
}

function checkRecord({ metadata }: Pod, { uid, resourceVersion }: DeleteOptions['preconditions'] = {}): void {
  const conflict = (why: string) => errors.conflict({ group: '', plural: 'Pod' }, metadata.name ?? '', why);
  if (uid !== undefined && uid !== '' && uid !== metadata.uid)
    throw conflict(
      `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`,
    );
  if (resourceVersion !== undefined && resourceVersion !== '' && resourceVersion !== metadata.resourceVersion)
    throw conflict(
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`,
    );
}

/** Only as it was when it was looked at, unless the client says of which version it speaks. */
function asRead({ metadata }: Pod, { preconditions }: DeleteOptions): DeleteOptions['preconditions'] {
  return { resourceVersion: metadata.resourceVersion ?? '', ...preconditions };
}

/** It cannot serve anybody again. */
function isOver({ metadata, status }: Pod): boolean {
  return metadata.deletionTimestamp !== undefined || status.phase === 'Succeeded' || status.phase === 'Failed';
}

/** Pods that do not serve anybody are not protected. */
function mayIgnoreBudgets(pod: Pod): boolean {
  return isOver(pod) || pod.status.phase === 'Pending' || pod.status.phase === undefined;
}

const budgetKind = PodDisruptionBudget as unknown as Kind;

function budgetOf(call: Call, pod: Pod): PodDisruptionBudget | 'several' | undefined {
  const { cache } = call.foundation.registry.of(budgetKind);
  const found = cache
    .select(`${pod.metadata.namespace}/`, { labels: [], fields: [], matches: undefined })
    .map(entry => entry.object as PodDisruptionBudget)
    .filter(({ spec }) => compileLabelSelector(spec.selector)(pod.metadata.labels));
  return found.length > 1 ? 'several' : found[0];
}

/** Pods that are not ready may go when the others suffice, or always, as the budget says. */
function skipsUnhealthy(pod: Pod, { spec, status }: PodDisruptionBudget): boolean {
  const ready = (pod.status.conditions ?? []).some(each => each.type === 'Ready' && each.status === 'True');
  if (ready) return false;
  if (spec.unhealthyPodEvictionPolicy === 'AlwaysAllow') return true;
  return (status?.currentHealthy ?? 0) >= (status?.desiredHealthy ?? 0) && (status?.desiredHealthy ?? 0) > 0;
}

const disruptedPodsMax = 2_000;

async function takeFromBudget(call: Call, pod: Pod, budget: PodDisruptionBudget, dryRun: boolean): Promise<void> {
  const { registry, clock } = call.foundation;
  await changeObject(call, {
    resource: registry.of(budgetKind),
    namespace: budget.metadata.namespace ?? '',
    name: budget.metadata.name ?? '',
    subresource: 'status',
    quiet: true,
    options: { dryRun, fieldManager: 'windlass', fieldValidation: 'Ignore' },
    rules: { prepare() {}, validate() {} },
    produce: current => {
      const { status, ...rest } = current as PodDisruptionBudget;
      const budgetName = rest.metadata.name ?? '';
      if (!status || (status.observedGeneration ?? 0) < (rest.metadata.generation ?? 0))
        throw stillProcessed(budgetName);
      const allowed = status.disruptionsAllowed ?? 0;
      if (allowed < 0) throw errors.forbidden(budgetRef, budgetName, 'pdb disruptions allowed is negative');
      const disrupted = status.disruptedPods ?? {};
      if (Object.keys(disrupted).length > disruptedPodsMax)
        throw errors.forbidden(
          budgetRef,
          budgetName,
          'DisruptedPods map too big - too many evictions not confirmed by PDB controller',
        );
      if (allowed === 0)
        throw refusal(
          `The disruption budget ${budgetName} needs ${status.desiredHealthy} healthy pods and has ${status.currentHealthy} currently`,
          0,
        );
      return {
        ...rest,
        metadata: { ...rest.metadata },
        status: {
          ...status,
          disruptionsAllowed: allowed - 1,
          ...(allowed === 1 && { conditions: withNoneAllowed(status.conditions ?? [], current, clock.now()) }),
          disruptedPods: { ...disrupted, [pod.metadata.name ?? '']: formatTime(clock.now()) },
        },
      } as unknown as Draft<ApiObject>;
    },
  });
}

/** Upstream names it in the singular here. */
const budgetRef = { group: 'policy', plural: 'poddisruptionbudget' };

type Conditions = NonNullable<NonNullable<PodDisruptionBudget['status']>['conditions']>;

/** So that whoever waits for the budget sees it at once, not when its controller has counted again. */
function withNoneAllowed(conditions: Conditions, { metadata }: ApiObject, nowMs: number): Conditions {
  const condition = {
    type: 'DisruptionAllowed',
    status: 'False',
    reason: 'InsufficientPods',
    message: '',
    observedGeneration: metadata.generation ?? 0,
    lastTransitionTime: formatTime(nowMs),
  };
  const isThere = conditions.some(({ type }) => type === condition.type);
  return isThere
    ? conditions.map(each => (each.type === condition.type ? { ...each, ...condition } : each))
    : [...conditions, condition];
}

function stillProcessed(budgetName: string) {
  return refusal(`The disruption budget ${budgetName} is still being processed by the server.`, 10);
}

function refusal(cause: string, retryAfterSeconds: number) {
  return errors.tooManyRequests(
    "Cannot evict pod as it would violate the pod's disruption budget.",
    retryAfterSeconds,
    [{ reason: 'DisruptionBudget', message: cause }],
  );
}
