import assert from 'node:assert/strict';
import { CronJob } from '#api/batch/v1/cron-job.ts';
import { Job } from '#api/batch/v1/job.ts';
import { apiOperations } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { until } from '../waiting.ts';
import { templateOf } from '../workloads.ts';

const should = '[sig-apps] CronJob should';
const minuteMs = 60_000;

// A schedule has minutes: these take as many.
conformance(it => {
  it(`${should} support CronJob API operations [Conformance]`, async t =>
    apiOperations(t, {
      kind: CronJob,
      object: { spec: { schedule: '0 0 29 2 *', suspend: true, jobTemplate: jobTemplate(t) } },
      status: { lastScheduleTime: '2026-01-01T00:00:00Z' },
    }));

  it(
    `${should} schedule multiple jobs concurrently [Conformance]`,
    async t => {
      await make(t, { concurrencyPolicy: 'Allow' });
      await t.eventually('two Jobs are active', async () => (await activeJobs(t)).length > 1, 3 * minuteMs);
    },
    { slow: true },
  );

  it(
    `${should} not schedule new jobs when ForbidConcurrent [Conformance] [Slow]`,
    async t => {
      await make(t, { concurrencyPolicy: 'Forbid' });
      const [first] = await until(t, CronJob, 'cron', 'a Job is active', ({ status }) => status?.active?.length === 1, {
        withinMs: 2 * minuteMs,
      }).then(({ status }) => status?.active ?? []);
      await nextMinute(t);
      assert.deepEqual(
        (await activeJobs(t)).map(({ metadata }) => metadata.name),
        [first?.name],
      );
    },
    { slow: true },
  );

  it(
    `${should} replace jobs when ReplaceConcurrent [Conformance]`,
    async t => {
      await make(t, { concurrencyPolicy: 'Replace' });
      const active = ({ status }: CronJob) => status?.active?.[0]?.name;
      const first = await until(t, CronJob, 'cron', 'a Job is active', cron => active(cron) !== undefined, {
        withinMs: 2 * minuteMs,
      });
      await until(
        t,
        CronJob,
        'cron',
        'another takes its place',
        cron => active(cron) !== undefined && active(cron) !== active(first),
        {
          withinMs: 2 * minuteMs,
        },
      );
    },
    { slow: true },
  );

  it(
    `${should} not schedule jobs when suspended [Conformance] [Slow]`,
    async t => {
      await make(t, { suspend: true });
      await nextMinute(t);
      assert.deepEqual((await t.client.list(Job, { namespace: t.namespace })).items, []);
    },
    { slow: true },
  );
});

function jobTemplate(t: Trial) {
  return { spec: { template: templateOf(t, {}, { restartPolicy: 'OnFailure', script: 'sleep 300' }) } };
}

function make(t: Trial, more: object): Promise<CronJob> {
  const spec = { schedule: '*/1 * * * ?', jobTemplate: jobTemplate(t), ...more };
  return t.client.create<CronJob>(CronJob, { metadata: { name: 'cron' }, spec }, { namespace: t.namespace });
}

async function activeJobs(t: Trial): Promise<readonly Job[]> {
  const { items } = await t.client.list(Job, { namespace: t.namespace });
  return items.filter(({ status }) => !status?.completionTime);
}

/** Until another CronJob beside it has had its next turn. */
async function nextMinute(t: Trial): Promise<void> {
  const spec = { schedule: '*/1 * * * ?', concurrencyPolicy: 'Forbid', jobTemplate: jobTemplate(t) };
  const other = await t.makeNamespace();
  await t.client.create<CronJob>(CronJob, { metadata: { name: 'other' }, spec }, { namespace: other });
  await until(t, CronJob, 'other', 'it had its turn', ({ status }) => !!status?.lastScheduleTime, {
    namespace: other,
    withinMs: 2 * minuteMs,
  });
}
