/** `npm run bench [-- NAME…]`: measures, prints tables and appends them to bench/RESULTS.md. */
import { benches } from './benches.ts';

const wanted = process.argv.slice(2);
const unknown = wanted.filter(name => !benches.some(each => each.name === name));
if (unknown.length > 0) {
  process.stderr.write(
    `there is no bench ${unknown.join(', ')}; there are ${benches.map(each => each.name).join(', ')}\n`,
  );
  process.exit(2);
}
for (const bench of benches.filter(each => wanted.length === 0 || wanted.includes(each.name))) {
  process.stdout.write(`— ${bench.name}: ${bench.measures}\n`);
  await bench.run();
}
