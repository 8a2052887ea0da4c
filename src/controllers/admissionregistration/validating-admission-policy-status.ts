import { ValidatingAdmissionPolicy } from '#api/admissionregistration/v1/validating-admission-policy.ts';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { defineController } from '../controller.ts';
import { lookup } from '../reads.ts';

/** Holds the expressions of a policy against the types that it is about, and says in its status what does not fit. */
export const validatingAdmissionPolicyStatusController = defineController({
  name: 'validatingadmissionpolicy-status-controller',
  reconciles: ValidatingAdmissionPolicy,
  concerns: ({ metadata, status }) => Number(metadata.generation ?? 0) > Number(status.observedGeneration ?? 0),
  reads: { definitions: lookup<ValidatingAdmissionPolicy, CustomResourceDefinition>(CustomResourceDefinition) },
  writes: [ValidatingAdmissionPolicy],
  // Expressions are loaded with the first policy.
  ask: () => import('./policy-warnings.ts'),
  decide(policy, { definitions, answer }) {
    if (!answer) return [];
    const found = answer.warningsOf(policy, [...definitions.objects.values()]);
    // Only what is this controller's: conditions are others'.
    const typeChecking = { expressionWarnings: found.length > 0 ? found : null };
    const status = { observedGeneration: policy.metadata.generation, typeChecking };
    return [
      {
        do: 'patch',
        kind: ValidatingAdmissionPolicy,
        object: policy,
        subresource: 'status',
        patch: { type: 'merge', patch: { status } },
      },
    ];
  },
});
