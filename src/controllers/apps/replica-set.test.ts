import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRandom } from '#base/random.ts';
import type { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Action } from '../actions.ts';
import { defaultSettings } from '../controllers.ts';
import { replicaSetController } from './replica-set.ts';

const nowMs = Date.UTC(2026, 0, 1, 12);
const ago = (seconds: number) => new Date(nowMs - seconds * 1000).toISOString().replace('.000', '');

function set(replicas: number, more: Partial<ReplicaSet['spec']> = {}, status?: ReplicaSet['status']): ReplicaSet {
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name: 'web', namespace: 'default', uid: 'set', generation: 3 },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image: 'web:1' }] } },
      ...more,
    },
    ...(status && { status }),
  } as ReplicaSet;
}

interface PodShape {
  readonly phase?: string;
  readonly readyFor?: number;
  readonly node?: string;
  readonly cost?: string;
  readonly restarts?: number;
  readonly createdAgo?: number;
  readonly deleting?: boolean;
  readonly labels?: Record<string, string>;
}

function pod(name: string, shape: PodShape = {}): Pod {
  const { phase = 'Running', readyFor, node = 'node-1', cost, restarts = 0, createdAgo = 600, deleting } = shape;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'default',
      uid: `uid-${name}`,
      labels: shape.labels ?? { app: 'web' },
      creationTimestamp: ago(createdAgo),
      ...(cost !== undefined && { annotations: { 'controller.kubernetes.io/pod-deletion-cost': cost } }),
      ...(deleting && { deletionTimestamp: ago(1) }),
    },
    spec: { containers: [], ...(node !== '' && { nodeName: node }) },
    status: {
      phase,
      conditions: [
        {
          type: 'Ready',
          status: readyFor === undefined ? 'False' : 'True',
          lastTransitionTime: ago(readyFor ?? 0),
        },
      ],
      containerStatuses: [
        { name: 'web', restartCount: restarts, image: '', imageID: '', ready: true, lastState: {}, state: {} },
      ],
    },
  } as unknown as Pod;
}

function decide(replicaSet: ReplicaSet, owned: readonly Pod[], orphans: readonly Pod[] = []): Action[] {
  const crowd = () => (each: Pod) => owned.filter(other => other.spec?.nodeName === each.spec?.nodeName).length;
  const actions = replicaSetController.decide(replicaSet, {
    pods: { owned, orphans },
    crowd,
    nowMs,
    random: seededRandom(1),
    settings: defaultSettings,
  });
  return actions.flatMap(action => (action.do === 'batch' ? action.actions : [action]));
}

const after = (actions: readonly Action[], failure?: Error) =>
  actions.flatMap(action =>
    action.do === 'afterwards'
      ? action.decide({
          failures: failure ? [{ action: { do: 'retry', why: '' }, error: failure }] : [],
          objects: [],
        })
      : [],
  );
const statusIn = (actions: readonly Action[], failure?: Error) => {
  const found = after(actions, failure).find(action => action.do === 'update');
  return found?.do === 'update' ? (found.object as ReplicaSet).status : undefined;
};
const removed = (actions: readonly Action[]) =>
  actions.flatMap(action => (action.do === 'delete' ? [action.object.metadata.name] : []));
const count = (actions: readonly Action[], what: Action['do']) => actions.filter(action => action.do === what).length;

