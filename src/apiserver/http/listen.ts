import { isIPv6, type AddressInfo, type Socket } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { systemClock, type Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { systemRandom } from '#base/random.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import { http1Server } from './http1.ts';
import { serveHttp2 } from './http2.ts';
import { certificatesOf } from '#auth/certificates/certificate.ts';
import { trustOf, type Peer, type PeerTrust } from './peer.ts';

// Node's `listen` asks this, and its regular expression takes 3 ms to compile: when this file is loaded, not when a server starts.
isIPv6('::');

export type HandleRequest = (request: ApiRequest, peer: Peer) => Promise<ApiResponse>;

export interface ListenOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly tls: {
    readonly certPem: string;
    readonly keyPem: string;
    /** Authorities that client certificates are verified against. */
    readonly clientCaPem?: string;
    /** Authorities of front proxies, which say by headers who a user is. */
    readonly proxyCaPem?: string | undefined;
  };
  /** How often, of one, a client of HTTP/2 is asked to open another connection. */
  readonly goAwayChance?: number | undefined;
  /** By which certificates expire; default: the machine's, as TLS itself has it. */
  readonly clock?: Clock;
}

export interface Listener extends AsyncDisposable {
  readonly port: number;
  /** Takes a renewed certificate into use for new connections. */
  renew(tls: ListenOptions['tls']): void;
}

/** HTTP/1.1 and HTTP/2 on one TLS port: the handshake's ALPN says which. */
export async function listen(serve: HandleRequest, options: ListenOptions, log: Log): Promise<Listener> {
  const { clock = systemClock } = options;
  // The handshake was long ago for some connections.
  const handle: HandleRequest = (request, peer) =>
    serve(
      request,
      peer.expiresMs !== undefined && peer.expiresMs <= clock.now() ? { refused: true, address: peer.address } : peer,
    );
  const { goAwayChance = 0 } = options;
  const leaves = goAwayChance > 0 ? () => systemRandom.next() < goAwayChance : undefined;
  const http1 = http1Server(handle, log);
  const sockets = new Set<Socket>();
  let trust = peerTrust(options.tls);
  const server = createServer({
    ...secureContext(options.tls),
    ALPNProtocols: ['h2', 'http/1.1'],
    minVersion: 'TLSv1.2',
    requestCert: true,
    // Most clients show a token, or nothing: authentication decides, not the handshake.
    rejectUnauthorized: false,
    handshakeTimeout: 10_000,
    sessionIdContext: 'windlass',
  });
  server.on('connection', socket => {
    socket.setNoDelay(true);
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => socket.destroy());
    if (trust) trustOf(socket, trust);
    if (socket.alpnProtocol === 'h2') serveHttp2(socket, handle, log, systemClock, leaves);
    else http1.emit('connection', socket);
  });
  server.on('tlsClientError', () => {
    // Port scanners and health checks of load balancers.
  });
  // The timeouts for slow clients are only watched over on a server that believes it listens.
  http1.emit('listening');
  await new Promise<void>((resolve, reject) => {
    server.once('error', error =>
      reject(new Error(`cannot listen on ${options.host}:${options.port}: ${error.message}`, { cause: error })),
    );
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    renew(tls) {
      trust = peerTrust(tls);
      server.setSecureContext(secureContext(tls));
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>(resolve => server.close(() => resolve()));
      // Also stops the watch over slow clients.
      http1.close(() => {});
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function secureContext({ certPem, keyPem, clientCaPem, proxyCaPem }: ListenOptions['tls']) {
  const authorities = [clientCaPem, proxyCaPem].filter(each => each !== undefined);
  return { cert: certPem, key: keyPem, ...(authorities.length > 0 && { ca: authorities }) };
}

/** Only where there are two sorts of authorities they have to be told apart. */
function peerTrust({ clientCaPem = '', proxyCaPem }: ListenOptions['tls']): PeerTrust | undefined {
  if (proxyCaPem === undefined) return undefined;
  return { client: certificatesOf(clientCaPem), proxy: certificatesOf(proxyCaPem) };
}
