import assert from 'node:assert/strict';
import { test } from 'node:test';
import { samplesIn } from './exposition.ts';
import { readingOf, usageBetween } from './measurements.ts';

const text = (seconds: number, atMs: number, more = '') => `# HELP container_cpu_usage_seconds_total x
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="main",namespace="default",pod="a"} ${seconds} ${atMs}
container_memory_working_set_bytes{container="main",namespace="default",pod="a"} 1.048576e+06 ${atMs}
node_cpu_usage_seconds_total ${seconds * 2} ${atMs}
node_memory_working_set_bytes 2048 ${atMs}
container_swap_usage_bytes{container="main"} 5
${more}`;

test('reads labels with escapes, times, and nothing that is not wanted', () => {
  const line = 'a{x="1,\\"}\\\\\\n",y=""} 2.5e3 17\nb 1\na NaN\na{broken="\nnonsense';
  const samples = [...samplesIn(line, new Set(['a']))];
  assert.equal(samples.length, 1);
  assert.deepEqual(
    [...(samples[0]?.labels ?? [])],
    [
      ['x', '1,"}\\\n'],
      ['y', ''],
    ],
  );
  assert.deepEqual([samples[0]?.value, samples[0]?.atMs], [2500, 17]);
});

test('what was used is the difference of two readings over their time', () => {
  const [before, after] = [readingOf(text(10, 1000), 0), readingOf(text(13, 11_000), 0)];
  const key = 'default/a/main';
  assert.deepEqual(usageBetween(before.containers.get(key), after.containers.get(key)), {
    atMs: 11_000,
    windowMs: 10_000,
    cpuCores: 0.3,
    memoryBytes: 1_048_576,
  });
  assert.equal(usageBetween(before.node, after.node)?.cpuCores, 0.6);
});

test('one reading is none, and a counter that began anew neither', () => {
  const [before, after] = [readingOf(text(10, 1000), 0), readingOf(text(1, 11_000), 0)];
  const key = 'default/a/main';
  assert.equal(usageBetween(undefined, after.containers.get(key)), undefined);
  assert.equal(usageBetween(before.containers.get(key), after.containers.get(key)), undefined);
});

test('a container that has just started is measured from its start on', () => {
  const start = 'container_start_time_seconds{container="main",namespace="default",pod="a"} 100\n';
  const key = 'default/a/main';
  const at = (ms: number) => usageBetween(undefined, readingOf(text(4, ms, start), 0).containers.get(key));
  assert.equal(at(120_000)?.cpuCores, 0.2);
  assert.equal(at(105_000), undefined, 'five seconds say nothing');
  assert.equal(at(200_000), undefined, 'it is not new any more');
});
