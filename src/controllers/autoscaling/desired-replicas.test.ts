import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pod } from '#api/core/v1/pod.ts';
import {
  proposeForResource,
  withinLimits,
  type History,
  replicasForAverage,
  replicasForRatio,
  toleranceOf,
} from './desired-replicas.ts';

const nowMs = Date.UTC(2026, 0, 1, 12);
const ago = (seconds: number) => new Date(nowMs - seconds * 1000).toISOString();

const pod = (name: string, phase = 'Running', startedAgo = 3_600): Pod =>
  ({
    metadata: { name, namespace: 'default' },
    spec: { containers: [] },
    status: {
      phase,
      startTime: ago(startedAgo),
      conditions: [
        { type: 'Ready', status: phase === 'Running' ? 'True' : 'False', lastTransitionTime: ago(startedAgo - 5) },
      ],
    },
  }) as unknown as Pod;

function proposed(loads: readonly (number | undefined)[], percent: number, more: readonly Pod[] = []): number {
  const pods = loads.map((_, index) => pod(`p${index}`));
  const measures = new Map(
    loads.flatMap((milli, index) => (milli === undefined ? [] : [[`p${index}`, { milli, atMs: nowMs }] as const])),
  );
  const all = [...pods, ...more];
  return proposeForResource('cpu', { kind: 'utilization', percent }, all.length, all, measures, () => 1000, nowMs)
    .replicas;
}

describe('how many replicas', () => {
  test('follows the ratio of use to target', () => {
    assert.equal(proposed([300, 500, 700], 30), 5);
    assert.equal(proposed([100, 100, 100], 50), 1);
  });
  test('stays within the tolerance', () => assert.equal(proposed([530, 530], 50), 2));
  test('or within the tolerance of its rules, up and down', () => {
    const tolerance = toleranceOf({ behavior: { scaleUp: { tolerance: '0' }, scaleDown: { tolerance: '500m' } } });
    assert.deepEqual(tolerance, { up: 0, down: 0.5 });
    assert.equal(replicasForAverage(2010, 1000, 2, tolerance), 3);
    assert.equal(replicasForAverage(1010, 1000, 2, tolerance), 2);
    assert.equal(replicasForAverage(990, 1000, 2, tolerance), 1);
    assert.equal(replicasForRatio(1.01, 0, [], tolerance), 2);
  });
  test('takes pods without measure for busy when it shrinks, for idle when it grows', () => {
    // Alone the two measured pods would make 1; the missing one counts as fully used.
    assert.equal(proposed([100, 100, undefined], 60), 2);
    assert.equal(proposed([900, 900, undefined], 60), 3);
  });
  test('takes starting pods for idle when it grows', () =>
    assert.equal(proposed([900, 900], 45, [pod('new', 'Pending'), pod('newer', 'Pending')]), 4));
  test('has nothing to go by without ready pods', () =>
    assert.throws(
      () => proposed([undefined], 50),
      /did not receive metrics for targeted pods \(pods might be unready\)/,
    ));
});

describe('the limits of a change', () => {
  const spec = { scaleTargetRef: { kind: 'Deployment', name: 'web' }, minReplicas: 2, maxReplicas: 20 };
  const none: History = { recommendations: [], changes: [] };
  const reasonOf = (current: number, recommended: number, history = none, more = {}) => {
    const { replicas, limited, able } = withinLimits({ ...spec, ...more }, current, recommended, history, nowMs);
    return [replicas, able?.reason ?? limited.reason];
  };

  test('by default doubles, or adds four, in 15 seconds', () => {
    assert.deepEqual(reasonOf(3, 20), [7, 'ScaleUpLimit']);
    assert.deepEqual(reasonOf(8, 20), [16, 'ScaleUpLimit']);
  });
  test('counts what was added in the period already', () =>
    assert.deepEqual(reasonOf(7, 20, { ...none, changes: [{ atMs: nowMs - 5_000, by: 4 }] }), [7, 'ScaleUpLimit']));
  test('keep the bounds', () => {
    assert.deepEqual(reasonOf(16, 30), [20, 'TooManyReplicas']);
    assert.deepEqual(reasonOf(5, 1), [2, 'TooFewReplicas']);
  });
  test('go down to the highest recommendation of five minutes only', () =>
    assert.deepEqual(
      reasonOf(10, 4, {
        ...none,
        recommendations: [
          { atMs: nowMs - 100_000, replicas: 8 },
          { atMs: nowMs - 400_000, replicas: 10 },
        ],
      }),
      [8, 'ScaleDownStabilized'],
    ));
  test('are those of the spec', () => {
    const behavior = {
      scaleDown: { stabilizationWindowSeconds: 0, policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] },
    };
    assert.deepEqual(reasonOf(10, 4, none, { behavior }), [9, 'ScaleDownLimit']);
    assert.deepEqual(
      reasonOf(10, 4, none, { behavior: { scaleDown: { selectPolicy: 'Disabled', stabilizationWindowSeconds: 0 } } }),
      [10, 'ScaleDownLimit'],
    );
  });
});
