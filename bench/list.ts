import { once } from 'node:events';
import { Agent, request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bench } from './benches.ts';
import { record, startBenchCluster, usageOf, type BenchCluster } from './harness.ts';

const objects = 10_000;
const objectBytes = 100_000;
const concurrency = 16;

export const list: Bench = {
  name: 'list',
  measures: 'a list of 1 GB (10,000 ConfigMaps of 100 kB): how long, and how much memory it takes beside the objects',
  async run() {
    await using cluster = await startBenchCluster('--nodes', '0', '--runtime', 'hollow', '--hollow-nodes', '0');
    const send = sender(cluster, await cluster.token());
    const server = cluster.pids()['control-plane'] ?? 0;
    const path = '/api/v1/namespaces/default/configmaps';
    const data = 'x'.repeat(objectBytes);
    let next = 0;
    const writer = async () => {
      for (let index = next++; index < objects; index = next++)
        await drain(
          await send('POST', path, JSON.stringify({ metadata: { name: `big-${index}` }, data: { data } })),
          201,
        );
    };
    const madeMs = await timed(() => Promise.all(Array.from({ length: concurrency }, writer)));
    // What the writing left is collected first.
    await sleep(3_000);
    const before = usageOf(server);
    let peakBytes = before.residentBytes;
    const ended = new AbortController();
    const watching = (async () => {
      while (!ended.signal.aborted) {
        peakBytes = Math.max(peakBytes, usageOf(server).residentBytes);
        await sleep(20);
      }
    })();
    let bytes = 0;
    const listedMs = await timed(async () => (bytes = await drain(await send('GET', path), 200)));
    ended.abort();
    await watching;
    const cpuMs = usageOf(server).cpuMs - before.cpuMs;
    const megabytes = (value: number) => `${Math.round(value / 2 ** 20)} MB`;
    await record('list', [
      { what: '10,000 ConfigMaps of 100 kB written', figure: `${(objects / (madeMs / 1000)).toFixed(0)}/s` },
      {
        what: 'their list',
        figure: `${megabytes(bytes)} in ${(listedMs / 1000).toFixed(2)} s, cpu=${(cpuMs / 1000).toFixed(2)}s`,
      },
      { what: 'memory before the list', figure: megabytes(before.residentBytes) },
      {
        what: 'growth while it is sent',
        figure: megabytes(peakBytes - before.residentBytes),
        against: '≤ 200 MB; upstream is allowed 6,000 MB in all',
      },
    ]);
  },
};

async function timed(run: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await run();
  return performance.now() - started;
}

function sender({ port }: BenchCluster, token: string) {
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
  return async (method: string, path: string, body?: string): Promise<IncomingMessage> => {
    const asked = request({
      host: '127.0.0.1',
      port,
      method,
      path,
      agent,
      rejectUnauthorized: false,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    });
    asked.end(body);
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    return answer;
  };
}

/** Reads an answer to its end without keeping it. */
async function drain(answer: IncomingMessage, code: number): Promise<number> {
  let length = 0;
  for await (const chunk of answer) length += (chunk as Buffer).length;
  if (answer.statusCode !== code) throw new Error(`a request was answered with ${answer.statusCode}`);
  return length;
}
