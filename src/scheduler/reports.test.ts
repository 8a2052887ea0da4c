import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { Reports } from './reports.ts';

test('a burst is said at once, the rest at a measured pace, and only the newest of each pod', async () => {
  const clock = new ManualClock();
  const said: string[] = [];
  const reports = new Reports(clock, new AbortController().signal);
  for (let index = 0; index < 300; index++) reports.add(`pod-${index}`, () => said.push(`pod-${index}`));
  assert.equal(said.length, 100);
  reports.add('pod-299', () => said.push('news'));
  // It keeps its place in the line.
  reports.add('pod-100', () => said.push('first'));
  await clock.advance(20);
  assert.equal(said.at(-1), 'first');
  await clock.advance(980);
  assert.ok(said.length >= 145 && said.length <= 155, `${said.length} were said`);
  await clock.advance(4_000);
  assert.equal(said.length, 300);
  assert.equal(said.at(-1), 'news');
  assert.ok(!said.includes('pod-299'));
});
