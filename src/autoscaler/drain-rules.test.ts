import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#api/core/v1/pod.ts';
import type { PodDisruptionBudget } from '#api/policy/v1/pod-disruption-budget.ts';
import { podInfo } from '#scheduler/pod-info.ts';
import { fateOf } from './drain-rules.ts';
import { defaultOptions } from './options.ts';

function pod(metadata: object = {}, spec: object = {}, status: object = {}): Pod {
  const ownerReferences = [{ kind: 'ReplicaSet', name: 'web', uid: 'u', controller: true }];
  return {
    metadata: { name: 'p', namespace: 'default', labels: { app: 'web' }, ownerReferences, ...metadata },
    spec: { containers: [], ...spec },
    status: { phase: 'Running', ...status },
  } as unknown as Pod;
}

function budget(disruptionsAllowed: number, namespace = 'default'): PodDisruptionBudget {
  const selector = { matchLabels: { app: 'web' } };
  return { metadata: { name: 'b', namespace }, spec: { selector }, status: { disruptionsAllowed } } as never;
}

const annotated = (key: string, value: string) => ({
  annotations: { [`cluster-autoscaler.kubernetes.io/${key}`]: value },
});

test('what becomes of a pod when its node goes', () => {
  const local = { volumes: [{ name: 'scratch', emptyDir: {} }] };
  const cases: readonly (readonly [Pod, readonly PodDisruptionBudget[], string | RegExp])[] = [
    [pod(), [], 'moves'],
    [pod({ ownerReferences: [{ kind: 'DaemonSet', name: 'd', uid: 'u', controller: true }] }), [], 'stays'],
    [pod({ annotations: { 'kubernetes.io/config.mirror': 'x' } }), [], 'stays'],
    [pod({}, {}, { phase: 'Succeeded' }), [], 'stays'],
    [pod({ deletionTimestamp: '2026-01-01T00:00:00Z' }), [], 'stays'],
    [pod({ ownerReferences: [] }), [], /is not replicated/],
    [pod({ ownerReferences: [], ...annotated('safe-to-evict', 'true') }), [], 'moves'],
    [pod(annotated('safe-to-evict', 'false')), [], /not safe to evict/],
    [pod({}, local), [], /pod with local storage present/],
    [pod(annotated('safe-to-evict-local-volumes', 'scratch'), local), [], 'moves'],
    [pod({}, { volumes: [{ name: 'm', emptyDir: { medium: 'Memory' } }] }), [], 'moves'],
    [pod({ namespace: 'kube-system' }), [], /kube-system pod present/],
    [pod({ namespace: 'kube-system' }), [budget(1, 'kube-system')], 'moves'],
    [pod(), [budget(0)], /not enough pod disruption budget/],
    [pod(), [budget(0, 'other')], 'moves'],
  ];
  for (const [each, budgets, wanted] of cases) {
    const fate = fateOf(podInfo(each), budgets, defaultOptions);
    if (typeof wanted === 'string') assert.equal(fate, wanted);
    else assert.match(typeof fate === 'object' ? fate.blocks : fate, wanted);
  }
});
