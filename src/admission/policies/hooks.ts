import type { ApiObject } from '#api/machinery/kind.ts';
import type { Informer } from '#client/informer.ts';
import type { AdmissionRequest } from '../admission.ts';

/** A policy and what puts it into force. */
export interface Hook<Policy, Binding> {
  readonly policy: Policy;
  readonly bindings: readonly Binding[];
}

interface Bound extends ApiObject {
  readonly spec: { readonly policyName?: string | undefined };
}

/** Policies that are bound, by name, each with its bindings by name. Worked out anew when one of them has changed. */
export function boundPolicies<Policy extends ApiObject, Binding extends Bound>(
  policies: Informer<Policy>,
  bindings: Informer<Binding>,
): () => readonly Hook<Policy, Binding>[] {
  let known: readonly Hook<Policy, Binding>[] | undefined;
  const forget = () => {
    known = undefined;
  };
  for (const informer of [policies, bindings] as readonly Informer<ApiObject>[])
    informer.subscribe({ added: forget, updated: forget, deleted: forget });
  return () => {
    if (policies.objects.size === 0 || bindings.objects.size === 0) return [];
    known ??= hooksOf(policies, bindings);
    return known;
  };
}

function hooksOf<Policy extends ApiObject, Binding extends Bound>(
  policies: Informer<Policy>,
  bindings: Informer<Binding>,
): readonly Hook<Policy, Binding>[] {
  const byPolicy = bindings.index('policy', ({ spec }) => [spec.policyName ?? '']);
  return [...policies.objects.values()]
    .sort(byName)
    .map(policy => ({ policy, bindings: [...byPolicy.get(policy.metadata.name ?? '').values()].sort(byName) }))
    .filter(hook => hook.bindings.length > 0);
}

function byName(left: ApiObject, right: ApiObject): number {
  const [one = '', other = ''] = [left.metadata.name, right.metadata.name];
  return one < other ? -1 : one > other ? 1 : 0;
}

/** Policies are never asked about policies: nobody could repair a broken one. */
export function isPolicy({ kind }: AdmissionRequest): boolean {
  return kind.group === 'admissionregistration.k8s.io' && policyResources.has(kind.plural);
}

const policyResources = new Set([
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
]);
