import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pod } from '#api/core/v1/pod.ts';
import { defaultKubeletConfiguration } from '../configuration.ts';
import {
  assess,
  evictionMessage,
  localStorageExcess,
  noPressure,
  pressureRefusal,
  ranked,
  type PodUse,
} from './decide.ts';
import { thresholdsOf } from './thresholds.ts';

const mebi = 1024 * 1024;

function pod(name: string, { priority = 0, request = '', limit = '' } = {}): Pod {
  const resources = {
    ...(request !== '' && { requests: { memory: request } }),
    ...(limit !== '' && { limits: { 'ephemeral-storage': limit } }),
  };
  return {
    metadata: { name, namespace: 'default', uid: name },
    spec: { priority, containers: [{ name: 'main', resources }] },
  } as unknown as Pod;
}

function use(memoryBytes: number, diskBytes = 0): PodUse {
  return {
    containers: new Map([['main', { memoryBytes, diskBytes, inodes: 0, pids: 1 }]]),
    volumes: { diskBytes: 0, inodes: 0 },
  };
}

describe('pressure', () => {
  const hard = thresholdsOf({ ...defaultKubeletConfiguration, evictionHard: { 'memory.available': '100Mi' } });
  const of = (available: number) => new Map([['memory.available', { available, capacity: 1000 * mebi }]] as const);

  test('a hard threshold is due at once, and its condition stays for a while after', () => {
    const low = assess(hard, of(99 * mebi), noPressure, 300_000, 0);
    assert.deepEqual([low.due.length, [...low.pressures]], [1, ['MemoryPressure']]);
    const better = assess(hard, of(200 * mebi), low.memory, 300_000, 10_000);
    assert.deepEqual([better.due.length, [...better.pressures]], [0, ['MemoryPressure']]);
    const over = assess(hard, of(200 * mebi), better.memory, 300_000, 310_001);
    assert.deepEqual([...over.pressures], []);
  });

  test('a soft one is due when it has lasted; what is to be reclaimed keeps it up', () => {
    const soft = thresholdsOf({
      ...defaultKubeletConfiguration,
      evictionHard: {},
      evictionSoft: { 'memory.available': '50%' },
      evictionSoftGracePeriod: { 'memory.available': '1m' },
      evictionMinimumReclaim: { 'memory.available': '100Mi' },
    });
    const first = assess(soft, of(499 * mebi), noPressure, 300_000, 0);
    assert.deepEqual([first.due.length, first.pressures.size], [0, 1]);
    const later = assess(soft, of(550 * mebi), first.memory, 300_000, 60_000);
    assert.equal(later.due.length, 1);
    assert.equal(assess(soft, of(600 * mebi), later.memory, 300_000, 70_000).due.length, 0);
  });

  test('zero evicts nobody, an unknown signal is refused', () => {
    assert.equal(
      thresholdsOf({ ...defaultKubeletConfiguration, evictionHard: { 'nodefs.available': '0%' } }).length,
      0,
    );
    assert.throws(
      () => thresholdsOf({ ...defaultKubeletConfiguration, evictionHard: { 'luck.available': '1' } }),
      /unknown eviction signal "luck.available"/,
    );
  });
});

describe('who is evicted', () => {
  test('who uses more than he asked for, then the least important, then the biggest; critical pods never', () => {
    const critical = pod('critical', { priority: 2_000_000_000 });
    const order = ranked('memory.available', [
      [pod('modest', { request: '100Mi' }), use(50 * mebi)],
      [pod('important', { priority: 100 }), use(500 * mebi)],
      [pod('small'), use(10 * mebi)],
      [pod('big'), use(400 * mebi)],
      [critical, use(900 * mebi)],
    ]).map(([{ metadata }]) => metadata.name);
    assert.deepEqual(order, ['big', 'small', 'important', 'modest']);
  });

  test('the message is upstream’s', () => {
    const [threshold] = thresholdsOf({ ...defaultKubeletConfiguration, evictionHard: { 'memory.available': '100Mi' } });
    assert.ok(threshold);
    assert.equal(
      evictionMessage(threshold, { available: 50 * mebi, capacity: 1000 * mebi }, pod('a'), use(64 * mebi)),
      'The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container main was using 64Mi, request is 0, has larger consumption of memory. ',
    );
  });

  test('a node under pressure takes what does not make it worse', () => {
    const memory = new Set(['MemoryPressure'] as const);
    assert.match(pressureRefusal(pod('a'), memory) ?? '', /^The node had condition: \[MemoryPressure\]\. $/);
    assert.equal(pressureRefusal(pod('a', { request: '1Mi' }), memory), undefined);
    assert.match(pressureRefusal(pod('a', { request: '1Mi' }), new Set(['DiskPressure'])) ?? '', /DiskPressure/);
    assert.equal(pressureRefusal(pod('a', { priority: 2_000_001_000 }), memory), undefined);
  });
});

test('a pod may not take more of the disk than it said', () => {
  const volumes = [{ name: 'data', emptyDir: { sizeLimit: '1Mi' } }];
  const withVolume = { ...pod('a'), spec: { ...pod('a').spec, volumes } } as unknown as Pod;
  assert.equal(
    localStorageExcess(withVolume, use(0), [{ name: 'data', usedBytes: 2 * mebi }]),
    'Usage of EmptyDir volume "data" exceeds the limit "1Mi". ',
  );
  assert.equal(localStorageExcess(withVolume, use(0), [{ name: 'data', usedBytes: mebi }]), undefined);
  assert.equal(
    localStorageExcess(pod('a', { limit: '10Mi' }), use(0, 11 * mebi), []),
    'Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ',
  );
});
