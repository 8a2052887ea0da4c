import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DaemonSet } from '#api/apps/v1/daemon-set.ts';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { StatefulSet } from '#api/apps/v1/stateful-set.ts';
import { CronJob } from '#api/batch/v1/cron-job.ts';
import { Job } from '#api/batch/v1/job.ts';
import { Event } from '#api/core/v1/event.ts';
import { Node } from '#api/core/v1/node.ts';
import { PersistentVolumeClaim } from '#api/core/v1/persistent-volume-claim.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ReplicationController } from '#api/core/v1/replication-controller.ts';
import { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import type { Partly } from '#api/machinery/kind.ts';
import { startControlPlane, type ControlPlane } from './control-plane.ts';

const timeout = 20_000;
const namespace = 'default';

const job = (image: string, spec: Partly<Job['spec']> = {}): Partly<Job> => ({
  metadata: { name: 'work', namespace },
  spec: {
    ...spec,
    template: { spec: { restartPolicy: 'Never', containers: [{ name: 'work', image }] } },
  } as Partly<Job['spec']>,
});

function jobWith(plane: ControlPlane, type: string): Promise<Job> {
  return plane.until(Job, jobs =>
    jobs.values().find(({ status }) => status?.conditions?.some(each => each.type === type && each.status === 'True')),
  );
}

const conditionsOf = ({ status }: Job) => status?.conditions?.map(({ type, reason }) => `${type} ${reason}`);

describe('a job', () => {
  test('runs until enough pods have succeeded, and counts each once', { timeout }, async () => {
    await using plane = await startControlPlane();
    await plane.client.create(Job, job('succeeds', { completions: 5, parallelism: 2 }));
    const done = await jobWith(plane, 'Complete');
    assert.equal(done.status?.succeeded, 5);
    assert.equal(done.status?.active ?? 0, 0);
    assert.ok(done.status?.completionTime);
    assert.deepEqual(conditionsOf(done), ['SuccessCriteriaMet CompletionsReached', 'Complete CompletionsReached']);
    const pods = await plane.client.list(Pod, { namespace });
    assert.equal(pods.items.length, 5);
    assert.ok(pods.items.every(({ metadata }) => (metadata.finalizers ?? []).length === 0));
    await plane.until(Event, events =>
      events.values().find(({ reason, message }) => reason === 'Completed' && message === 'Job completed'),
    );
  });

  test('with indexes gives each of them to a pod', { timeout }, async () => {
    await using plane = await startControlPlane();
    await plane.client.create(Job, job('succeeds', { completions: 4, parallelism: 4, completionMode: 'Indexed' }));
    const done = await jobWith(plane, 'Complete');
    assert.equal(done.status?.completedIndexes, '0-3');
    const pods = await plane.client.list(Pod, { namespace });
    const indexes = pods.items.map(
      ({ metadata, spec }) => `${metadata.annotations?.['batch.kubernetes.io/job-completion-index']} ${spec?.hostname}`,
    );
    assert.deepEqual(indexes.toSorted(), ['0 work-0', '1 work-1', '2 work-2', '3 work-3']);
  });

  test('gives up when its pods fail more often than they may', { timeout }, async () => {
    await using plane = await startControlPlane();
    await plane.client.create(Job, job('fails', { backoffLimit: 0 }));
    const failed = await jobWith(plane, 'Failed');
    assert.equal(failed.status?.failed, 1);
    assert.deepEqual(conditionsOf(failed), ['FailureTarget BackoffLimitExceeded', 'Failed BackoffLimitExceeded']);
  });

  test('whose indexes have a limit each loses only those that fail', { timeout }, async () => {
    await using plane = await startControlPlane();
    await plane.client.create(
      Job,
      job('fails', { completions: 2, parallelism: 2, completionMode: 'Indexed', backoffLimitPerIndex: 0 }),
    );
    const failed = await jobWith(plane, 'Failed');
    assert.equal(failed.status?.failedIndexes, '0,1');
    assert.deepEqual(conditionsOf(failed), ['FailureTarget FailedIndexes', 'Failed FailedIndexes']);
    const { items } = await plane.client.list(Pod, { namespace });
    assert.deepEqual(
      items.map(({ metadata }) => metadata.annotations?.['batch.kubernetes.io/job-index-failure-count']),
      ['0', '0'],
    );
  });

  test('suspended has no pods, resumed it has them', { timeout }, async () => {
    await using plane = await startControlPlane();
    await plane.client.create(Job, job('stays', { suspend: true }));
    await jobWith(plane, 'Suspended');
    assert.equal(plane.informers.of(Pod).objects.size, 0);
    await plane.client.patch(Job, 'work', { type: 'merge', patch: { spec: { suspend: false } } }, { namespace });
    await plane.until(Job, jobs => jobs.values().find(({ status }) => status?.ready === 1));
    await plane.client.patch(Job, 'work', { type: 'merge', patch: { spec: { suspend: true } } }, { namespace });
    await plane.until(Pod, pods => pods.size === 0);
  });

  test('that is deleted while it runs takes its pods along', { timeout }, async () => {
    await using plane = await startControlPlane();
    await plane.client.create(Job, job('stays', { parallelism: 2 }));
    await plane.until(Job, jobs => jobs.values().find(({ status }) => status?.ready === 2));
    await plane.client.delete(Job, 'work', { namespace, propagationPolicy: 'Background' });
    await plane.until(Pod, pods => pods.size === 0);
  });

  test('is removed some time after its end', { timeout }, async () => {
    await using plane = await startControlPlane();
    await plane.client.create(Job, job('succeeds', { ttlSecondsAfterFinished: 0 }));
    await jobWith(plane, 'SuccessCriteriaMet');
    await plane.until(Job, jobs => jobs.size === 0);
    await plane.until(Pod, pods => pods.size === 0);
  });

  test('of a cron job is made in time', { timeout }, async () => {
    await using plane = await startControlPlane();
    await plane.client.create(CronJob, {
      metadata: { name: 'tick', namespace },
      spec: { schedule: '@every 1s', jobTemplate: { spec: job('succeeds').spec } },
    } as Partly<CronJob>);
    const made = await jobWith(plane, 'Complete');
    assert.match(made.metadata.name ?? '', /^tick-\d+$/);
    assert.equal(made.metadata.ownerReferences?.[0]?.kind, 'CronJob');
    const ticked = await plane.until(CronJob, all => all.values().find(({ status }) => status?.lastSuccessfulTime));
    assert.ok(ticked.status?.lastScheduleTime);
  });
});

const template = (image = 'stays') => ({
  metadata: { labels: { app: 'web' } },
  spec: { containers: [{ name: 'web', image }] },
});

describe('a daemon set', () => {
  const nodeReady = (name: string, labels: Record<string, string>): Partly<Node> => ({
    metadata: { name, labels },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  });

  test('has a pod on every node that it wants, follows nodes, and is updated', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    await client.create(Node, nodeReady('node-1', { disk: 'ssd' }));
    await client.create(Node, nodeReady('node-2', { disk: 'hdd' }));
    const spec = { selector: { matchLabels: { app: 'web' } }, template: template() };
    await client.create(DaemonSet, {
      metadata: { name: 'agent', namespace },
      spec: {
        ...spec,
        template: { ...spec.template, spec: { ...spec.template.spec, nodeSelector: { disk: 'ssd' } } },
      },
    });
    const ready = (count: number) =>
      plane.until(DaemonSet, sets =>
        sets
          .values()
          .find(
            ({ status, metadata }) =>
              status?.numberReady === count &&
              status.updatedNumberScheduled === count &&
              status.desiredNumberScheduled === count &&
              status.observedGeneration === metadata.generation,
          ),
      );
    await ready(1);
    await client.create(Node, nodeReady('node-3', { disk: 'ssd' }));
    await ready(2);
    await client.patch(
      DaemonSet,
      'agent',
      { type: 'strategic', patch: { spec: { template: { spec: { containers: [{ name: 'web', image: 'other' }] } } } } },
      { namespace },
    );
    await plane.until(
      Pod,
      pods =>
        pods.size === 2 &&
        pods.values().every(pod => pod.spec?.containers[0]?.image === 'other' && pod.status?.phase === 'Running'),
    );
    const pods = await client.list(Pod, { namespace });
    assert.deepEqual(pods.items.map(pod => pod.spec?.nodeName).toSorted(), ['node-1', 'node-3']);
    await client.patch(Node, 'node-3', { type: 'merge', patch: { metadata: { labels: { disk: 'hdd' } } } });
    await ready(1);
  });
});

