import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { seededRandom } from '#base/random.ts';
import { alwaysAllow } from '#auth/authorization/always-allow.ts';
import { loopbackAdmin } from '#auth/user.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';
import type { Storage } from '#storage/storage.ts';
import { type ApiServer, type ApiServerOptions, startApiServer } from './server.ts';

export interface Answer {
  readonly code: number;
  readonly headers: ApiResponse['headers'];
  readonly text: string;
  // Tests look into answers of every kind.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any;
}

/** An API server over a memory store for tests: time stands still, objects are frozen, everybody may do everything. */
export interface TestServer extends AsyncDisposable {
  readonly server: ApiServer;
  readonly clock: ManualClock;
  readonly storage: Storage;
  call(method: ApiRequest['method'], path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Opens a watch; events are collected as they come. */
  watch(path: string, headers?: Record<string, string>): Promise<WatchLog>;
}

export interface WatchLog {
  readonly code: number;
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly events: any[];
  readonly ended: boolean;
  close(): void;
}

export async function openTestServer(options: Partial<ApiServerOptions> = {}): Promise<TestServer> {
  const clock = new ManualClock();
  const storage = options.storage ?? openMemoryStorage();
  const server = await startApiServer({
    storage,
    clock,
    authenticate: () => loopbackAdmin,
    authorizer: alwaysAllow,
    admission: [],
    random: seededRandom(1),
    log: silentLog,
    serviceCIDR: '10.96.0.0/16',
    freezes: true,
    ...options,
  });
  return {
    server,
    clock,
    storage,
    async call(method, path, body, headers = {}) {
      return answerOf(await server.handle(requestOf(method, path, body, headers)));
    },
    async watch(path, headers = {}) {
      const abort = new AbortController();
      const response = await server.handle(requestOf('GET', path, undefined, headers, abort.signal));
      const log = { code: response.code, events: [] as unknown[], ended: false, close: () => abort.abort() };
      if (response.kind !== 'watch') throw new Error(`cannot watch ${path}: ${(await answerOf(response)).text}`);
      response.watch.toBytes({
        push(bytes) {
          for (const line of Buffer.from(bytes).toString().trim().split('\n')) log.events.push(JSON.parse(line));
          return true;
        },
        end() {
          log.ended = true;
        },
      });
      return log;
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await storage[Symbol.asyncDispose]();
    },
  };
}

export function requestOf(
  method: ApiRequest['method'],
  path: string,
  body: unknown,
  headers: Record<string, string>,
  signal = new AbortController().signal,
): ApiRequest {
  const mark = path.indexOf('?');
  const contentType = headers['content-type'] ?? 'application/json';
  const bytes =
    body === undefined
      ? new Uint8Array()
      : body instanceof Uint8Array
        ? body
        : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return {
    method,
    path: mark < 0 ? path : path.slice(0, mark),
    query: new URLSearchParams(mark < 0 ? '' : path.slice(mark + 1)),
    headers: { 'user-agent': 'test/1', 'content-type': contentType, ...headers },
    body: () => Promise.resolve({ kind: 'bytes', bytes, contentType }),
    signal,
  };
}

export async function answerOf(response: ApiResponse): Promise<Answer> {
  const { code, headers } = response;
  if (response.kind !== 'bytes' && response.kind !== 'object') return { code, headers, text: '', body: undefined };
  const text = Buffer.concat(response.kind === 'bytes' ? response.bytes : response.bytes()).toString();
  return { code, headers, text, body: parsed(text) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // YAML, protobuf, plain text: the test looks at the text.
    return undefined;
  }
}
