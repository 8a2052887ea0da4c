/**
 * `npm run simulate -- [--seed N] [--minutes M] [--runs R] [--log]`: the whole control plane on virtual time, broken by
 * chance. A seed gives the whole run; without one, new seeds are tried until `--runs` (default: 1, or 20 without a seed).
 */
import { parseArgs } from 'node:util';
import { systemRandom } from '#base/random.ts';
import { simulate } from './simulate.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    minutes: { type: 'string', default: '30' },
    runs: { type: 'string' },
    log: { type: 'boolean', default: false },
    'no-faults': { type: 'boolean', default: false },
  },
});
const first = values.seed === undefined ? Math.floor(systemRandom.next() * 1e9) : Number(values.seed);
const runs = Number(values.runs ?? (values.seed === undefined ? 20 : 1));
let failed = 0;
let minutesAll = 0;
let secondsAll = 0;
for (let run = 0; run < runs; run++) {
  const used = process.cpuUsage();
  const result = await simulate({ seed: first + run, minutes: Number(values.minutes), faults: !values['no-faults'] });
  const { user, system } = process.cpuUsage(used);
  const seconds = (user + system) / 1e6;
  const speed = (result.minutes / seconds) * 60;
  minutesAll += result.minutes;
  secondsAll += seconds;
  process.stdout.write(
    `seed ${result.seed}: ${result.minutes.toFixed(0)} minutes in ${seconds.toFixed(1)} s of CPU (${speed.toFixed(0)} a minute), ` +
      `${result.revisions} revisions, ${result.acknowledged} writes, log ${result.digest.slice(0, 16)}, ` +
      `${result.problems.length} problems\n`,
  );
  for (const problem of result.problems.slice(0, 20)) process.stdout.write(`  ${problem}\n`);
  if (result.problems.length > 0 && values.seed === undefined)
    process.stdout.write(`  again: npm run simulate -- --seed ${result.seed} --minutes ${values.minutes}\n`);
  if (values.log) process.stdout.write(`${result.tail.join('\n')}\n`);
  if (result.problems.length > 0) failed++;
}
if (runs > 1)
  process.stdout.write(
    `${runs} runs, ${failed} with problems: ${((minutesAll / secondsAll) * 60).toFixed(0)} simulated minutes a minute of CPU\n`,
  );
process.exit(failed === 0 ? 0 : 1);
