import { FlowSchema } from '#api/flowcontrol/v1/flow-schema.ts';
import { PriorityLevelConfiguration } from '#api/flowcontrol/v1/priority-level-configuration.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance } from '../conformance.ts';

conformance(it => {
  it('[sig-api-machinery] API priority and fairness should support FlowSchema API operations [Conformance]', async t =>
    apiOperations(t, {
      kind: FlowSchema,
      object: {
        spec: {
          matchingPrecedence: 10_000,
          priorityLevelConfiguration: { name: 'global-default' },
          distinguisherMethod: { type: 'ByUser' },
          rules: [
            {
              subjects: [{ kind: 'User', user: { name: 'example-e2e-non-existent-user' } }],
              nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
            },
          ],
        },
      },
      status: { conditions: [{ type: 'E2E', status: 'False', reason: 'Test', message: 'set by a test' }] },
    }));

  it('[sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API operations [Conformance]', async t =>
    apiOperations(t, {
      kind: PriorityLevelConfiguration,
      object: {
        spec: { type: 'Limited', limited: { nominalConcurrencyShares: 2, limitResponse: { type: 'Reject' } } },
      },
      status: { conditions: [{ type: 'E2E', status: 'False', reason: 'Test', message: 'set by a test' }] },
    }));
});
