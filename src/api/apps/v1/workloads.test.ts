import assert from 'node:assert/strict';
import { test } from 'node:test';
import { altered, type Body, created, cells, mistakes, updateMistakes } from '../../kind-checks.ts';
import type { Kind } from '../../machinery/kind.ts';
import { DaemonSet } from './daemon-set.ts';
import { Deployment as DeploymentKind } from './deployment.ts';
import { ReplicaSet } from './replica-set.ts';
import { StatefulSet } from './stateful-set.ts';

const Deployment = DeploymentKind as unknown as Kind;
const labels = { app: 'web' };
const minimal = {
  metadata: { name: 'web', namespace: 'default' },
  spec: {
    selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers: [{ name: 'web', image: 'web' }] } },
  },
};
const specOf = (kind: unknown) => {
  const { template, selector, ...rest } = created(kind as Kind, minimal)['spec'] as Body;
  assert.ok(template);
  assert.ok(selector);
  return rest;
};

test('workloads get their defaults', () => {
  assert.deepEqual(specOf(Deployment), {
    progressDeadlineSeconds: 600,
    replicas: 1,
    revisionHistoryLimit: 10,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
  });
  assert.deepEqual(specOf(ReplicaSet), { replicas: 1 });
  assert.deepEqual(specOf(DaemonSet), {
    revisionHistoryLimit: 10,
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } },
  });
  assert.deepEqual(specOf(StatefulSet), {
    persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
    podManagementPolicy: 'OrderedReady',
    replicas: 1,
    revisionHistoryLimit: 10,
    serviceName: '',
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, partition: 0 } },
  });
});

test('wrong deployments are refused, each for what is wrong', () => {
  for (const [body, wanted] of [
    [minimal, []],
    [altered(minimal, 'spec.replicas', -1), ['spec.replicas FieldValueInvalid']],
    [
      altered(minimal, 'spec.selector.matchLabels', { app: 'other' }),
      ['spec.template.metadata.labels FieldValueInvalid'],
    ],
    [
      altered(minimal, 'spec.template.spec.restartPolicy', 'Never'),
      ['spec.template.spec.restartPolicy FieldValueNotSupported'],
    ],
    [altered(minimal, 'spec.strategy', { type: 'Magic' }), ['spec.strategy FieldValueNotSupported']],
    [altered(minimal, 'spec.progressDeadlineSeconds', 0), ['spec.progressDeadlineSeconds FieldValueInvalid']],
  ] as const) {
    assert.deepEqual(mistakes(Deployment, body), wanted, JSON.stringify(body));
  }
});

test('the selector stays', () => {
  const labelled = altered(minimal, 'spec.template.metadata.labels', { ...labels, more: 'x' });
  const other = altered(labelled, 'spec.selector.matchLabels', { more: 'x' });
  assert.deepEqual(updateMistakes(Deployment, labelled, other), ['spec.selector FieldValueInvalid']);
});

test('the row of a deployment', () => {
  const status = { replicas: 3, readyReplicas: 2, updatedReplicas: 3, availableReplicas: 2 };
  const body = { ...altered(minimal, 'spec.replicas', 3), status };
  assert.deepEqual(cells(Deployment, body).slice(0, 4), ['web', '2/3', 3, 2]);
});
