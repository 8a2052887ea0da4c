/** `npm run bench [-- NAME…]`: measures, prints tables and appends them to bench/RESULTS.md. `NAME=PART,PART` runs parts; `--dry` appends nothing. */
import { benches } from './benches.ts';
import { closeAll, recordNothing } from './harness.ts';

const given = process.argv.slice(2);
if (given.includes('--dry')) recordNothing();
const wanted = given
  .filter(argument => argument !== '--dry')
  .map(argument => {
    const [name = '', parts] = argument.split('=', 2);
    return { name, parts: parts?.split(',') ?? [] };
  });
const unknown = wanted.filter(({ name }) => !benches.some(each => each.name === name));
if (unknown.length > 0) {
  process.stderr.write(
    `there is no bench ${unknown.map(({ name }) => name).join(', ')}; there are ${benches.map(each => each.name).join(', ')}\n`,
  );
  process.exit(2);
}
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    // What is being measured loses its cluster under its feet.
    process.on('uncaughtException', () => undefined);
    void closeAll().finally(() => process.exit(130));
  });
for (const bench of benches) {
  const asked = wanted.find(({ name }) => name === bench.name);
  if (wanted.length > 0 && !asked) continue;
  process.stdout.write(`— ${bench.name}: ${bench.measures}\n`);
  await bench.run(asked?.parts ?? []);
}
