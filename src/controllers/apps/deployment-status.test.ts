import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Deployment } from '#api/apps/v1/deployment.ts';
import { deadlineMs } from './deployment-status.ts';

function withReason(reason: string) {
  const status = {
    replicas: 1,
    updatedReplicas: 1,
    conditions: [{ type: 'Progressing', status: 'True', reason, lastUpdateTime: '2026-01-01T00:00:00Z' }],
  };
  const deployment = { metadata: { generation: 1 }, spec: { replicas: 2, progressDeadlineSeconds: 600 }, status };
  return deadlineMs(deployment as unknown as Deployment, status as never);
}

test('A rollout under way is looked at when its deadline has passed; one that is over has none, whatever its pods do', () => {
  assert.equal(withReason('ReplicaSetUpdated'), Date.parse('2026-01-01T00:10:01Z'));
  assert.equal(withReason('NewReplicaSetAvailable'), undefined);
});
