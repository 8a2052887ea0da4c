import assert from 'node:assert/strict';
import { test } from 'node:test';
import { altered, created, mistakes } from '../../kind-checks.ts';
import type { Kind } from '../../machinery/kind.ts';
import { HorizontalPodAutoscaler as V2Kind } from '../v2/horizontal-pod-autoscaler.ts';
import { HorizontalPodAutoscaler as V1Kind } from './horizontal-pod-autoscaler.ts';

const [V1, V2] = [V1Kind, V2Kind] as unknown as [Kind, Kind];
const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
const minimal = { metadata: { name: 'web', namespace: 'default' }, spec: { scaleTargetRef, maxReplicas: 3 } };
const convert = (change: Kind['toStored'], object: unknown) => {
  assert.ok(change);
  return change(object as never) as unknown as { spec: Record<string, unknown> };
};

test('version 1 is stored as version 2 and comes back as it was', () => {
  const old = created(V1, altered(minimal, 'spec.targetCPUUtilizationPercentage', 70));
  const stored = convert(V1.toStored, old);
  assert.deepEqual(stored.spec['metrics'], [
    { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 70 } } },
  ]);
  assert.deepEqual(convert(V1.fromStored, stored).spec, old['spec']);
});

test('wrong autoscalers are refused, each for what is wrong', () => {
  for (const [body, wanted] of [
    [minimal, []],
    [
      altered(minimal, 'spec.maxReplicas', 0),
      ['spec.maxReplicas FieldValueRequired', 'spec.maxReplicas FieldValueInvalid'],
    ],
    [altered(minimal, 'spec.scaleTargetRef.apiVersion', 'v1'), ['spec.scaleTargetRef.apiVersion FieldValueInvalid']],
    [altered(minimal, 'spec.scaleTargetRef.name', ''), ['spec.scaleTargetRef.name FieldValueRequired']],
    [altered(minimal, 'spec.minReplicas', 5), ['spec.maxReplicas FieldValueInvalid']],
    [
      altered(minimal, 'spec.metrics', [
        { type: 'Object', pods: { metric: { name: 'm' }, target: { type: 'Value' } } },
      ]),
      ['spec.metrics[0].pods.target.averageValue FieldValueRequired', 'spec.metrics[0].object FieldValueRequired'],
    ],
    [
      altered(minimal, 'spec.metrics', [
        {
          type: 'ContainerResource',
          containerResource: {
            name: 'disk',
            container: 'No',
            target: { type: 'Utilization', averageUtilization: 50 },
          },
        },
      ]),
      [
        'spec.metrics[0].containerResource.name FieldValueInvalid',
        'spec.metrics[0].containerResource.name FieldValueInvalid',
        'spec.metrics[0].containerResource.container FieldValueInvalid',
      ],
    ],
    [
      altered(minimal, 'spec.metrics', [
        {
          type: 'Pods',
          pods: { metric: { name: 'm' }, target: { type: 'AverageValue', averageValue: '0' } },
          resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } },
        },
      ]),
      ['spec.metrics[0].pods.target.averageValue FieldValueInvalid', 'spec.metrics[0].resource FieldValueForbidden'],
    ],
    [
      altered(minimal, 'spec.metrics', [{ type: 'Odd' }]),
      ['spec.metrics[0].type FieldValueNotSupported', 'spec.metrics[0].type FieldValueNotSupported'],
    ],
  ] as const) {
    assert.deepEqual(mistakes(V2, body), wanted, JSON.stringify(body));
  }
});
