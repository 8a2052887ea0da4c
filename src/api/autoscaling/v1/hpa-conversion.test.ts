import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromStored, toStored } from './hpa-conversion.ts';

const reference = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
const selector = { matchLabels: { a: 'b' } };
const cpu = { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } };
const others = [
  { type: 'Resource', resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '1Gi' } } },
  { type: 'Pods', pods: { metric: { name: 'p', selector }, target: { type: 'AverageValue', averageValue: '10' } } },
  {
    type: 'Object',
    object: {
      describedObject: { kind: 'Service', name: 's' },
      metric: { name: 'o' },
      target: { type: 'AverageValue', averageValue: '5' },
    },
  },
  { type: 'External', external: { metric: { name: 'e', selector }, target: { type: 'Value', value: '5' } } },
];
const stored = {
  metadata: { name: 'web', annotations: { own: 'x' } },
  spec: {
    scaleTargetRef: reference,
    maxReplicas: 5,
    metrics: [cpu, ...others],
    behavior: { scaleDown: { stabilizationWindowSeconds: 60, policies: [] } },
  },
  status: {
    desiredReplicas: 1,
    currentMetrics: [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: 3 } } }],
  },
};

test('what version 1 has no fields for travels as upstream writes it', () => {
  const { metadata, spec, status } = fromStored(stored);
  const carried = (name: string) =>
    JSON.parse(metadata.annotations?.[`autoscaling.alpha.kubernetes.io/${name}`] ?? 'null') as unknown;
  assert.equal(spec.targetCPUUtilizationPercentage, 50);
  assert.equal(status.currentCPUUtilizationPercentage, 3);
  assert.deepEqual(carried('metrics'), [
    { type: 'Resource', resource: { name: 'memory', targetAverageValue: '1Gi' } },
    { type: 'Pods', pods: { metricName: 'p', targetAverageValue: '10', selector } },
    {
      type: 'Object',
      object: { target: { kind: 'Service', name: 's' }, metricName: 'o', targetValue: '0', averageValue: '5' },
    },
    { type: 'External', external: { metricName: 'e', metricSelector: selector, targetValue: '5' } },
  ]);
  assert.deepEqual(carried('current-metrics'), [
    { type: 'Resource', resource: { name: 'cpu', currentAverageUtilization: 3, currentAverageValue: '0' } },
  ]);
  assert.deepEqual(carried('behavior'), {
    ScaleUp: null,
    ScaleDown: { StabilizationWindowSeconds: 60, SelectPolicy: null, Policies: [], Tolerance: null },
  });
});

test('and comes back, the processor last', () => {
  const back = toStored(fromStored(stored));
  const plain = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown;
  assert.deepEqual(plain(back.spec.metrics), [...others, cpu]);
  assert.deepEqual(plain(back.spec.behavior), { scaleDown: { stabilizationWindowSeconds: 60, policies: [] } });
  assert.deepEqual(back.metadata.annotations, { own: 'x' });
});

test('without any metric it is the processor’s, at 80 percent', () => {
  const { spec } = toStored({
    metadata: {},
    spec: { scaleTargetRef: reference, maxReplicas: 2 },
    status: { currentReplicas: 0, desiredReplicas: 0 },
  });
  assert.equal(spec.metrics?.[0]?.resource?.target.averageUtilization, 80);
});
