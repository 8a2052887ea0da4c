import assert from 'node:assert/strict';
import { Job } from '#api/batch/v1/job.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { apiOperations, statusEndpoints } from '../api-operations.ts';
import { conformance, type Trial } from '../conformance.ts';
import { isReady } from '../pods.ts';
import { until, untilGone } from '../waiting.ts';
import { ownerOf, podsOf, relabel, templateOf, type TemplateWish } from '../workloads.ts';

const should = '[sig-apps] Job should';

conformance(it => {
  it(`${should} run a job to completion when tasks sometimes fail and are locally restarted [Conformance]`, async t => {
    // Every container fails the first time: what it leaves in its volume says that it was there.
    const script = 'test -e /data/tried || { touch /data/tried; exit 1; }';
    const volume = {
      container: { volumeMounts: [{ name: 'data', mountPath: '/data' }] },
      volumes: [{ name: 'data', emptyDir: {} }],
    };
    await make(
      t,
      { parallelism: 2, completions: 4, backoffLimit: 6 },
      { script, restartPolicy: 'OnFailure', ...volume },
    );
    const { status } = await complete(t);
    assert.equal(status?.succeeded, 4);
    for (const pod of await podsOf(t)) assert.ok((pod.status?.containerStatuses?.[0]?.restartCount ?? 0) > 0);
  });

  it(`${should} delete a job [Conformance]`, async t => {
    await make(t, { parallelism: 2, completions: 4 }, { script: wait });
    await t.eventually('as many pods run as wished', async () => (await podsOf(t)).filter(isReady).length === 2);
    await t.client.delete(Job, 'job', { namespace: t.namespace, propagationPolicy: 'Foreground' });
    await untilGone(t, Job, 'job');
    assert.equal((await podsOf(t)).length, 0);
  });

  it(`${should} adopt matching orphans and release non-matching pods [Conformance]`, async t => {
    const { metadata } = await make(t, { parallelism: 2, completions: 2 }, { script: wait });
    const [pod] = await t.eventually('its pods run', async () => {
      const pods = await podsOf(t);
      return pods.length === 2 && pods.every(isReady) && pods;
    });
    const name = pod?.metadata.name ?? '';
    const where = { namespace: t.namespace };
    await t.client.patch(Pod, name, { type: 'merge', patch: { metadata: { ownerReferences: null } } }, where);
    await until(t, Pod, name, 'it is adopted', each => ownerOf(each) === metadata.uid);
    const keys = ['batch.kubernetes.io/controller-uid', 'controller-uid', 'batch.kubernetes.io/job-name', 'job-name'];
    await relabel(t, name, Object.fromEntries(keys.map(key => [key, null])));
    await until(t, Pod, name, 'it is released', each => ownerOf(each) === undefined);
  });

  it(`${should} create pods for an Indexed job with completion indexes and specified hostname [Conformance]`, async t => {
    await make(
      t,
      { parallelism: 2, completions: 4, completionMode: 'Indexed' },
      { script: 'test "$(hostname)" = "job-$JOB_COMPLETION_INDEX"' },
    );
    const { status } = await complete(t);
    assert.equal(status?.completedIndexes, '0-3');
    const pods = await podsOf(t);
    const key = 'batch.kubernetes.io/job-completion-index';
    const indexes = pods.map(({ metadata }) => metadata.annotations?.[key]).toSorted();
    assert.deepEqual(indexes, ['0', '1', '2', '3']);
    for (const { metadata, spec } of pods) {
      assert.equal(metadata.labels?.[key], metadata.annotations?.[key]);
      assert.equal(spec?.hostname, `job-${metadata.annotations?.[key]}`);
    }
  });

  it(`${should} apply changes to a job status [Conformance]`, async t => {
    await make(t, { parallelism: 1, completions: 1 }, { script: wait });
    await until(t, Job, 'job', 'it is active', ({ status }) => status?.active === 1);
    const patch = {
      metadata: { annotations: { 'patched-status': 'true' } },
      status: { startTime: '2026-01-01T00:00:00Z' },
    };
    const where = { namespace: t.namespace, subresource: 'status' };
    // A start that is known stays; annotations may be changed beside the status.
    const { startTime } = (await t.client.get(Job, 'job', where)).status ?? {};
    const patched = await t.client.patch(
      Job,
      'job',
      { type: 'merge', patch: { ...patch, status: { startTime } } },
      where,
    );
    assert.equal(patched.metadata.annotations?.['patched-status'], 'true');
    await statusEndpoints(t, Job, 'job');
  });

  it(`${should} manage the lifecycle of a job [Conformance]`, async t =>
    apiOperations(t, {
      kind: Job,
      object: {
        spec: {
          suspend: true,
          parallelism: 2,
          completions: 4,
          template: templateOf(t, {}, { restartPolicy: 'Never' }),
        },
      },
    }));

  it(`${should} allow to use the pod failure policy on exit code to fail the job early [Conformance]`, async t => {
    const rules = [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [42] } }];
    await make(
      t,
      { parallelism: 1, completions: 1, backoffLimit: 6, podFailurePolicy: { rules } },
      { script: 'exit 42' },
    );
    const { status } = await failed(t);
    assert.equal(conditionOf(status, 'Failed')?.reason, 'PodFailurePolicy');
    assert.equal(status?.failed, 1);
  });

  it(`${should} allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition [Conformance]`, async t => {
    const rules = [{ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }];
    // With no failure allowed, an evicted pod would be the end of it.
    const script = `test -e /data/evicted && exit 0; touch /data/evicted; ${wait}`;
    const directory = `/tmp/${t.unique('windlass-job')}`;
    const volume = {
      container: { volumeMounts: [{ name: 'data', mountPath: '/data' }] },
      volumes: [{ name: 'data', hostPath: { path: directory, type: 'DirectoryOrCreate' } }],
    };
    t.defer(async () => (await import('node:fs/promises')).rm(directory, { recursive: true, force: true }));
    await make(
      t,
      { parallelism: 1, completions: 1, backoffLimit: 0, podFailurePolicy: { rules } },
      { script, ...volume },
    );
    const [pod] = await t.eventually('its pod runs', async () => {
      const pods = await podsOf(t);
      return pods.length === 1 && pods.every(isReady) && pods;
    });
    const name = pod?.metadata.name ?? '';
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: t.namespace } };
    await t.client.createSubresource(Pod, name, 'eviction', eviction, { namespace: t.namespace });
    const { status } = await complete(t);
    assert.equal(status?.failed ?? 0, 0);
  });

  it(
    `${should} execute all indexes despite some failing when using backoffLimitPerIndex [Conformance]`,
    async t => {
      await make(
        t,
        { parallelism: 2, completions: 4, completionMode: 'Indexed', backoffLimitPerIndex: 1 },
        { script: oddFails },
      );
      const { status } = await failed(t);
      assert.equal(status?.failedIndexes, '1,3');
      assert.equal(status?.completedIndexes, '0,2');
      assert.equal(conditionOf(status, 'Failed')?.reason, 'FailedIndexes');
      assert.deepEqual([status?.failed, status?.succeeded], [4, 2]);
    },
    { slow: true },
  );

  it(`${should} terminate job execution when the number of failed indexes exceeds maxFailedIndexes [Conformance]`, async t => {
    const script = 'test "$JOB_COMPLETION_INDEX" -gt 3 || exit 1; sleep 3600';
    await make(
      t,
      { parallelism: 10, completions: 10, completionMode: 'Indexed', backoffLimitPerIndex: 0, maxFailedIndexes: 1 },
      { script },
    );
    const { status } = await failed(t);
    assert.equal(conditionOf(status, 'Failed')?.reason, 'MaxFailedIndexesExceeded');
    assert.equal(status?.active ?? 0, 0);
  });

  it(`${should} mark indexes as failed when the FailIndex action is matched in podFailurePolicy [Conformance]`, async t => {
    const rules = [{ action: 'FailIndex', onExitCodes: { operator: 'NotIn', values: [0] } }];
    await make(
      t,
      {
        parallelism: 2,
        completions: 2,
        completionMode: 'Indexed',
        backoffLimitPerIndex: 1,
        podFailurePolicy: { rules },
      },
      { script: oddFails },
    );
    const { status } = await failed(t);
    assert.deepEqual([status?.failedIndexes, status?.completedIndexes, status?.failed], ['1', '0', 1]);
  });

  it('[sig-apps] Job with successPolicy should succeeded when all indexes succeeded [Conformance]', async t => {
    await make(
      t,
      {
        parallelism: 2,
        completions: 2,
        completionMode: 'Indexed',
        successPolicy: { rules: [{ succeededIndexes: '0-1' }] },
      },
      { script: 'exit 0' },
    );
    assertPolicy(await complete(t), '0,1');
  });

  it('[sig-apps] Job with successPolicy succeededIndexes rule should succeeded even when some indexes remain pending [Conformance]', async t => {
    const script = 'test "$JOB_COMPLETION_INDEX" = 0 || sleep 3600';
    await make(
      t,
      {
        parallelism: 2,
        completions: 2,
        completionMode: 'Indexed',
        successPolicy: { rules: [{ succeededIndexes: '0' }] },
      },
      { script },
    );
    assertPolicy(await complete(t), '0');
  });

  it('[sig-apps] Job with successPolicy succeededCount rule should succeeded even when some indexes remain pending [Conformance]', async t => {
    const script = 'test "$JOB_COMPLETION_INDEX" = 0 || sleep 3600';
    await make(
      t,
      { parallelism: 5, completions: 5, completionMode: 'Indexed', successPolicy: { rules: [{ succeededCount: 1 }] } },
      { script },
    );
    assertPolicy(await complete(t), '0');
  });
});

