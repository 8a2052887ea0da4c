/**
 * `npm run conformance:gateway [-- FILTER…]`: the equivalents of the Gateway API's conformance tests, by upstream's names,
 * against a cluster of this program; a table at the end.
 */
import { baseObjects, gatewayTests } from './conformance.ts';
import { startGatewayCluster } from './cluster.ts';

const filters = process.argv.slice(2);
const chosen = gatewayTests.filter(({ name }) => filters.length === 0 || filters.some(each => name.includes(each)));
const failed: string[] = [];
await using own = await startGatewayCluster();
await own.apply(...(await baseObjects(own)));
for (const { name, objects, check } of chosen) {
  const startMs = performance.now();
  const list = await objects();
  let failure: unknown;
  try {
    await own.apply(...list);
    await check(own);
  } catch (error) {
    failure = error;
    failed.push(name);
  }
  await own.remove(...list);
  const tookMs = Math.round(performance.now() - startMs);
  process.stdout.write(`| ${name} | ${failure === undefined ? 'passed' : 'FAILED'} | ${tookMs} ms |\n`);
  if (failure !== undefined) process.stdout.write(`${failure instanceof Error ? failure.stack : String(failure)}\n`);
}
process.stdout.write(
  `\n${chosen.length - failed.length} of ${chosen.length} passed${failed.length > 0 ? `; failed: ${failed.join(', ')}` : ''}\n`,
);
process.exitCode = failed.length > 0 ? 1 : 0;
