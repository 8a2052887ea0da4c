import assert from 'node:assert/strict';
import { test } from 'node:test';
import { altered, type Body, cells, created, mistakes } from '../../kind-checks.ts';
import type { Kind } from '../../machinery/kind.ts';
import { CronJob as CronJobKind } from './cron-job.ts';
import { Job as JobKind } from './job.ts';

const [Job, CronJob] = [JobKind, CronJobKind] as unknown as [Kind, Kind];
const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'once', image: 'once' }] } };
const job = { metadata: { name: 'once', namespace: 'default' }, spec: { template } };
const cronJob = {
  metadata: { name: 'nightly', namespace: 'default' },
  spec: { schedule: '0 3 * * *', jobTemplate: { spec: { template } } },
};

test('a job gets its defaults and a selector of its own', () => {
  const { template: pods, ...spec } = created(Job, job)['spec'] as Body;
  assert.deepEqual(spec, {
    backoffLimit: 6,
    completionMode: 'NonIndexed',
    completions: 1,
    manualSelector: false,
    parallelism: 1,
    podReplacementPolicy: 'TerminatingOrFailed',
    selector: { matchLabels: { 'batch.kubernetes.io/controller-uid': 'uid-1' } },
    suspend: false,
  });
  assert.deepEqual((pods as { metadata: unknown }).metadata, {
    labels: {
      'batch.kubernetes.io/controller-uid': 'uid-1',
      'batch.kubernetes.io/job-name': 'once',
      'controller-uid': 'uid-1',
      'job-name': 'once',
    },
  });
});

test('wrong jobs are refused, each for what is wrong', () => {
  for (const [body, wanted] of [
    [job, []],
    [altered(job, 'spec.parallelism', -1), ['spec.parallelism FieldValueInvalid']],
    [
      altered(job, 'spec.template.spec.restartPolicy', 'Always'),
      ['spec.template.spec.restartPolicy FieldValueRequired'],
    ],
    [altered(job, 'spec.completionMode', 'Magic'), ['spec.completionMode FieldValueNotSupported']],
  ] as const) {
    assert.deepEqual(mistakes(Job, body), wanted, JSON.stringify(body));
  }
});

test('a cron job gets its defaults', () => {
  const { jobTemplate, ...spec } = created(CronJob, cronJob)['spec'] as Body;
  assert.ok(jobTemplate);
  assert.deepEqual(spec, {
    concurrencyPolicy: 'Allow',
    failedJobsHistoryLimit: 1,
    schedule: '0 3 * * *',
    successfulJobsHistoryLimit: 3,
    suspend: false,
  });
});

test('wrong cron jobs are refused, each for what is wrong', () => {
  for (const [body, wanted] of [
    [cronJob, []],
    [altered(cronJob, 'metadata.name', 'a'.repeat(53)), ['metadata.name FieldValueInvalid']],
    [altered(cronJob, 'spec.schedule', ''), ['spec.schedule FieldValueRequired']],
    [altered(cronJob, 'spec.schedule', 'now'), ['spec.schedule FieldValueInvalid']],
    [altered(cronJob, 'spec.schedule', 'TZ=UTC 0 3 * * *'), ['spec.schedule FieldValueInvalid']],
    [altered(cronJob, 'spec.timeZone', 'Mars/Olympus'), ['spec.timeZone FieldValueInvalid']],
    [altered(cronJob, 'spec.concurrencyPolicy', 'Maybe'), ['spec.concurrencyPolicy FieldValueNotSupported']],
    [altered(cronJob, 'spec.failedJobsHistoryLimit', -1), ['spec.failedJobsHistoryLimit FieldValueInvalid']],
    [
      altered(cronJob, 'spec.jobTemplate.spec.selector', { matchLabels: { a: 'b' } }),
      ['spec.jobTemplate.spec.selector FieldValueInvalid'],
    ],
  ] as const) {
    assert.deepEqual(mistakes(CronJob, body), wanted, JSON.stringify(body));
  }
});

test('the rows of jobs', () => {
  const done = { ...job, status: { succeeded: 1, conditions: [{ type: 'Complete', status: 'True' }] } };
  assert.deepEqual(cells(Job, altered(done, 'spec.completions', 1)).slice(0, 4), ['once', 'Complete', '1/1', '']);
  assert.deepEqual(cells(CronJob, cronJob).slice(0, 6), ['nightly', '0 3 * * *', '<none>', false, 0, '<none>']);
});
