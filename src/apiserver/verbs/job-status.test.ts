import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestServer } from '../test-server.ts';

const path = '/apis/batch/v1/namespaces/default/jobs';
const start = '2026-01-01T00:00:00Z';
const end = '2026-01-01T00:01:00Z';
const container = { name: 'main', image: 'busybox' };
const isTrue = (...types: string[]) => types.map(type => ({ type, status: 'True' }));

/** What the server says of one state behind another of the same job. */
async function refusals(before: object, after: object, spec: object = {}): Promise<string[]> {
  await using api = await openTestServer();
  const template = { spec: { restartPolicy: 'Never', containers: [container] } };
  const made = await api.call('POST', path, { metadata: { name: 'job' }, spec: { template, ...spec } });
  assert.equal(made.code, 201, made.text);
  const put = (status: object) =>
    api.call('PUT', `${path}/job/status`, { ...made.body, metadata: { name: 'job' }, status });
  const first = await put(before);
  assert.equal(first.code, 200, first.text);
  const { code, body } = await put(after);
  if (code === 200) return [];
  assert.equal(code, 422);
  return body.details.causes.map(({ field, message }: { field: string; message: string }) => `${field}: ${message}`);
}

test('a job ends by way of its interim condition, with nothing left to do', async () => {
  const done = { startTime: start, completionTime: end, succeeded: 1 };
  assert.deepEqual(
    await refusals({ startTime: start }, { ...done, conditions: isTrue('SuccessCriteriaMet', 'Complete') }),
    [],
  );
  assert.deepEqual(await refusals({ startTime: start }, { ...done, conditions: isTrue('Complete') }), [
    'status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition',
  ]);
  assert.deepEqual(
    await refusals(
      { startTime: start },
      {
        startTime: start,
        active: 1,
        terminating: 1,
        uncountedTerminatedPods: { failed: ['a'] },
        conditions: isTrue('Failed'),
      },
    ),
    [
      'status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition',
      'status.active: Invalid value: 1: active>0 is invalid for finished job',
      'status.uncountedTerminatedPods: Invalid value: {"failed":["a"]}: uncountedTerminatedPods needs to be empty for finished job',
      'status.terminating: Invalid value: 1: terminating>0 is invalid for finished job',
    ],
  );
});

test('what has been counted and decided stays', async () => {
  assert.deepEqual(
    await refusals(
      { startTime: start, failed: 2, succeeded: 2, conditions: isTrue('FailureTarget') },
      { startTime: end, failed: 1, succeeded: 1, ready: 1 },
    ),
    [
      'status.ready: Invalid value: 1: cannot set more ready pods than active',
      'status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition',
      'status.failed: Invalid value: 1: cannot decrease the failed counter',
      'status.succeeded: Invalid value: 1: cannot decrease the succeeded counter',
      'status.startTime: Required value: startTime cannot be removed for unsuspended job',
    ],
  );
  assert.deepEqual(
    await refusals({ succeeded: 2 }, { succeeded: 1 }, { completionMode: 'Indexed', completions: 3, parallelism: 3 }),
    [],
  );
});

test('indexes are those of the job, once each', async () => {
  const indexed = { completionMode: 'Indexed', completions: 5, parallelism: 2, backoffLimitPerIndex: 1 };
  assert.deepEqual(await refusals({}, { completedIndexes: '0-2', failedIndexes: '3' }, indexed), []);
  assert.deepEqual(await refusals({}, { completedIndexes: '0-2,4', failedIndexes: '1-3' }, indexed), [
    'status.failedIndexes: Invalid value: "1-3": failedIndexes and completedIndexes overlap at index: 1',
  ]);
  assert.deepEqual(await refusals({}, { completedIndexes: '1-2-3', failedIndexes: '7' }, indexed), [
    `status.completedIndexes: Invalid value: "1-2-3": error parsing completedIndexes: the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated by '-'`,
    'status.failedIndexes: Invalid value: "7": error parsing failedIndexes: too large index: "7"',
  ]);
  assert.deepEqual(await refusals({}, { completedIndexes: '0', failedIndexes: '1' }), [
    'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode',
    'status.failedIndexes: Invalid value: "1": cannot set non-null failedIndexes when backoffLimitPerIndex is null',
  ]);
});
