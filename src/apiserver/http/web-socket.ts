import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { limits } from '#base/limits.ts';
import type { ApiResponse } from '#client/transport.ts';
import { writableSink } from './write.ts';

/** An answer that goes on for a while: over a WebSocket it is a row of messages instead of one body. */
export type OngoingResponse = Extract<ApiResponse, { readonly kind: 'watch' | 'stream' }>;

/** Browsers ask for a watch or a log so. Everything else that takes over a connection answers for itself. */
export function isForWebSocket(message: IncomingMessage, response: ApiResponse): response is OngoingResponse {
  const ongoing = response.kind === 'watch' || response.kind === 'stream';
  return ongoing && response.code === 200 && String(message.headers.upgrade).toLowerCase() === 'websocket';
}

/** Upstream's protocols of a reader: bytes as they are, or as base64 in text. */
const readerProtocols = ['binary.k8s.io', 'base64.binary.k8s.io'];

const server = new WebSocketServer({
  noServer: true,
  maxPayload: 1024,
  handleProtocols: offered => readerProtocols.find(each => offered.has(each)) ?? false,
});

export async function sendOverWebSocket(
  message: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  response: OngoingResponse,
): Promise<void> {
  const connection = await new Promise<WebSocket>(resolve => server.handleUpgrade(message, socket, head, resolve));
  // A client that sends nonsense is gone; what it says otherwise nobody has asked for.
  connection.on('error', () => connection.terminate());
  const room = () => writableSink(socket).drained();
  if (response.kind === 'watch') {
    const isText = String(response.headers['content-type']).startsWith('application/json');
    response.watch.toBytes({
      push(bytes) {
        if (connection.readyState !== connection.OPEN) return false;
        for (const event of isText ? lines(bytes) : frames(bytes)) connection.send(event, { binary: !isText });
        return connection.bufferedAmount <= limits.watchBufferBytesMax;
      },
      end: () => connection.close(),
      room,
    });
    return;
  }
  const isBase64 = connection.protocol === 'base64.binary.k8s.io';
  for await (const piece of response.stream) {
    if (connection.readyState !== connection.OPEN) break;
    connection.send(isBase64 ? Buffer.from(piece).toString('base64') : piece, { binary: !isBase64 });
    await room();
  }
  connection.close(1000);
}

/** A chunk of a watch holds whole events, each with its newline. */
function* lines(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; ) {
    const found = bytes.indexOf(0x0a, start);
    const end = found < 0 ? bytes.length : found + 1;
    yield bytes.subarray(start, end);
    start = end;
  }
}

/** Each event stands behind its length, which a message does not need. */
function* frames(bytes: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 4 <= bytes.length; ) {
    const end = at + 4 + view.getUint32(at);
    yield bytes.subarray(at + 4, end);
    at = end;
  }
}
