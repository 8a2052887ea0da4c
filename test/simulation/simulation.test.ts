import { spawnSync } from 'node:child_process';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemRandom } from '#base/random.ts';
import { plantedBugs } from './planted.ts';
import { simulate } from './simulate.ts';

/** Every run that ever found something: `seed minutes`, and what it was. */
const known = readFileSync(join(import.meta.dirname, 'seeds.txt'), 'utf8')
  .split('\n')
  .filter(line => /^\d/.test(line))
  .map(line => line.split(/\s+/).slice(0, 2).map(Number) as [seed: number, minutes: number]);

/** Of CPU, so that a busy machine looks at as many. */
const newSeedsCpuMs = 15_000;
const minutesOfNew = 4;

test('One seed gives one run: the same changes at the same times, byte for byte', async () => {
  const [first, second] = [await simulate({ seed: 11, minutes: 1 }), await simulate({ seed: 11, minutes: 1 })];
  assert.ok(first.lines > 500, `only ${first.lines} lines`);
  assert.equal(second.digest, first.digest);
  const other = await simulate({ seed: 12, minutes: 1 });
  assert.notEqual(other.digest, first.digest);
});

for (const [bug, planted] of Object.entries(plantedBugs))
  test(`The simulator finds ${bug}`, async () => {
    const result = await firstProblem(seed => simulate({ seed, minutes: 1, planted, faults: false, restMinutes: 4 }));
    assert.notDeepEqual(result, []);
  });

for (const [seed, minutes] of known)
  test(`Seed ${seed}, which once failed`, async () => {
    const { problems } = await simulate({ seed, minutes });
    assert.deepEqual(problems, [], replay(seed, minutes));
  });

test('New seeds hold what must hold, whatever breaks', async context => {
  const used = process.cpuUsage();
  const cpuMs = () => {
    const { user, system } = process.cpuUsage(used);
    return (user + system) / 1000;
  };
  // New with every commit, and the same for everybody who looks at that one.
  let seed = seedOfCommit();
  let simulatedMinutes = 0;
  do {
    seed++;
    const { problems, minutes } = await simulate({ seed, minutes: minutesOfNew });
    simulatedMinutes += minutes;
    assert.deepEqual(problems, [], replay(seed, minutesOfNew));
  } while (cpuMs() < newSeedsCpuMs);
  const speed = (simulatedMinutes / cpuMs()) * 60_000;
  context.diagnostic(`seeds ${seedOfCommit() + 1} to ${seed}: ${speed.toFixed(0)} simulated minutes a minute of CPU`);
});

function replay(seed: number, minutes: number): string {
  return `npm run simulate -- --seed ${seed} --minutes ${minutes}`;
}

function seedOfCommit(): number {
  const head = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: import.meta.dirname, encoding: 'utf8' });
  const digits = head.status === 0 ? head.stdout.slice(0, 7) : '';
  return digits === '' ? Math.floor(systemRandom.next() * 1e9) : Number.parseInt(digits, 16);
}

async function firstProblem(run: (seed: number) => Promise<{ readonly problems: readonly string[] }>) {
  for (const seed of [1, 2, 3]) {
    const { problems } = await run(seed);
    if (problems.length > 0) return problems;
  }
  return [];
}
