import type { Pod } from '#api/core/v1/pod.ts';
import { errors } from '#api/machinery/errors.ts';
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
import { formatTime } from '#api/machinery/time.ts';
import { existing, type Resource, viewOf } from '../registry.ts';

/** Deletes a pod, if its disruption budget allows it now. */
export async function eviction(call: Call, resource: Resource): Promise<ApiResponse> {
  const { namespace, name } = call.info;
  const options = writeOptionsOf(call, 'CreateOptions');
  const body = await readObject(call, Eviction, options.fieldValidation, ['policy/v1beta1']);
  if ((body.metadata.name ?? '') === '') body.metadata.name = name;
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
  const wanted: DeleteOptions = {
    ...(wire as object),
    dryRun: options.dryRun || (Array.isArray(wire.dryRun) && wire.dryRun.includes('All')),
  };
  const pod = viewOf(resource, existing(resource, namespace, name)) as Pod;
  if (!mayIgnoreBudgets(pod)) {
    const budget = budgetOf(call, pod);
    if (budget === 'several')
      return call.respond(201, {
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        message: 'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
        reason: 'InternalError',
        code: 500,
      });
    if (budget && !skipsUnhealthy(pod, budget)) await takeFromBudget(call, pod, budget, wanted.dryRun);
  }
  await deleteObject(call, resource, namespace, name, wanted);
  return call.respond(201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
}

/** Pods that do not serve anybody are not protected. */
function mayIgnoreBudgets({ metadata, status }: Pod): boolean {
  return (
    metadata.deletionTimestamp !== undefined ||
    status.phase === 'Succeeded' ||
    status.phase === 'Failed' ||
    status.phase === 'Pending' ||
    status.phase === undefined
  );
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
        throw refusal(`The disruption budget ${budgetName} is still being processed by the server.`, 10);
      const allowed = status.disruptionsAllowed ?? 0;
      if (allowed < 0)
        throw errors.forbidden(
          { group: 'policy', plural: 'poddisruptionbudgets' },
          budgetName,
          'pdb disruptions allowed is negative',
        );
      const disrupted = status.disruptedPods ?? {};
      if (Object.keys(disrupted).length > disruptedPodsMax)
        throw errors.forbidden(
          { group: 'policy', plural: 'poddisruptionbudgets' },
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
          disruptedPods: { ...disrupted, [pod.metadata.name ?? '']: formatTime(clock.now()) },
        },
      } as unknown as Draft<ApiObject>;
    },
  });
}

function refusal(cause: string, retryAfterSeconds: number) {
  return errors.tooManyRequests(
    "Cannot evict pod as it would violate the pod's disruption budget.",
    retryAfterSeconds,
    [{ reason: 'DisruptionBudget', message: cause }],
  );
}
