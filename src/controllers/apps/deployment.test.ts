import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRandom } from '#base/random.ts';
import type { Deployment } from '#api/apps/v1/deployment.ts';
import type { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import type { Informer } from '#client/informer.ts';
import { errors } from '#api/machinery/errors.ts';
import type { Action } from '../actions.ts';
import { defaultSettings } from '../controllers.ts';
import { deploymentController } from './deployment.ts';
import { rollingLimits } from './rollout.ts';

const nowMs = Date.UTC(2026, 0, 1, 12);
const ago = (seconds: number) => new Date(nowMs - seconds * 1000).toISOString().replace('.000', '');

const template = (image: string) => ({
  metadata: { labels: { app: 'web' } },
  spec: { containers: [{ name: 'web', image }] },
});

interface Shape {
  readonly replicas?: number;
  readonly image?: string;
  readonly maxSurge?: number | string;
  readonly maxUnavailable?: number | string;
  readonly recreate?: boolean;
  readonly paused?: boolean;
  readonly historyLimit?: number;
  readonly status?: Deployment['status'];
  readonly revision?: string;
}

function deployment(shape: Shape = {}): Deployment {
  const {
    replicas = 4,
    image = 'web:2',
    maxSurge = 1,
    maxUnavailable = 1,
    recreate,
    paused,
    historyLimit = 10,
  } = shape;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: 'web',
      namespace: 'default',
      uid: 'deployment',
      generation: 2,
      ...(shape.revision !== undefined && {
        annotations: { 'deployment.kubernetes.io/revision': shape.revision, note: 'kept' },
      }),
    },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      template: template(image),
      strategy: recreate
        ? { type: 'Recreate' }
        : { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } },
      progressDeadlineSeconds: 600,
      revisionHistoryLimit: historyLimit,
      ...(paused && { paused }),
    },
    status: shape.status ?? {
      conditions: [
        {
          type: 'Progressing',
          status: 'True',
          reason: 'ReplicaSetUpdated',
          lastUpdateTime: ago(5),
          lastTransitionTime: ago(5),
        },
      ],
    },
  } as unknown as Deployment;
}

interface SetShape {
  readonly image: string;
  readonly replicas: number;
  readonly available?: number;
  readonly revision: number;
  readonly desired?: number;
  readonly maxReplicas?: number;
  readonly createdAgo?: number;
  readonly note?: string;
}

function set(name: string, shape: SetShape): ReplicaSet {
  const { image, replicas, available = replicas, revision, desired = 4, maxReplicas = 5, createdAgo = 100 } = shape;
  const labels = { app: 'web', 'pod-template-hash': name };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `web-${name}`,
      namespace: 'default',
      uid: name,
      labels,
      creationTimestamp: ago(createdAgo),
      generation: 1,
      annotations: {
        'deployment.kubernetes.io/revision': String(revision),
        'deployment.kubernetes.io/desired-replicas': String(desired),
        'deployment.kubernetes.io/max-replicas': String(maxReplicas),
        note: shape.note ?? 'kept',
      },
    },
    spec: { replicas, selector: { matchLabels: labels }, template: { ...template(image), metadata: { labels } } },
    status: { replicas, readyReplicas: available, availableReplicas: available, observedGeneration: 1 },
  } as unknown as ReplicaSet;
}

function decide(
  subject: Deployment,
  owned: readonly ReplicaSet[],
  running = false,
  known: readonly ReplicaSet[] = owned,
): readonly Action[] {
  return deploymentController.decide(subject, {
    sets: { owned, orphans: [] },
    runningPods: () => running,
    known: { get: (name: string) => known.find(each => each.metadata.name === name) } as Informer<ReplicaSet>,
    nowMs,
    random: seededRandom(1),
    settings: defaultSettings,
  });
}

const scalings = (actions: readonly Action[]) =>
  actions.flatMap(action =>
    action.do === 'update' && action.kind.kind === 'ReplicaSet'
      ? [[action.object.metadata.name, (action.object as ReplicaSet).spec.replicas]]
      : [],
  );
function creationIn(actions: readonly Action[]): Action & { readonly do: 'create' } {
  const creation = actions.find(action => action.do === 'create');
  assert.ok(creation?.do === 'create');
  return creation;
}

const statusIn = (actions: readonly Action[]) => {
  const found = actions.find(action => action.do === 'update' && action.subresource === 'status');
  return found?.do === 'update' ? (found.object as Deployment).status : undefined;
};
const progressIn = (actions: readonly Action[]) => {
  const found = statusIn(actions)?.conditions?.find(({ type }) => type === 'Progressing');
  return found && [found.status, found.reason, found.message];
};

