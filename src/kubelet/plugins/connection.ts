import { chmod, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { receiveAll } from '#base/server-stream.ts';
import { type Answered, type Asked, type Method, methods, pluginCodec, type Received, type Sent } from './messages.ts';

/** A plugin's socket. What goes wrong rejects with gRPC's error. */
export interface PluginConnection extends Disposable {
  call<Of extends Method>(
    method: Of,
    request: Sent<Asked<Of>>,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<Received<Answered<Of>>>;
  /** Gives what comes to `receive` until the stream ends (resolves) or breaks (rejects). */
  stream<Of extends Method>(
    method: Of,
    request: Sent<Asked<Of>>,
    receive: (message: Received<Answered<Of>>) => void,
    signal: AbortSignal,
  ): Promise<void>;
}

// Nobody who has no plugin pays for gRPC.
const grpc = () => import('@grpc/grpc-js');

export async function connectPlugin(socket: string, clock: Clock): Promise<PluginConnection> {
  const { Client, credentials, Metadata } = await grpc();
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    'grpc.enable_http_proxy': 0,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
  });
  const serialize = (method: Method) => (request: object) => pluginCodec.encode(methods[method][0], request);
  const deserialize = (method: Method) => (bytes: Buffer) => pluginCodec.decode(methods[method][1], bytes);
  return {
    call: (method, request, timeoutMs, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason as Error);
        const call = client.makeUnaryRequest(
          method,
          serialize(method),
          deserialize(method),
          request,
          new Metadata(),
          { deadline: clock.now() + timeoutMs },
          (error, answer) => {
            signal?.removeEventListener('abort', cancel);
            if (error) reject(signal?.aborted ? (signal.reason as Error) : error);
            else resolve(answer as Received<Answered<typeof method>>);
          },
        );
        const cancel = () => call.cancel();
        signal?.addEventListener('abort', cancel, { once: true });
      }),
    async stream(method, request, receive, signal) {
      signal.throwIfAborted();
      const call = client.makeServerStreamRequest(method, serialize(method), deserialize(method), request);
      await receiveAll(call, receive, signal);
    },
    [Symbol.dispose]: () => client.close(),
  };
}

/** What a method of a service here does. A rejection is the caller's gRPC error, with its text. */
export type Handlers = {
  readonly [Of in Method]?: (request: Received<Asked<Of>>) => Promise<Sent<Answered<Of>>> | Sent<Answered<Of>>;
};

/** The kernel's `sun_path`, with its closing zero. */
const socketPathBytesMax = 107;

/** Serves methods at a socket, which is made anew. */
export async function servePlugins(socket: string, handlers: Handlers): Promise<AsyncDisposable> {
  if (Buffer.byteLength(socket) > socketPathBytesMax)
    throw new Error(`cannot listen at ${socket}: a socket's path has at most ${socketPathBytesMax} bytes`);
  const { Server, ServerCredentials, status } = await grpc();
  await mkdir(dirname(socket), { recursive: true, mode: 0o750 });
  await rm(socket, { force: true });
  const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
  const byService = Map.groupBy(Object.keys(handlers) as Method[], method => method.split('/')[1] ?? '');
  for (const [, paths] of byService) {
    const definitions = paths.map(path => [
      path,
      {
        path,
        requestStream: false,
        responseStream: false,
        requestSerialize: (message: object) => pluginCodec.encode(methods[path][0], message),
        requestDeserialize: (bytes: Buffer) => pluginCodec.decode(methods[path][0], bytes),
        responseSerialize: (message: object) => pluginCodec.encode(methods[path][1], message),
        responseDeserialize: (bytes: Buffer) => pluginCodec.decode(methods[path][1], bytes),
      },
    ]);
    const served = paths.map(path => {
      const handle = handlers[path] as (request: unknown) => unknown;
      return [
        path,
        ({ request }: { request: unknown }, done: (error: object | null, answer?: unknown) => void) => {
          Promise.resolve()
            .then(() => handle(request))
            .then(
              answer => done(null, answer),
              (error: unknown) =>
                done({
                  code: status.UNKNOWN,
                  details: error instanceof Error ? error.message : String(error),
                }),
            );
        },
      ];
    });
    server.addService(Object.fromEntries(definitions), Object.fromEntries(served));
  }
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), error =>
      error ? reject(error) : resolve(),
    ),
  );
  await chmod(socket, 0o600);
  return {
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      await rm(socket, { force: true });
    },
  };
}

/** gRPC's own words, without its code in front. */
export function textOf(error: unknown): string {
  if (error instanceof Error && 'details' in error && typeof error.details === 'string' && error.details !== '')
    return error.details;
  return error instanceof Error ? error.message : String(error);
}
