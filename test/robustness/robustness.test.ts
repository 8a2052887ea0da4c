import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openTestServer, requestOf, type TestServer } from '#apiserver/test-server.ts';
import { noEtcd } from '#storage/etcd/test-etcd.ts';
import { seededRandom } from '#base/random.ts';
import { checkLinearizable } from './check-linearizable.ts';
import { checkWatches } from './check-watches.ts';
import { type History, joined } from './history.ts';
import { runRobustness, summaryOf } from './robustness.ts';
import { type Answer, type Api, runRequests, runWatch, type WatchEvent } from './workload.ts';

describe('clients of a cluster whose processes are killed', { concurrency: true }, () => {
  for (const backend of ['sqlite', 'etcd'] as const)
    test(`${backend}: what they are told is linearizable, and their watches are without fault`, {
      timeout: 90_000,
      skip: backend === 'etcd' && noEtcd,
    }, async context => {
      const seed = Math.floor(performance.timeOrigin) % 100_000;
      const result = await runRobustness({ backend, seconds: 4, seed, killEverySeconds: 1.2 });
      context.diagnostic(`seed ${seed}: ${summaryOf(result)}`);
      assert.deepEqual(result.problems, []);
      assert.ok(result.kills + result.pauses > 0 && result.history.operations.length > 20, summaryOf(result));
    });
});

/** The way of a fault into what clients are told. */
interface Fault {
  answer?(method: string, path: string, send: () => Promise<Answer>): Promise<Answer>;
  events?(event: WatchEvent, tell: (event: WatchEvent) => void): void;
}

const isObject = (path: string) => /\/configmaps\/key-/.test(path);

/** Every so manieth time. */
function every(count: number): () => boolean {
  let calls = 0;
  return () => ++calls % count === 0;
}

const faults: Readonly<Record<string, () => Fault>> = {
  'an old state is read': () => {
    const before = new Map<string, Answer>();
    const due = every(8);
    return {
      async answer(method, path, send) {
        const answer = await send();
        if (method !== 'GET' || !isObject(path)) return answer;
        const old = before.get(path);
        before.set(path, answer);
        return old && due() ? old : answer;
      },
    };
  },
  'an acknowledged write is lost': () => {
    const due = every(20);
    return {
      async answer(method, path, send) {
        if (method !== 'POST' || !due()) return send();
        const made = await send();
        // What came after it takes its place without having seen it.
        return made.code === 409 ? { code: 201, body: fakeOf(path) } : made;
      },
    };
  },
  'a write is acknowledged to two': () => ({
    async answer(method, path, send) {
      const answer = await send();
      if (method !== 'PUT' || answer.code !== 409) return answer;
      return { code: 200, body: fakeOf(path) };
    },
  }),
  'a deletion is not done': () => {
    const due = every(5);
    return {
      answer: (method, _path, send) =>
        method === 'DELETE' && due() ? Promise.resolve({ code: 200, body: {} }) : send(),
    };
  },
  'a list mixes revisions': () => {
    let before: Answer | undefined;
    return {
      async answer(method, path, send) {
        const answer = await send();
        if (method !== 'GET' || isObject(path)) return answer;
        const old = before;
        before = answer;
        return old ? { code: 200, body: { ...old.body, metadata: answer.body.metadata } } : answer;
      },
    };
  },
  'an event is dropped': () => {
    const due = every(30);
    return { events: (event, tell) => void (due() || tell(event)) };
  },
  'an event is repeated': () => {
    const due = every(30);
    return {
      events(event, tell) {
        tell(event);
        if (event.type !== 'BOOKMARK' && due()) tell(event);
      },
    };
  },
  'two events are exchanged': () => {
    const due = every(30);
    let held: WatchEvent | undefined;
    return {
      events(event, tell) {
        if (!held && event.type !== 'BOOKMARK' && due()) {
          held = event;
          return;
        }
        tell(event);
        if (held) tell(held);
        held = undefined;
      },
    };
  },
  'a bookmark is ahead of its events': () => {
    const due = every(30);
    return {
      events(event, tell) {
        if (event.type !== 'BOOKMARK' && due()) {
          const { metadata } = event.object;
          tell({ type: 'BOOKMARK', object: { metadata: { resourceVersion: metadata.resourceVersion } } });
        }
        tell(event);
      },
    };
  },
  'one revision is told with two values': () => {
    const due = every(30);
    return {
      events(event, tell) {
        tell(
          due() && event.type !== 'BOOKMARK' ? { ...event, object: { ...event.object, data: { value: 'x' } } } : event,
        );
      },
    };
  },
};

let fakes = 1_000_000;

function fakeOf(path: string) {
  const name = path.split('/').at(-1);
  return { metadata: { name, resourceVersion: String(fakes++) }, data: { value: `fake-${fakes}` } };
}

describe('the checker', () => {
  test('finds nothing where there is nothing', async () => {
    const history = await historyWith({});
    assert.ok(history.operations.length > 300 && history.watches.flatMap(each => each.entries).length > 200);
    assert.deepEqual(problemsIn(history), []);
  });

  for (const [name, fault] of Object.entries(faults))
    test(`finds that ${name}`, async () => {
      const history = await historyWith(fault());
      const problems = problemsIn(history);
      assert.ok(problems.length > 0, 'the fault was not found');
    });
});

function problemsIn(history: History): readonly string[] {
  return [...checkLinearizable(history), ...checkWatches(history)];
}

/** What clients in this process note of a server that is right, with a fault between them. */
async function historyWith(fault: Fault): Promise<History> {
  await using server = await openTestServer();
  const requesting = new AbortController();
  const watching = new AbortController();
  let sent = 0;
  const api = localApi(server, fault, () => {
    if (++sent === 600) requesting.abort();
  });
  let lane = 0;
  let time = 0;
  const options = (signal: AbortSignal) => ({
    api,
    name: 'abcd'[lane] as string,
    keys: ['key-0', 'key-1', 'key-2'],
    random: seededRandom(++lane),
    now: () => ++time,
    pause: () => new Promise<void>(resolve => setImmediate(resolve)),
    signal,
  });
  const requests = [0, 1, 2].map(() => runRequests(options(requesting.signal)));
  const watches = [false, true].map(initialEvents => runWatch({ ...options(watching.signal), initialEvents }));
  const histories = await Promise.all(requests);
  await new Promise(resolve => setImmediate(resolve));
  watching.abort();
  return joined([...histories, ...(await Promise.all(watches))]);
}

function localApi(server: TestServer, fault: Fault, onSent: () => void): Api {
  return {
    async send(method, path, body) {
      onSent();
      const send = async () => {
        const { code, body: answered } = await server.call(method, path, body);
        return { code, body: answered };
      };
      return fault.answer ? fault.answer(method, path, send) : send();
    },
    async watch(path, onEvent, signal) {
      const response = await server.server.handle(requestOf('GET', path, undefined, {}, signal));
      if (response.kind !== 'watch') throw new Error('the watch was refused');
      const ended = Promise.withResolvers<void>();
      signal.addEventListener('abort', () => ended.resolve(), { once: true });
      response.watch.toBytes({
        push(bytes) {
          for (const line of Buffer.from(bytes).toString().trim().split('\n')) {
            const event = JSON.parse(line) as WatchEvent;
            if (fault.events) fault.events(event, onEvent);
            else onEvent(event);
          }
          return true;
        },
        end: () => ended.resolve(),
      });
      await ended.promise;
    },
  };
}