const wait = "trap 'exit 0' TERM; sleep 3600 & wait";
const oddFails = 'exit $((JOB_COMPLETION_INDEX % 2))';

function make(t: Trial, spec: object, wish: TemplateWish): Promise<Job> {
  const template = templateOf(t, {}, { restartPolicy: 'Never', ...wish });
  return t.client.create<Job>(
    Job,
    { metadata: { name: 'job' }, spec: { ...spec, template } },
    { namespace: t.namespace },
  );
}

type Status = Job['status'];
const conditionOf = (status: Status, type: string) =>
  status?.conditions?.find(condition => condition.type === type && condition.status === 'True');

function complete(t: Trial): Promise<Job> {
  return until(t, Job, 'job', 'it is complete', ({ status }) => conditionOf(status, 'Complete') !== undefined, {
    withinMs: 120_000,
  });
}

function failed(t: Trial): Promise<Job> {
  return until(t, Job, 'job', 'it has failed', ({ status }) => conditionOf(status, 'Failed') !== undefined, {
    withinMs: 120_000,
  });
}

function assertPolicy({ status }: Job, completedIndexes: string): void {
  assert.equal(conditionOf(status, 'SuccessCriteriaMet')?.reason, 'SuccessPolicy');
  assert.equal(conditionOf(status, 'Complete')?.reason, 'SuccessPolicy');
  assert.equal(status?.completedIndexes, completedIndexes);
  assert.equal(status?.active ?? 0, 0);
}
