import type { Random } from '#base/random.ts';
import { errors } from '#api/machinery/errors.ts';
import type { User } from '#auth/user.ts';
import type { Client } from '#client/client.ts';
import { inProcessClient } from '#client/in-process.ts';
import type { ApiRequest, ApiResponse, WatchSink } from '#client/transport.ts';
import { between, happens, pick } from './chance.ts';
import type { Life, VirtualTime } from './virtual-time.ts';

/** What can be wrong on the way, as probabilities of one request unless it says otherwise. */
export interface NetworkFaults {
  /** Milliseconds that a message takes at most. */
  slowMs: number;
  /** The request never arrives. */
  loses: number;
  /** The request arrives and is done, its answer never comes. */
  losesAnswer: number;
  /** It is sent twice, one right behind the other; writes that make something new are not. */
  doubles: number;
  /** Refused before anything was done: 409, 429, 500, 503. */
  refuses: number;
  /** Done, and answered with an error all the same: 500, 504. */
  failsAfterwards: number;
  /** Of one event: the watch breaks behind it. */
  breaksWatch: number;
  /** Of one event: it, and what comes behind it, waits for up to half a minute. */
  stallsWatch: number;
  /** Of one event: nothing more comes, and the connection is noticed to be dead up to a minute later. */
  silencesWatch: number;
  /** Of one event: it comes twice. */
  doublesEvent: number;
}

export const calm: NetworkFaults = {
  slowMs: 2,
  loses: 0,
  losesAnswer: 0,
  doubles: 0,
  refuses: 0,
  failsAfterwards: 0,
  breaksWatch: 0,
  stallsWatch: 0,
  silencesWatch: 0,
  doublesEvent: 0,
};

/** An API server that can be reached. */
export interface Endpoint {
  readonly name: string;
  readonly life: Life;
  handle(user: User, request: ApiRequest): Promise<ApiResponse>;
}

export interface NetworkOptions {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly faults: NetworkFaults;
  /** Told of every watch that a server begins to answer; what it returns is told of its events, in order. */
  readonly observeWatch: (
    server: string,
    client: string,
    request: ApiRequest,
  ) => ((event: unknown) => void) | undefined;
}

interface Stream {
  readonly client: string;
  readonly server: string;
  break(): void;
}

const requestTimeoutMs = 30_000;
export const silenceMsMax = 60_000;

/** What lies between clients and API servers. */
export class Network {
  readonly #options: NetworkOptions;
  #endpoints: readonly Endpoint[] = [];
  /** Who does not hear whom: `speaker listener`. */
  readonly #cuts = new Set<string>();
  readonly #streams = new Set<Stream>();
  /** How many watches ended because their client's queue was full. */
  fullQueues = 0;

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  attach(endpoint: Endpoint): void {
    this.#endpoints = [...this.#endpoints.filter(({ name }) => name !== endpoint.name), endpoint];
    endpoint.life.atEnd(() => {
      this.#endpoints = this.#endpoints.filter(each => each !== endpoint);
    });
  }

  /** What the one says does not reach the other any more; what that one says still does. */
  deafen(speaker: string, listener: string): void {
    this.#cuts.add(`${speaker} ${listener}`);
  }

  /** Neither hears the other. */
  cut(one: string, other: string): void {
    this.deafen(one, other);
    this.deafen(other, one);
  }

  isCut(one: string, other: string): boolean {
    return this.#cuts.has(`${one} ${other}`) || this.#cuts.has(`${other} ${one}`);
  }

  mend(one: string, other: string): void {
    this.#cuts.delete(`${one} ${other}`);
    this.#cuts.delete(`${other} ${one}`);
  }

  /** Everybody hears everybody. */
  heal(): void {
    this.#cuts.clear();
  }

