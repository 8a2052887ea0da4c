import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';

/** A request to switch protocols, as node:http hands it over. */
export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

export function isSpdyUpgrade({ request }: Upgrade): boolean {
  return (request.headers.upgrade ?? '').toLowerCase() === 'spdy/3.1';
}

export function isWebSocketUpgrade({ request }: Upgrade): boolean {
  return (request.headers.upgrade ?? '').toLowerCase() === 'websocket';
}

/** Answers 101 for SPDY with the first of our protocols that the client speaks; 403 with the list when there is none. */
export function acceptSpdy(upgrade: Upgrade, protocols: readonly string[]): string | undefined {
  const { request, socket, head } = upgrade;
  const asked = listOf(request.headers['x-stream-protocol-version']);
  // A client that names none speaks the oldest.
  const chosen = asked.length === 0 ? protocols.at(-1) : protocols.find(each => asked.includes(each));
  if (chosen === undefined) {
    const accepted = protocols.map(each => `X-Accepted-Stream-Protocol-Versions: ${each}\r\n`).join('');
    refuse(
      socket,
      403,
      `unable to upgrade: unable to negotiate protocol: client supports ${JSON.stringify(asked)}, server supports ${JSON.stringify(protocols)}`,
      accepted,
    );
    return undefined;
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${chosen}\r\n\r\n`,
  );
  if (head.length > 0) socket.unshift(head);
  return chosen;
}

const messageBytesMax = 4 * 1024 * 1024;

/** Switches to WebSocket with the first of our subprotocols that the client offers; '' when it offers none at all. */
export function acceptWebSocket(upgrade: Upgrade, protocols: readonly string[]): Promise<WebSocket | undefined> {
  const { request, socket, head } = upgrade;
  const asked = listOf(request.headers['sec-websocket-protocol']);
  const chosen = protocols.find(each => asked.includes(each));
  if (chosen === undefined && asked.length > 0) {
    refuse(
      socket,
      400,
      `unable to upgrade: unable to negotiate protocol: client supports ${JSON.stringify(asked)}, server supports ${JSON.stringify(protocols)}`,
    );
    return Promise.resolve(undefined);
  }
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: messageBytesMax,
    perMessageDeflate: false,
    handleProtocols: () => chosen ?? false,
  });
  return new Promise(resolve => server.handleUpgrade(request, socket, head, resolve));
}

export function refuse(socket: Duplex, code: number, message: string, headers = ''): void {
  const reasons: Readonly<Record<number, string>> = {
    400: 'Bad Request',
    403: 'Forbidden',
    404: 'Not Found',
    500: 'Internal Server Error',
  };
  const body = `${message}\n`;
  socket.end(
    `HTTP/1.1 ${code} ${reasons[code] ?? 'Error'}\r\nContent-Type: text/plain; charset=utf-8\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function listOf(header: string | readonly string[] | undefined): readonly string[] {
  const values = header === undefined ? [] : typeof header === 'string' ? [header] : header;
  return values
    .flatMap(value => value.split(','))
    .map(value => value.trim())
    .filter(value => value !== '');
}
