import { stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import type { Clock } from '#base/clock.ts';
import { receiveAll } from '#base/server-stream.ts';
import { RuntimeError, type RuntimeErrorCode } from '../runtime.ts';
import { decode, encode, type Message, type MessageName, type Received } from './codec.ts';
import { services } from './messages.ts';

type Methods = typeof services.RuntimeService & typeof services.ImageService;
type Request<Method extends keyof Methods> = Methods[Method][0] extends infer Name extends MessageName
  ? Message<Name>
  : never;
type Response<Method extends keyof Methods> = Methods[Method][1] extends infer Name extends MessageName
  ? Received<Name>
  : never;

export interface CallOptions {
  /** After this the call is given up with `DeadlineExceeded`; absent: never. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** The runtime's socket. Calls reject with a `RuntimeError`, or with the signal's reason. */
export interface CriConnection extends Disposable {
  call<Method extends keyof Methods>(
    method: Method,
    request: Request<Method>,
    options?: CallOptions,
  ): Promise<Response<Method>>;
  /** Gives what a streaming method answers to `receive`, until the stream ends (resolves) or breaks (rejects). */
  stream<Method extends keyof Methods>(
    method: Method,
    request: Request<Method>,
    receive: (message: Response<Method>) => void,
    signal: AbortSignal,
  ): Promise<void>;
}

const channelOptions = {
  // Lists of many pods are longer than gRPC's 4 MiB.
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  'grpc.enable_http_proxy': 0,
  // A runtime that was restarted is back in seconds, not in gRPC's two minutes.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
};

/** Rejects with one sentence for people when nothing answers at the endpoint (`unix:///path` or `/path`). */
export async function connectCri(endpoint: string, clock: Clock): Promise<CriConnection> {
  const path = socketPath(endpoint);
  const unreachable = await whyUnreachable(path);
  if (unreachable) throw unreachableError(path, unreachable);
  const client = new Client(`unix:${path}`, credentials.createInsecure(), channelOptions);
  const failure = async (error: ServiceError, options: CallOptions): Promise<unknown> => {
    if (options.signal?.aborted) return options.signal.reason;
    if (error.code !== status.UNAVAILABLE) return runtimeError(error);
    const why = await whyUnreachable(path);
    return why ? unreachableError(path, why, error) : runtimeError(error);
  };
  return {
    call(method, request, options = {}) {
      const { timeoutMs, signal } = options;
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason as Error);
        const call = client.makeUnaryRequest(
          pathOf(method),
          serializerOf(method),
          deserializerOf(method),
          request,
          new Metadata(),
          timeoutMs === undefined ? {} : { deadline: clock.now() + timeoutMs },
          (error, response) => {
            signal?.removeEventListener('abort', cancel);
            if (error) failure(error, options).then(reject, reject);
            else resolve(response as Response<typeof method>);
          },
        );
        const cancel = () => call.cancel();
        signal?.addEventListener('abort', cancel, { once: true });
      });
    },
    async stream(method, request, receive, signal) {
      signal.throwIfAborted();
      const call = client.makeServerStreamRequest(
        pathOf(method),
        serializerOf(method),
        deserializerOf(method),
        request,
      );
      try {
        await receiveAll(call, receive, signal);
      } catch (error) {
        throw await failure(error as ServiceError, { signal });
      }
    },
    [Symbol.dispose]: () => client.close(),
  };
}

function pathOf(method: keyof Methods): string {
  const service = Object.hasOwn(services.ImageService, method) ? 'ImageService' : 'RuntimeService';
  return `/runtime.v1.${service}/${method}`;
}

const methods: Methods = { ...services.RuntimeService, ...services.ImageService };

function serializerOf<Method extends keyof Methods>(method: Method) {
  const [name] = methods[method];
  return (request: Request<Method>): Buffer => encode(name, request as Message<typeof name>);
}

function deserializerOf<Method extends keyof Methods>(method: Method) {
  const [, name] = methods[method];
  return (bytes: Buffer): Response<Method> => decode(name, bytes) as Response<Method>;
}

function socketPath(endpoint: string): string {
  const path = endpoint.replace(/^unix:(\/\/)?/, '');
  if (path.startsWith('/')) return path;
  throw new RuntimeError(
    'InvalidArgument',
    `cannot reach the container runtime at ${endpoint}: --runtime-endpoint must be a socket of this machine, such as unix:///run/containerd/containerd.sock`,
  );
}

/** `undefined` when something listens. */
async function whyUnreachable(path: string): Promise<string | undefined> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => error);
  if (found instanceof Error) return found.code === 'ENOENT' ? 'no such file' : found.message;
  if (!found.isSocket()) return 'the file is no socket';
  return new Promise(resolve => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(reasons[error.code ?? ''] ?? error.message));
  });
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOENT: 'no such file',
  EACCES: 'permission denied',
};

function unreachableError(path: string, why: string, cause?: unknown): RuntimeError {
  return new RuntimeError(
    'Unavailable',
    `cannot reach the container runtime at unix://${path}: ${why}; start containerd or give another --runtime-endpoint`,
    { cause },
  );
}

const codes: Readonly<Record<number, RuntimeErrorCode>> = {
  [status.CANCELLED]: 'Unavailable',
  [status.INVALID_ARGUMENT]: 'InvalidArgument',
  [status.DEADLINE_EXCEEDED]: 'DeadlineExceeded',
  [status.NOT_FOUND]: 'NotFound',
  [status.ALREADY_EXISTS]: 'AlreadyExists',
  [status.PERMISSION_DENIED]: 'PermissionDenied',
  [status.RESOURCE_EXHAUSTED]: 'ResourceExhausted',
  [status.FAILED_PRECONDITION]: 'FailedPrecondition',
  [status.ABORTED]: 'Unavailable',
  [status.OUT_OF_RANGE]: 'InvalidArgument',
  [status.UNIMPLEMENTED]: 'Unimplemented',
  [status.UNAVAILABLE]: 'Unavailable',
  [status.UNAUTHENTICATED]: 'Unauthenticated',
};

/** Runtimes say most of their errors as UNKNOWN; the text is theirs. */
function runtimeError(error: ServiceError): RuntimeError {
  return new RuntimeError(codes[error.code] ?? 'Internal', error.details || error.message, { cause: error });
}