  /** Breaks the watches of a client, or of all. */
  breakWatches(client?: string): void {
    for (const stream of this.#streams) if (client === undefined || stream.client === client) stream.break();
  }

  /** A client in a process, with an identity. It stays with one server while that answers. */
  clientOf(life: Life, user: User): Client {
    let at: Endpoint | undefined;
    return inProcessClient<User>(
      async (as, request) => {
        const { random } = this.#options;
        if (!at || !this.#endpoints.includes(at)) at = pick(random, this.#endpoints);
        try {
          return await this.#exchange(life, at, as, request);
        } catch (error) {
          at = undefined;
          throw error;
        }
      },
      user,
      { userAgent: life.name },
    );
  }

  async #exchange(life: Life, server: Endpoint | undefined, user: User, request: ApiRequest): Promise<ApiResponse> {
    const { random, faults } = this.#options;
    await this.#travel(life, request.signal);
    if (!server || server.life.isOver) throw unreachable('nobody listens');
    const isWatch = request.query.get('watch') === 'true' || request.query.get('watch') === '1';
    const isDeaf = () => this.#cuts.has(`${server.name} ${life.name}`);
    if (this.#cuts.has(`${life.name} ${server.name}`) || happens(random, faults.loses)) {
      await this.#wait(life, requestTimeoutMs, request.signal);
      throw unreachable('there is no answer');
    }
    if (happens(random, faults.refuses)) {
      const refusal = pick(random, refusals) as (typeof refusals)[number];
      // Only what is over a version, or tries again by itself, can be told of another writer.
      if (refusal.code !== 409 || request.method === 'PUT' || request.method === 'PATCH') return failure(refusal);
    }
    const broken = new AbortController();
    const leave = () => broken.abort(request.signal.reason);
    request.signal.addEventListener('abort', leave, { once: true });
    const once = (): Promise<ApiResponse> =>
      unlessOver(server.life, server.handle(user, { ...request, signal: broken.signal }));
    const answering = once();
    const isDoubled = !isWatch && request.method !== 'POST' && happens(random, faults.doubles);
    // The client gets the answer to the second: that to the first was lost.
    const answer = isDoubled ? await answering.then(once) : await answering;
    if (isWatch && answer.kind === 'watch') return this.#watched(life, server, request, answer, broken);
    const isWrite = request.method !== 'GET';
    request.signal.removeEventListener('abort', leave);
    if (isDeaf() || happens(random, faults.losesAnswer)) {
      await this.#wait(life, between(random, 1, requestTimeoutMs), request.signal);
      throw unreachable('the connection was reset');
    }
    await this.#travel(life, request.signal);
    if (isWrite && happens(random, faults.failsAfterwards))
      return failure(pick(random, lateFailures) as (typeof refusals)[number]);
    return answer;
  }

  #watched(
    life: Life,
    server: Endpoint,
    request: ApiRequest,
    answer: ApiResponse & { readonly kind: 'watch' },
    broken: AbortController,
  ): ApiResponse {
    const { random, faults, time, observeWatch } = this.#options;
    const observe = observeWatch(server.name, life.name, request);
    const streams = this.#streams;
    const sinkIsFull = () => this.fullQueues++;
    const cuts = this.#cuts;
    return {
      ...answer,
      watch: {
        toBytes: sink => answer.watch.toBytes(sink),
        toObjects(sink: WatchSink<unknown>) {
          let isOver = false;
          const forget: (() => void)[] = [];
          let dueMs = 0;
          let batch: unknown[] = [];
          const finish = () => {
            if (isOver) return;
            isOver = true;
            streams.delete(stream);
            for (const each of forget) each();
            broken.abort(new Error('the watch broke'));
            if (!life.isOver) sink.end();
          };
          const stream: Stream = { client: life.name, server: server.name, break: finish };
          streams.add(stream);
          forget.push(
            server.life.atEnd(() => void time.after(1, finish)),
            life.atEnd(finish),
          );
          let isLost = false;
          const deliver = (items: readonly unknown[]) => {
            if (batch === items) batch = [];
            if (isOver || isLost || life.isOver) return;
            // What was under way is lost, and the connection with it, once somebody notices.
            if (cuts.has(`${server.name} ${life.name}`)) {
              isLost = true;
              time.after(requestTimeoutMs, finish);
              return;
            }
            for (const item of items) {
              const isDoubled = happens(random, faults.doublesEvent);
              if (!sink.push(item) || (isDoubled && !sink.push(item))) {
                sinkIsFull();
                finish();
                return;
              }
            }
            if (happens(random, faults.breaksWatch)) finish();
            else if (happens(random, faults.silencesWatch)) {
              isLost = true;
              time.after(between(random, 1, silenceMsMax), finish);
            }
          };
          answer.watch.toObjects({
            push(item) {
              if (isOver || life.isOver) return false;
              observe?.(item);
              const stallMs = happens(random, faults.stallsWatch) ? between(random, 1, 30_000) : 0;
              const arrivesMs = Math.max(dueMs, time.nowMs + 1 + stallMs);
              if (arrivesMs === dueMs && batch.length > 0) batch.push(item);
              else {
                dueMs = arrivesMs;
                const items = [item];
                batch = items;
                time.after(dueMs - time.nowMs, () => deliver(items));
              }
              return true;
            },
            end() {
              time.after(Math.max(1, dueMs - time.nowMs), finish);
            },
          });
        },
      },
    };
  }

  #travel(life: Life, signal: AbortSignal): Promise<void> {
    const { random, faults } = this.#options;
    return this.#wait(life, between(random, 0, faults.slowMs), signal);
  }

  /** Ends early when the client gives up; never when its process is gone. */
  #wait(life: Life, delayMs: number, signal: AbortSignal): Promise<void> {
    return this.#options.time.clockOf(life).sleep(delayMs, signal);
  }
}

function unreachable(why: string): Error {
  return Object.assign(new Error(`cannot reach the API server: ${why}`), { code: 'ECONNRESET' });
}

/** An answer, or the end of the connection when the server is killed before. */
function unlessOver<Value>(life: Life, answer: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const over = () => reject(unreachable('the connection was reset'));
    const forget = life.atEnd(over);
    answer.finally(forget).then(resolve, reject);
  });
}

const refusals = [
  { code: 409, error: errors.conflict({ group: '', plural: 'simulated' }, 'simulated', 'somebody else was faster') },
  { code: 429, error: errors.tooManyRequests('the simulated server is busy', 1) },
  { code: 500, error: errors.internal('the simulated server failed') },
  { code: 503, error: errors.serviceUnavailable('the simulated server is away') },
];

const lateFailures = [
  { code: 500, error: errors.internal('the simulated server failed, and it was done') },
  { code: 504, error: errors.timeout('the simulated server took too long, and it was done') },
];

function failure({ code, error }: (typeof refusals)[number]): ApiResponse {
  const object = error.status;
  return { code, headers: {}, kind: 'object', object, bytes: () => [Buffer.from(JSON.stringify(object))] };
}
