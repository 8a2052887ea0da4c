import { MutatingAdmissionPolicyBinding } from '#api/admissionregistration/v1/mutating-admission-policy-binding.ts';
import { MutatingAdmissionPolicy } from '#api/admissionregistration/v1/mutating-admission-policy.ts';
import { ValidatingAdmissionPolicyBinding } from '#api/admissionregistration/v1/validating-admission-policy-binding.ts';
import { ValidatingAdmissionPolicy } from '#api/admissionregistration/v1/validating-admission-policy.ts';
import type { MatchResources } from '#api/admissionregistration/v1/match-resources.ts';
import type { Authorizer } from '#auth/authorization/authorizer.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import type { Sources } from '../sources.ts';
import { boundPolicies, type Hook, isPolicy } from './hooks.ts';
import { resourceMatchOf } from './matching.ts';
import type { PolicyMetrics } from './metrics.ts';

/** What policies are asked with. */
export interface PolicyContext {
  readonly sources: Sources;
  readonly authorizer: Authorizer;
  readonly metrics: PolicyMetrics | undefined;
}

/** Which of the policies that want it have looked at an object, and which are to look again. */
export interface History {
  readonly invoked: Set<string>;
  readonly again: Set<string>;
  output: unknown;
}

/** Changes in CEL that objects get, in the order of the policies' names; those that ask for it look again when others have changed something. */
export function mutatingPolicies(context: PolicyContext): AdmissionPlugin {
  const { informers } = context.sources;
  const hooks = boundPolicies(informers.of(MutatingAdmissionPolicy), informers.of(MutatingAdmissionPolicyBinding));
  const histories = new WeakMap<AdmissionRequest, History>();
  return {
    name: 'MutatingAdmissionPolicy',
    handles: request => request.operation !== 'DELETE' && !isPolicy(request) && hooks().some(mayMatch(request)),
    async admit(request) {
      const history = histories.get(request) ?? { invoked: new Set(), again: new Set(), output: undefined };
      histories.set(request, history);
      const matching = hooks().filter(mayMatch(request));
      // Expressions are loaded with the first policy that has to be asked.
      const { mutate } = await import('./mutating.ts');
      await mutate(matching, request, history, context);
    },
  };
}

/** Rules in CEL that every object has to satisfy, where a binding puts them into force. */
export function validatingPolicies(context: PolicyContext): AdmissionPlugin {
  const { informers } = context.sources;
  const hooks = boundPolicies(informers.of(ValidatingAdmissionPolicy), informers.of(ValidatingAdmissionPolicyBinding));
  return {
    name: 'ValidatingAdmissionPolicy',
    handles: request => !isPolicy(request) && hooks().some(mayMatch(request)),
    async validate(request) {
      const matching = hooks().filter(mayMatch(request));
      const { judge } = await import('./validating.ts');
      await judge(matching, request, context);
    },
  };
}

interface Constrained {
  readonly spec: { readonly matchConstraints?: MatchResources | undefined };
}

/** One without constraints is broken, and says so when it is asked. */
function mayMatch(request: AdmissionRequest): (hook: Hook<Constrained, unknown>) => boolean {
  return ({ policy: { spec } }) =>
    spec.matchConstraints === undefined || resourceMatchOf(spec.matchConstraints, request) !== undefined;
}