describe('a rollout', () => {
  test('begins with a new set within the surge', () => {
    const actions = decide(deployment(), [set('old', { image: 'web:1', replicas: 4, revision: 1 })]);
    const creation = actions.find(action => action.do === 'create');
    assert.ok(creation?.do === 'create');
    const created = creation.object as ReplicaSet;
    assert.equal(created.spec.replicas, 1);
    assert.match(created.metadata.name ?? '', /^web-[a-z0-9]+$/);
    const hash = created.metadata.labels?.['pod-template-hash'];
    assert.equal(created.metadata.name, `web-${hash}`);
    assert.equal(created.spec.selector.matchLabels?.['pod-template-hash'], hash);
    assert.equal(created.spec.template.metadata?.labels?.['pod-template-hash'], hash);
    assert.equal(created.metadata.annotations?.['deployment.kubernetes.io/revision'], '2');
    assert.equal(created.metadata.annotations?.['deployment.kubernetes.io/max-replicas'], '5');
    assert.equal(creation.succeeded?.(created)?.message, `Scaled up replica set ${created.metadata.name} from 0 to 1`);
  });

  const steps: readonly [what: string, sets: readonly ReplicaSet[], wanted: readonly (readonly [string, number])[]][] =
    [
      [
        'grows the new set into the room there is',
        [
          set('old', { image: 'web:1', replicas: 3, revision: 1 }),
          set('new', { image: 'web:2', replicas: 1, revision: 2 }),
        ],
        [['web-new', 2]],
      ],
      [
        'shrinks the old sets by what may be unavailable',
        [
          set('old', { image: 'web:1', replicas: 4, revision: 1 }),
          set('new', { image: 'web:2', replicas: 1, available: 0, revision: 2 }),
        ],
        [['web-old', 3]],
      ],
      [
        'takes pods of old sets that are not available first, oldest set first',
        [
          set('older', { image: 'web:0', replicas: 2, available: 0, revision: 1, createdAgo: 300 }),
          set('old', { image: 'web:1', replicas: 2, revision: 2, createdAgo: 200 }),
          set('new', { image: 'web:2', replicas: 1, available: 1, revision: 3 }),
        ],
        [['web-older', 0]],
      ],
      [
        'waits while nothing can be spared',
        [
          set('old', { image: 'web:1', replicas: 3, revision: 1 }),
          set('new', { image: 'web:2', replicas: 2, available: 0, revision: 2 }),
        ],
        [],
      ],
    ];
  for (const [what, sets, wanted] of steps)
    test(what, () => assert.deepEqual(scalings(decide(deployment({ revision: String(sets.length) }), sets)), wanted));

  test('is complete when all is new and available', () => {
    const subject = deployment({ revision: '2' });
    const actions = decide(subject, [
      set('old', { image: 'web:1', replicas: 0, revision: 1 }),
      set('new', { image: 'web:2', replicas: 4, revision: 2 }),
    ]);
    assert.deepEqual(progressIn(actions), [
      'True',
      'NewReplicaSetAvailable',
      'ReplicaSet "web-new" has successfully progressed.',
    ]);
    const available = statusIn(actions)?.conditions?.find(({ type }) => type === 'Available');
    assert.deepEqual([available?.status, available?.reason], ['True', 'MinimumReplicasAvailable']);
  });

  test('fails when nothing moves until the deadline, and is looked at then', () => {
    const sets = [set('new', { image: 'web:2', replicas: 4, available: 0, revision: 1 })];
    const counted = {
      replicas: 4,
      updatedReplicas: 4,
      unavailableReplicas: 4,
      observedGeneration: 2,
    };
    const since = (seconds: number) =>
      deployment({
        revision: '1',
        status: {
          ...counted,
          conditions: [
            {
              type: 'Progressing',
              status: 'True',
              reason: 'ReplicaSetUpdated',
              lastUpdateTime: ago(seconds),
              lastTransitionTime: ago(seconds),
            },
          ],
        } as unknown as Deployment['status'],
      });
    const waiting = decide(since(100), sets).find(action => action.do === 'wake');
    assert.equal(waiting?.do === 'wake' && waiting.atMs, nowMs + 501_000);
    assert.deepEqual(progressIn(decide(since(601), sets)), [
      'False',
      'ProgressDeadlineExceeded',
      'ReplicaSet "web-new" has timed out progressing.',
    ]);
  });

  test('by Recreate waits for every old pod', () => {
    const subject = deployment({ recreate: true });
    const old = set('old', { image: 'web:1', replicas: 4, revision: 1 });
    assert.deepEqual(scalings(decide(subject, [old], true)), [['web-old', 0]]);
    const empty = set('old', { image: 'web:1', replicas: 0, revision: 1 });
    assert.equal(
      decide(subject, [empty], true).some(action => action.do === 'create'),
      false,
    );
    const creation = decide(subject, [empty]).find(action => action.do === 'create');
    assert.equal(creation?.do === 'create' && (creation.object as ReplicaSet).spec.replicas, 4);
  });

  test('scales in proportion in its middle', () => {
    const sets = [
      set('old', { image: 'web:1', replicas: 3, revision: 1, createdAgo: 200 }),
      set('new', { image: 'web:2', replicas: 2, available: 1, revision: 2 }),
    ];
    assert.deepEqual(scalings(decide(deployment({ replicas: 9, revision: '2' }), sets)), [
      ['web-old', 6],
      ['web-new', 4],
    ]);
    assert.deepEqual(scalings(decide(deployment({ replicas: 2, revision: '2' }), sets)), [
      ['web-old', 2],
      ['web-new', 1],
    ]);
  });

  test('going back to an old template gives its set the next revision and remembers the one it had', () => {
    const sets = [
      set('back', { image: 'web:2', replicas: 0, revision: 1, createdAgo: 200, note: 'old' }),
      set('now', { image: 'web:1', replicas: 4, revision: 2 }),
    ];
    const change = decide(deployment({ revision: '2' }), sets)[0];
    assert.ok(change?.do === 'update');
    assert.equal(change.object.metadata.name, 'web-back');
    assert.equal(change.object.metadata.annotations?.['deployment.kubernetes.io/revision'], '3');
    assert.equal(change.object.metadata.annotations?.['deployment.kubernetes.io/revision-history'], '1');
    assert.equal(change.object.metadata.annotations?.note, 'kept');
  });

  test('paused neither rolls nor creates, but scales', () => {
    const sets = [set('old', { image: 'web:1', replicas: 4, revision: 1 })];
    const paused = {
      conditions: [{ type: 'Progressing', status: 'Unknown', reason: 'DeploymentPaused' }],
    } as unknown as Deployment['status'];
    assert.deepEqual(progressIn(decide(deployment({ paused: true }), sets)), [
      'Unknown',
      'DeploymentPaused',
      'Deployment is paused',
    ]);
    const actions = decide(deployment({ paused: true, replicas: 6, status: paused }), sets);
    assert.deepEqual(scalings(actions), [['web-old', 6]]);
    assert.equal(
      actions.some(action => action.do === 'create'),
      false,
    );
    assert.deepEqual(progressIn(decide(deployment({ status: paused }), sets)), [
      'Unknown',
      'DeploymentResumed',
      'Deployment is resumed',
    ]);
  });

  test('keeps as many old sets as it is told', () => {
    const complete = { replicas: 4, updatedReplicas: 4, availableReplicas: 4, observedGeneration: 2 };
    const sets = [1, 2, 3].map(number =>
      set(`old${number}`, { image: `web:0.${number}`, replicas: 0, revision: number }),
    );
    const subject = deployment({
      historyLimit: 1,
      revision: '4',
      status: {
        ...complete,
        conditions: [{ type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable' }],
      } as unknown as Deployment['status'],
    });
    const actions = decide(subject, [...sets, set('new', { image: 'web:2', replicas: 4, revision: 4 })]);
    assert.deepEqual(
      actions.flatMap(action => (action.do === 'delete' ? [action.object.metadata.name] : [])),
      ['web-old1', 'web-old2'],
    );
  });

  test('takes another name when somebody else has the name of its set', () => {
    const creation = creationIn(decide(deployment(), []));
    const { metadata, spec } = creation.object as ReplicaSet;
    const answerWhere = (known: readonly ReplicaSet[]) => {
      const later = decide(deployment(), [], false, known).find(action => action.do === 'afterwards');
      assert.ok(later?.do === 'afterwards');
      const error = errors.alreadyExists({ group: 'apps', plural: 'replicasets' }, metadata.name ?? '');
      return later.decide({ failures: [{ action: creation, error }], objects: [] });
    };
    const others = { metadata: { ...metadata, ownerReferences: [] }, spec } as unknown as ReplicaSet;
    assert.equal(statusIn(answerWhere([others]))?.collisionCount, 1);
    // Its own, of whose creation it has not heard.
    assert.deepEqual(answerWhere([{ metadata, spec } as unknown as ReplicaSet]), []);
    assert.deepEqual(
      answerWhere([]).map(action => action.do),
      ['retry'],
    );
    const renamed = decide(deployment({ status: { collisionCount: 1 } as unknown as Deployment['status'] }), []).find(
      action => action.do === 'create',
    );
    assert.notEqual(renamed?.do === 'create' && renamed.object.metadata?.name, metadata.name);
  });

  test('says why its set cannot be made', () => {
    const actions = decide(deployment(), []);
    const later = actions.find(action => action.do === 'afterwards');
    const creation = actions.find(action => action.do === 'create');
    assert.ok(later?.do === 'afterwards' && creation?.do === 'create');
    const answer = later.decide({ failures: [{ action: creation, error: new Error('quota') }], objects: [] });
    const name = creation.object.metadata?.name;
    assert.deepEqual(progressIn(answer), [
      'False',
      'ReplicaSetCreateError',
      `Failed to create new replica set "${name}": quota`,
    ]);
  });
});

describe('the limits of a rolling update', () => {
  const cases: readonly [
    replicas: number,
    maxSurge: number | string,
    maxUnavailable: number | string,
    wanted: [number, number],
  ][] = [
    [10, '25%', '25%', [3, 2]],
    [1, '25%', '25%', [1, 0]],
    [4, 0, '10%', [0, 1]],
    [3, 2, 5, [2, 3]],
    [0, 1, 1, [0, 0]],
  ];
  for (const [replicas, maxSurge, maxUnavailable, [surge, unavailable]] of cases)
    test(`${maxSurge} and ${maxUnavailable} of ${replicas}`, () =>
      assert.deepEqual(rollingLimits(deployment({ replicas, maxSurge, maxUnavailable })), {
        maxSurge: surge,
        maxUnavailable: unavailable,
      }));
});
