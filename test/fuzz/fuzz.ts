/**
 * `npm run fuzz -- [--target T] [--minutes M] [--seed N] [--grow N]`: reads what is kept in `corpus/` and then inputs made at
 * random, each target in a thread of its own for its share of the time. An input that fails is kept in the corpus. `--grow`
 * keeps so many inputs of each target that took ways of their own.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { corpusDirectory, newSeed } from './fuzzing.ts';
import { targets } from './targets.ts';
import { WatchedFuzzing } from './watched.ts';

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    target: { type: 'string', multiple: true, default: [] },
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(newSeed()) },
    grow: { type: 'string', default: '0' },
  },
});
const chosen = targets.filter(
  ({ name }) => values.target.length === 0 || values.target.some(each => name.includes(each)),
);
if (chosen.length === 0)
  throw new Error(`no target is like ${values.target.join()}: ${targets.map(({ name }) => name).join(' ')}`);
const newMs = (Number(values.minutes) * 60_000) / chosen.length;
process.stdout.write(`fuzz: seed ${values.seed}, ${Math.round(newMs)} ms a target\n`);

await using fuzzing = new WatchedFuzzing();
let faults = 0;
for (const { name } of chosen) {
  const { inputs, findings, ways } = await fuzzing.fuzz({ target: name, seed: Number(values.seed), newMs });
  process.stdout.write(`${name}: ${inputs} inputs, ${ways.size} ways, ${findings.length} faults\n`);
  for (const { what, message, input } of findings) {
    faults++;
    process.stdout.write(
      `  ${what}: ${message.split('\n').slice(0, 6).join('\n    ')}\n  kept as ${keep(name, input)}\n`,
    );
  }
  for (const input of [...ways.values()].filter(each => each.length <= 2_048).slice(0, Number(values.grow)))
    keep(name, input);
}
process.stdout.write(faults === 0 ? 'no fault found\n' : `${faults} faults\n`);
process.exitCode = faults === 0 ? 0 : 1;

function keep(name: string, input: Buffer): string {
  const directory = join(corpusDirectory, name);
  mkdirSync(directory, { recursive: true });
  const file = join(directory, createHash('sha256').update(input).digest('hex').slice(0, 12));
  writeFileSync(file, input);
  return file;
}
