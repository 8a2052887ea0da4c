import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Taint } from '#api/core/v1/node.ts';
import type { Toleration } from '#api/core/v1/toleration.ts';
import { evictionMs, tolerates } from './taint-eviction.ts';

const nowMs = Date.UTC(2026, 0, 1, 12);
const taint = (key: string): Taint => ({ key, value: 'v', effect: 'NoExecute' });

describe('when a pod has to leave', () => {
  const cases: readonly [
    what: string,
    taints: readonly Taint[],
    tolerations: readonly Toleration[],
    wanted: number | undefined,
  ][] = [
    ['no taint', [], [], undefined],
    ['a taint it does not tolerate', [taint('a')], [], nowMs],
    ['a taint it tolerates', [taint('a')], [{ key: 'a', operator: 'Exists' }], undefined],
    [
      'a taint it tolerates for a while',
      [taint('a')],
      [{ key: 'a', operator: 'Exists', tolerationSeconds: 300 }],
      nowMs + 300_000,
    ],
    ['one of two it does not tolerate', [taint('a'), taint('b')], [{ key: 'a', operator: 'Exists' }], nowMs],
    [
      'the shortest of several tolerations',
      [taint('a')],
      [
        { operator: 'Exists', tolerationSeconds: 60 },
        { key: 'a', operator: 'Exists', tolerationSeconds: 30 },
      ],
      nowMs + 30_000,
    ],
    ['a negative time', [taint('a')], [{ operator: 'Exists', tolerationSeconds: -5 }], nowMs],
  ];
  for (const [what, taints, tolerations, wanted] of cases)
    test(what, () => assert.equal(evictionMs(taints, tolerations, nowMs), wanted));
});

test('a toleration matches by key, value and effect', () => {
  const subject = taint('a');
  assert.equal(tolerates({ key: 'a', operator: 'Equal', value: 'v' }, subject), true);
  assert.equal(tolerates({ key: 'a', value: 'w' }, subject), false);
  assert.equal(tolerates({ key: 'a', operator: 'Exists', effect: 'NoSchedule' }, subject), false);
  assert.equal(tolerates({ operator: 'Exists' }, subject), true);
  assert.equal(tolerates({ key: 'b', operator: 'Exists' }, subject), false);
});
