import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceEvictionMs } from './device-taint-eviction.ts';

test('a pod stays as long as the least patient toleration of the first device that is lost', () => {
  const taint = { key: 'broken', value: 'fan', effect: 'NoExecute', timeAdded: '2026-01-01T00:00:00Z' };
  const addedMs = Date.parse(taint.timeAdded);
  const device = (...tolerations: readonly object[]) => ({
    result: { tolerations } as never,
    taints: [taint],
    sinceMs: 7,
  });
  const exists = { key: 'broken', operator: 'Exists' };
  const cases = [
    [[device()], addedMs],
    [[device({ key: 'other', operator: 'Exists' })], addedMs],
    [[device(exists)], undefined],
    [[device({ ...exists, tolerationSeconds: 60 })], addedMs + 60_000],
    [[device(exists, { ...exists, tolerationSeconds: 60 }, { ...exists, tolerationSeconds: 30 })], addedMs + 30_000],
    [[device({ ...exists, tolerationSeconds: 60 }), device(exists)], addedMs + 60_000],
    [[{ ...device(), taints: [{ ...taint, timeAdded: undefined }] }], 7],
    [[{ ...device(), taints: [{ ...taint, effect: 'NoSchedule' }] }], undefined],
  ] as const;
  for (const [devices, wanted] of cases) assert.equal(deviceEvictionMs(devices), wanted);
});