describe('a stateful set', () => {
  const set = (spec: Partly<StatefulSet['spec']> = {}): Partly<StatefulSet> => ({
    metadata: { name: 'db', namespace },
    spec: {
      serviceName: 'db',
      selector: { matchLabels: { app: 'web' } },
      template: template(),
      volumeClaimTemplates: [
        {
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        },
      ],
      ...spec,
    } as Partly<StatefulSet['spec']>,
  });

  const settled = (plane: ControlPlane, replicas: number) =>
    plane.until(StatefulSet, sets =>
      sets
        .values()
        .find(
          ({ status, metadata }) =>
            status?.observedGeneration === metadata.generation &&
            status?.replicas === replicas &&
            (status.readyReplicas ?? 0) === replicas &&
            (status.updatedReplicas ?? 0) === replicas &&
            status.currentRevision === status.updateRevision,
        ),
    );

  test('makes its pods one after the other, each with its claim', { timeout }, async () => {
    await using plane = await startControlPlane();
    const seen: string[] = [];
    plane.informers.of(Pod).subscribe({
      added: pod => seen.push(`added ${pod.metadata.name}`),
      updated: (pod, old) => {
        if (pod.status?.phase === 'Running' && old.status?.phase !== 'Running') seen.push(`runs ${pod.metadata.name}`);
      },
    });
    await plane.client.create(StatefulSet, set({ replicas: 3 }));
    await settled(plane, 3);
    assert.deepEqual(seen, ['added db-0', 'runs db-0', 'added db-1', 'runs db-1', 'added db-2', 'runs db-2']);
    const claims = await plane.client.list(PersistentVolumeClaim, { namespace });
    assert.deepEqual(claims.items.map(({ metadata }) => metadata.name).toSorted(), [
      'data-db-0',
      'data-db-1',
      'data-db-2',
    ]);
    const pod = await plane.client.get(Pod, 'db-1', { namespace });
    assert.equal(pod.spec?.hostname, 'db-1');
    assert.equal(pod.spec?.subdomain, 'db');
    assert.equal(pod.metadata.labels?.['apps.kubernetes.io/pod-index'], '1');
  });

  test('shrinks from the end, is updated from the end, and keeps the claims', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    await client.create(StatefulSet, set({ replicas: 3 }));
    const first = await settled(plane, 3);
    const gone: string[] = [];
    plane.informers.of(Pod).subscribe({ deleted: pod => gone.push(pod.metadata.name ?? '') });
    const change = (patch: unknown) => client.patch(StatefulSet, 'db', { type: 'strategic', patch }, { namespace });
    await change({ spec: { replicas: 2 } });
    await settled(plane, 2);
    await change({ spec: { template: { spec: { containers: [{ name: 'web', image: 'other' }] } } } });
    const second = await settled(plane, 2);
    assert.deepEqual(gone, ['db-2', 'db-1', 'db-0']);
    assert.notEqual(second.status?.currentRevision, first.status?.currentRevision);
    assert.equal(plane.informers.of(PersistentVolumeClaim).objects.size, 3);
  });

  test('with a partition updates only what is above it', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    await client.create(StatefulSet, set({ replicas: 2, podManagementPolicy: 'Parallel' }));
    await settled(plane, 2);
    const patch = {
      spec: {
        updateStrategy: { rollingUpdate: { partition: 1 } },
        template: { spec: { containers: [{ name: 'web', image: 'other' }] } },
      },
    };
    await client.patch(StatefulSet, 'db', { type: 'strategic', patch }, { namespace });
    await plane.until(StatefulSet, sets =>
      sets.values().find(({ status }) => status?.updatedReplicas === 1 && status.readyReplicas === 2),
    );
    const images = (await client.list(Pod, { namespace })).items.map(
      pod => `${pod.metadata.name} ${pod.spec?.containers[0]?.image}`,
    );
    assert.deepEqual(images.toSorted(), ['db-0 stays', 'db-1 other']);
  });
});

