/** A process of its own with several clients of one API server: `client.ts KUBECONFIG NAME SEED SECONDS KEYS FILE`. */
import { writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { seededRandom } from '#base/random.ts';
import { joined } from './history.ts';
import { httpsApi } from './https-api.ts';
import { runRequests, runWatch } from './workload.ts';

const [kubeconfig = '', name = '', seed = '', seconds = '', keys = '', file = ''] = process.argv.slice(2);
const stop = new AbortController();
setTimeout(() => stop.abort(), Number(seconds) * 1000);
const options = (lane: number) => ({
  api: httpsApi(kubeconfig),
  name: `${name}${lane}`,
  keys: keys.split(','),
  random: seededRandom(Number(seed) * 100 + lane),
  // One clock for all processes of the machine.
  now: () => Number(process.hrtime.bigint()) / 1e6,
  pause: (ms: number) => pause(ms),
  signal: stop.signal,
});
// Watches go on a little longer, so that they hear of the last writes.
const watching = new AbortController();
setTimeout(() => watching.abort(), Number(seconds) * 1000 + 1_500);
const histories = await Promise.all([
  runRequests(options(0)),
  runRequests(options(1)),
  runWatch({ ...options(2), signal: watching.signal, initialEvents: false }),
  runWatch({ ...options(3), signal: watching.signal, initialEvents: true }),
]);
writeFileSync(file, JSON.stringify(joined(histories)));
process.exit(0);
