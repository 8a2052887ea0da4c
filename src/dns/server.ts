import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Clock } from '#base/clock.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import {
  encodeAnswer,
  encodeRefusal,
  failure,
  parseQuery,
  responseCode,
  type Answer,
  type Lasting,
} from './message.ts';
import type { Client, Handler } from './plugin.ts';

export interface DnsServerOptions {
  readonly address: string;
  /** 0: any that is free for both protocols. */
  readonly port: number;
  readonly handler: Handler;
  readonly clock: Clock;
  readonly log: Log;
}

const idleMs = 10_000;
const udpReceiveBytes = 4 * 1024 * 1024;

/** Listens by UDP and TCP. */
export class DnsServer implements AsyncDisposable {
  readonly #options: DnsServerOptions;
  readonly #connections = new Set<Socket>();
  #udp: UdpSocket | undefined;
  #tcp: Server | undefined;
  #inFlight = 0;
  #handler: Handler;
  /** Encoded answers by the bytes of their questions, without the id. */
  readonly #lasting = new Map<string, { readonly bytes: Buffer; readonly lasting: Lasting }>();

  constructor(options: DnsServerOptions) {
    this.#options = options;
    this.#handler = options.handler;
  }

  /** From now on another one answers; what is under way ends as it began. */
  serve(handler: Handler): void {
    this.#handler = handler;
    this.#lasting.clear();
  }

  get port(): number {
    return (this.#tcp?.address() as AddressInfo | null)?.port ?? 0;
  }

  async listen(): Promise<void> {
    const { address, port, log } = this.#options;
    this.#tcp = createServer(socket => this.#serve(socket));
    this.#tcp.maxConnections = limits.dnsConnectionsMax;
    this.#tcp.listen(port, address);
    await once(this.#tcp, 'listening');
    this.#tcp.on('error', error => log.error('the DNS server failed', { error }));
    const udp = createSocket({
      type: address.includes(':') ? 'udp6' : 'udp4',
      recvBufferSize: udpReceiveBytes,
      lookup: asItIs,
    });
    this.#udp = udp;
    // Nothing is looked up, so it may listen before `bind` is through.
    const listening = once(udp, 'listening');
    udp.bind(this.port, address);
    await listening;
    udp.on('error', error => log.warn('the DNS socket failed', { error }));
    udp.on('message', (message, from) => this.#receive(udp, message, from));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#udp) this.#udp.close(resolve);
    else resolve();
    await promise;
    const tcp = this.#tcp;
    if (tcp?.listening) await new Promise<void>(closed => tcp.close(() => closed()));
  }

  #receive(udp: UdpSocket, message: Buffer, from: RemoteInfo): void {
    const key = message.toString('latin1', 2);
    const kept = this.#lasting.get(key);
    if (kept?.lasting.isCurrent() === true) {
      kept.lasting.again?.();
      // A copy: the socket may hold on to it.
      const answer = Buffer.allocUnsafe(kept.bytes.length);
      kept.bytes.copy(answer);
      answer[0] = message[0] ?? 0;
      answer[1] = message[1] ?? 0;
      udp.send(answer, from.port, from.address);
      return;
    }
    // Without a callback nothing is told of a client that is gone, and that is no concern of ours.
    this.#handle(
      message,
      { transport: 'udp', address: from.address, port: from.port },
      answer => udp.send(answer, from.port, from.address),
      undefined,
      (bytes, lasting) => {
        if (message.length > keptBytesMax || bytes.length > keptBytesMax) return;
        if (this.#lasting.size >= limits.dnsLastingAnswersMax) this.#lasting.clear();
        this.#lasting.set(key, { bytes, lasting });
      },
    );
  }

  /** `send` is called once, or never for what deserves no answer. */
  #handle(
    message: Buffer,
    client: Client,
    send: (answer: Buffer) => void,
    drop?: () => void,
    keep?: (bytes: Buffer, lasting: Lasting) => void,
  ): void {
    const parsed = parseQuery(message);
    if (!parsed) return drop?.();
    if (parsed.code !== undefined) return send(encodeRefusal(parsed.message, parsed.code));
    const { query } = parsed;
    if (query.edns && query.edns.version > 0)
      return send(encodeAnswer(query, failure(responseCode.BADVERS), client.transport));
    const answer = this.#handler(query, client);
    if (!(answer instanceof Promise)) {
      const bytes = encodeAnswer(query, answer, client.transport);
      if (answer.kind === 'records' && answer.lasting) keep?.(bytes, answer.lasting);
      return send(bytes);
    }
    if (this.#inFlight >= limits.dnsQueriesInFlightMax) return drop?.();
    this.#inFlight++;
    const finish = (found: Answer) => {
      this.#inFlight--;
      send(encodeAnswer(query, found, client.transport));
    };
    answer.then(finish, () => finish(failure(responseCode.SERVFAIL)));
  }

  /** Queries behind each other on one connection; answers in the order in which they are found (RFC 7766). */
  #serve(socket: Socket): void {
    const { clock } = this.#options;
    this.#connections.add(socket);
    let received: Buffer = Buffer.alloc(0);
    let waiting = 0;
    let cancelIdle = () => {};
    const rest = () => {
      cancelIdle();
      cancelIdle = clock.after(idleMs, () => socket.destroy());
    };
    const answered = () => {
      waiting--;
      if (waiting < limits.dnsQueriesPerConnectionMax && socket.isPaused()) socket.resume();
    };
    const read = () => {
      while (received.length >= 2) {
        const length = received.readUInt16BE(0);
        if (received.length < 2 + length) break;
        const message = received.subarray(2, 2 + length);
        received = received.subarray(2 + length);
        waiting++;
        const client: Client = {
          transport: 'tcp',
          address: socket.remoteAddress ?? '',
          port: socket.remotePort ?? 0,
        };
        const send = (answer: Buffer) => {
          answered();
          if (!socket.writable) return;
          const prefix = Buffer.alloc(2);
          prefix.writeUInt16BE(answer.length, 0);
          socket.cork();
          socket.write(prefix);
          socket.write(answer);
          socket.uncork();
        };
        this.#handle(message, client, send, () => {
          answered();
          socket.destroy();
        });
      }
      // A client that does not read its answers is not read either.
      if (waiting >= limits.dnsQueriesPerConnectionMax || socket.writableLength > 256 * 1024) socket.pause();
    };
    socket.on('data', (part: Buffer) => {
      rest();
      received = received.length === 0 ? part : Buffer.concat([received, part]);
      read();
    });
    socket.on('drain', () => socket.resume());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      cancelIdle();
      this.#connections.delete(socket);
    });
    rest();
  }
}

/** Answers and questions are small; what is not is made anew each time. */
const keptBytesMax = 512;

/** Clients are addresses: the usual look-up would take a turn of the event loop to find that out. */
function asItIs(
  address: string,
  _options: unknown,
  found: (error: Error | null, address: string, family: number) => void,
): void {
  found(null, address, address.includes(':') ? 6 : 4);
}