describe('the ReplicaSet controller', () => {
  test('creates what is missing, controlled by the set', () => {
    const actions = decide(set(3), [pod('a', { readyFor: 60 })]);
    assert.equal(count(actions, 'create'), 2);
    const creation = actions.find(action => action.do === 'create');
    assert.deepEqual(creation?.do === 'create' && creation.object.metadata, {
      namespace: 'default',
      generateName: 'web-',
      labels: { app: 'web' },
      ownerReferences: [
        {
          apiVersion: 'apps/v1',
          kind: 'ReplicaSet',
          name: 'web',
          uid: 'set',
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    });
  });

  test('creates at most 500 at a time', () => assert.equal(count(decide(set(2000), []), 'create'), 500));

  test('pods that ended or are going do not count', () => {
    const pods = [
      pod('done', { phase: 'Succeeded' }),
      pod('failed', { phase: 'Failed' }),
      pod('going', { deleting: true }),
    ];
    const actions = decide(set(1), pods);
    assert.equal(count(actions, 'create'), 1);
    assert.equal(statusIn(actions)?.terminatingReplicas, 1);
  });

  const order: readonly [what: string, pods: readonly Pod[], victim: string][] = [
    ['not assigned', [pod('a', { readyFor: 60 }), pod('b', { phase: 'Pending', node: '' })], 'b'],
    ['pending', [pod('a', {}), pod('b', { phase: 'Pending' })], 'b'],
    ['not ready', [pod('a', { readyFor: 60 }), pod('b', {})], 'b'],
    ['cheap', [pod('a', { readyFor: 60, cost: '10' }), pod('b', { readyFor: 60, cost: '-5' })], 'b'],
    [
      'crowded',
      [
        pod('a', { readyFor: 60, node: 'x' }),
        pod('b', { readyFor: 60, node: 'y' }),
        pod('c', { readyFor: 6000, node: 'y' }),
      ],
      'b',
    ],
    ['ready for a short time', [pod('a', { readyFor: 6000 }), pod('b', { readyFor: 5 })], 'b'],
    ['restarted often', [pod('a', { readyFor: 60 }), pod('b', { readyFor: 60, restarts: 3 })], 'b'],
    ['young', [pod('a', { createdAgo: 6000 }), pod('b', { createdAgo: 5 })], 'b'],
  ];
  for (const [what, pods, victim] of order)
    test(`of surplus pods the one goes that is ${what}`, () =>
      assert.deepEqual(removed(decide(set(pods.length - 1), pods)), [victim]));

  test('adopts matching orphans and lets go of those that do not match any more', () => {
    const actions = decide(set(2), [pod('mine'), pod('stray', { labels: { app: 'other' } })], [pod('orphan')]);
    const patches = actions.flatMap(action =>
      action.do === 'patch' && action.patch.type === 'strategic'
        ? [[action.object.metadata.name, JSON.stringify(action.patch.patch).includes('$patch')]]
        : [],
    );
    assert.deepEqual(patches, [
      ['stray', true],
      ['orphan', false],
    ]);
    assert.equal(count(actions, 'create'), 0);
  });

  test('a set that is going neither scales nor adopts', () => {
    const going = { ...set(3), metadata: { ...set(3).metadata, deletionTimestamp: ago(1) } };
    assert.deepEqual(
      decide(going, [], [pod('orphan')]).map(action => action.do),
      ['afterwards'],
    );
  });

  test('counts in the status, and writes it only when it changed', () => {
    const pods = [pod('a', { readyFor: 60 }), pod('b', { readyFor: 5 }), pod('c')];
    const status = statusIn(decide(set(3, { minReadySeconds: 30 }), pods));
    assert.deepEqual(status, {
      replicas: 3,
      fullyLabeledReplicas: 3,
      readyReplicas: 2,
      availableReplicas: 1,
      terminatingReplicas: 0,
      observedGeneration: 3,
      conditions: [],
    });
    const actions = after(decide(set(3, { minReadySeconds: 30 }, status), pods));
    assert.deepEqual(actions, [{ do: 'wake', atMs: nowMs + 25_000 }]);
  });

  test('says why it cannot create, and takes it back', () => {
    const actions = decide(set(1), []);
    const failed = statusIn(actions, new Error('quota'));
    assert.deepEqual(
      failed?.conditions?.map(({ type, status, reason, message }) => ({ type, status, reason, message })),
      [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: 'quota' }],
    );
    assert.deepEqual(statusIn(decide(set(1, {}, failed), [pod('a')]))?.conditions, []);
  });
});