describe('the others', () => {
  test('a replication controller keeps its pods', { timeout }, async () => {
    await using plane = await startControlPlane();
    await plane.client.create(ReplicationController, {
      metadata: { name: 'web', namespace },
      spec: { replicas: 2, selector: { app: 'web' }, template: template() },
    });
    await plane.until(ReplicationController, all => all.values().find(({ status }) => status?.readyReplicas === 2));
  });

  test('a budget says how many pods may be evicted', { timeout }, async () => {
    await using plane = await startControlPlane();
    const { client } = plane;
    await client.create(Deployment, {
      metadata: { name: 'web', namespace },
      spec: { replicas: 4, selector: { matchLabels: { app: 'web' } }, template: template() },
    });
    await client.create(PodDisruptionBudget, {
      metadata: { name: 'web', namespace },
      spec: { maxUnavailable: '25%', selector: { matchLabels: { app: 'web' } } },
    });
    const { status } = await plane.until(PodDisruptionBudget, all =>
      all.values().find(budget => budget.status?.currentHealthy === 4),
    );
    assert.equal(status?.expectedPods, 4);
    assert.equal(status?.desiredHealthy, 3);
    assert.equal(status?.disruptionsAllowed, 1);
    assert.equal(status?.conditions?.[0]?.reason, 'SufficientPods');
  });
});
