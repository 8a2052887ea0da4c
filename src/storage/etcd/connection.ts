import { Client, credentials, Metadata, status, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { exponentialBackoff } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import { StorageUnavailableError } from '../storage.ts';

export interface EtcdServers {
  /** `http://127.0.0.1:2379`, `https://etcd-1:2379`: members of one cluster. */
  readonly servers: readonly string[];
  readonly caPem?: string | undefined;
  readonly certPem?: string | undefined;
  readonly keyPem?: string | undefined;
}

/** A call: its path, and how its answer is read. */
export interface Method<Response> {
  readonly path: string;
  readonly decode: (message: Buffer) => Response;
}

/** How a failed attempt is to be understood. */
export type Failure =
  /** etcd has refused it: it was not done. */
  | 'refused'
  /** It never left this process. */
  | 'unsent'
  /** It may have been done, or be done later. */
  | 'unknown';

/** One operation with all its attempts takes no longer; a cluster has a new leader in a second or two. */
export const operationMsMax = 10_000;
const attemptMsMax = 3_000;

const channelOptions = {
  // Lists are longer than gRPC's 4 MiB.
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  'grpc.enable_http_proxy': 0,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.min_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // Upstream's keep-alive towards etcd.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 1,
};

/** The members of an etcd cluster: one is talked to, the next one when it cannot be reached. */
export class EtcdConnection implements Disposable {
  readonly #clock: Clock;
  readonly #addresses: readonly string[];
  readonly #clients: readonly Client[];
  #at = 0;

  constructor({ servers, caPem, certPem, keyPem }: EtcdServers, clock: Clock) {
    if (servers.length === 0) throw new Error('cannot use etcd: no server is named');
    this.#clock = clock;
    const pem = (text: string | undefined) => (text === undefined ? null : Buffer.from(text));
    const targets = servers.map(server => targetOf(server));
    this.#addresses = targets.map(({ address }) => address);
    this.#clients = targets.map(({ address, isSecure }) => {
      if (!isSecure) return new Client(address, credentials.createInsecure(), channelOptions);
      const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[|\]$/g, '');
      const channel = credentials.createSsl(pem(caPem), pem(keyPem), pem(certPem), {
        checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate as PeerCertificate),
      });
      // An address may not be asked for by name: the certificate is held against it all the same.
      const named = isIP(host) === 0 ? {} : { 'grpc.ssl_target_name_override': 'etcd' };
      return new Client(address, channel, { ...channelOptions, ...named });
    });
  }

  /** The member that is talked to. */
  get address(): string {
    return this.#addresses[this.#at] as string;
  }

  get memberCount(): number {
    return this.#clients.length;
  }

  /** One attempt; rejects with gRPC's error. */
  attempt<Response>(method: Method<Response>, message: Buffer, timeoutMs = attemptMsMax): Promise<Response> {
    const at = this.#at;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        method.path,
        asItIs,
        asItIs,
        message,
        new Metadata(),
        { deadline: this.#clock.now() + timeoutMs },
        (error, response) => {
          if (error) {
            this.#leave(at, error);
            reject(error);
          } else resolve(method.decode(response as Buffer));
        },
      );
    });
  }

  /** As many attempts as the time allows, for what may be done more than once. */
  async call<Response>(method: Method<Response>, message: Buffer): Promise<Response> {
    const attempts = this.attempts();
    while (true) {
      try {
        return await this.attempt(method, message);
      } catch (error) {
        if (failureOf(error) === 'refused') throw error;
        await attempts.next(error);
      }
    }
  }

  /** Paces the attempts of one operation. */
  attempts(): { next(failure: unknown): Promise<void> } {
    const backoff = exponentialBackoff({ initialMs: 25, maxMs: 500 });
    const endMs = this.#clock.monotonic() + operationMsMax;
    return {
      next: async failure => {
        if (this.#clock.monotonic() >= endMs) throw this.unreachable(failure);
        await this.#clock.sleep(backoff.next());
      },
    };
  }

  stream(path: string): ClientDuplexStream<Buffer, Buffer> {
    const metadata = new Metadata();
    // A member that has lost its leader ends the stream instead of staying silent.
    metadata.set('hasleader', 'true');
    return this.#client.makeBidiStreamRequest(path, asItIs, asItIs, metadata) as ClientDuplexStream<Buffer, Buffer>;
  }

  serverStream(path: string, message: Buffer): AsyncIterable<Buffer> {
    return this.#client.makeServerStreamRequest(path, asItIs, asItIs, message) as AsyncIterable<Buffer>;
  }

  /** Turns to the next member, unless somebody has meanwhile. */
  leave(): void {
    this.#at = (this.#at + 1) % this.#clients.length;
  }

  unreachable(cause: unknown): StorageUnavailableError {
    const said = cause instanceof Error ? ((cause as Partial<ServiceError>).details ?? cause.message) : String(cause);
    const why = said
      .replace(/^No connection established\. Last error: (Error: )?/, '')
      .replace(/\. Resolution note: .*$/s, '');
    return new StorageUnavailableError(`cannot reach etcd at ${this.#addresses.join(', ')}: ${why}`, { cause });
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client.close();
  }

  get #client(): Client {
    return this.#clients[this.#at] as Client;
  }

  #leave(at: number, error: ServiceError): void {
    if (at === this.#at && failureOf(error) !== 'refused') this.leave();
  }
}

export function failureOf(error: unknown): Failure {
  const { code, details = '' } = error as Partial<ServiceError>;
  switch (code) {
    case status.UNAVAILABLE:
      return /^(No connection established|Name resolution failed)/.test(details) ? 'unsent' : 'unknown';
    case status.CANCELLED:
    case status.DEADLINE_EXCEEDED:
    case status.INTERNAL:
    case status.UNKNOWN:
    case status.ABORTED:
      return 'unknown';
    default:
      return 'refused';
  }
}

function asItIs(message: Buffer): Buffer {
  return message;
}

function targetOf(server: string): { readonly address: string; readonly isSecure: boolean } {
  const parsed = /^(https?|etcds?):\/\/(\[[0-9a-fA-F:.]+\]|[^:/[\]]+)(?::(\d{1,5}))?\/?$/.exec(server);
  if (!parsed)
    throw new Error(`cannot read the etcd server ${JSON.stringify(server)}: it is not like http://host:2379`);
  const [, scheme, host, port = '2379'] = parsed;
  return { address: `${host}:${port}`, isSecure: scheme === 'https' || scheme === 'etcds' };
}
