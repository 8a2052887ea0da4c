import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Job } from '#api/batch/v1/job.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { backoffsByIndex } from './job.ts';

const endedAt = '2026-01-01T00:00:00Z';
const endedMs = Date.parse(endedAt);

function failed(index: number, failuresBefore: number, phase = 'Failed'): Pod {
  const annotations = {
    'batch.kubernetes.io/job-completion-index': `${index}`,
    'batch.kubernetes.io/job-index-failure-count': `${failuresBefore}`,
  };
  const state = { terminated: { exitCode: 1, finishedAt: endedAt } };
  return {
    metadata: { name: `p-${index}`, annotations },
    spec: { containers: [] },
    status: { phase, containerStatuses: [{ name: 'c', state }] },
  } as unknown as Pod;
}

test('with a limit for each index, each waits for its own failures', () => {
  const job = {
    spec: { completionMode: 'Indexed', completions: 3, backoffLimitPerIndex: 6, template: {} },
  } as unknown as Job;
  const backoffs = backoffsByIndex(job, [failed(0, 0), failed(1, 2), failed(2, 0, 'Succeeded')]);
  assert.deepEqual(
    [...(backoffs ?? [])],
    [
      [0, endedMs + 10_000],
      [1, endedMs + 40_000],
    ],
  );
  assert.equal(backoffsByIndex({ spec: { template: {} } } as unknown as Job, [failed(0, 0)]), undefined);
});
