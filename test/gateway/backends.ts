import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createH2Server, type Http2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import { createHash } from 'node:crypto';
import type { AddressInfo, Server } from 'node:net';

/** What a backend saw of a request. */
export interface Echo {
  readonly backend: string;
  readonly protocol: string;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string;
}

export interface Backend extends AsyncDisposable {
  readonly name: string;
  /** HTTP/1.1; HTTP/2 without TLS (also gRPC); HTTPS. */
  readonly ports: { readonly http: number; readonly h2c: number; readonly tls: number };
  /** Everything it has seen. */
  readonly seen: Echo[];
}

/** A server on all addresses of this machine that tells what it was asked. `?delay=MS` keeps it waiting. */
export async function startBackend(
  name: string,
  pair: { readonly certPem: string; readonly keyPem: string },
): Promise<Backend> {
  const seen: Echo[] = [];
  const answer = (request: IncomingMessage, response: ServerResponse, protocol: string) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const echo = { backend: name, protocol, method, path: url, host: headers.host ?? '', headers, body };
      seen.push(echo);
      const delayMs = Number(new URL(url, 'http://x').searchParams.get('delay') ?? 0);
      setTimeout(() => {
        response.setHeader('content-type', 'application/json');
        const given = headers['x-echo-set-header'];
        for (const each of given === undefined ? [] : String(given).split(',')) {
          const [header = '', value = ''] = each.split(':');
          response.appendHeader(header.trim(), value.trim());
        }
        response.end(JSON.stringify(echo));
      }, delayMs);
    });
  };
  const http = createHttpServer((request, response) => answer(request, response, 'HTTP/1.1'));
  http.on('upgrade', (request, socket) => {
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
    );
    // One text frame with the name, and the end.
    socket.end(Buffer.concat([Buffer.from([0x81, name.length]), Buffer.from(name), Buffer.from([0x88, 0])]));
  });
  const h2c = createH2Server();
  h2c.on('stream', (stream: ServerHttp2Stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const echo = {
        backend: name,
        protocol: 'HTTP/2.0',
        method: String(headers[':method']),
        path: String(headers[':path']),
        host: String(headers[':authority'] ?? headers['host'] ?? ''),
        headers: headers as Echo['headers'],
        body: Buffer.concat(chunks).toString(),
      };
      seen.push(echo);
      const text = Buffer.from(JSON.stringify(echo));
      if (!String(headers['content-type']).startsWith('application/grpc')) {
        stream.respond({ ':status': 200, 'content-type': 'application/json' });
        stream.end(text);
        return;
      }
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      const length = Buffer.alloc(5);
      length.writeUInt32BE(text.length, 1);
      stream.end(Buffer.concat([length, text]));
    });
  });
  const tls = createTlsServer({ cert: pair.certPem, key: pair.keyPem }, (request, response) =>
    answer(request, response, 'HTTPS'),
  );
  const servers = [http, h2c, tls] as const;
  const [first, second, third] = await Promise.all(servers.map(listen));
  return {
    name,
    ports: { http: first ?? 0, h2c: second ?? 0, tls: third ?? 0 },
    seen,
    async [Symbol.asyncDispose]() {
      await Promise.all(
        servers.map(
          server =>
            new Promise<void>(resolve => {
              server.close(() => resolve());
              if ('closeAllConnections' in server) server.closeAllConnections();
              else resolve();
            }),
        ),
      );
    },
  };
}

function listen(server: Server | Http2Server): Promise<number> {
  return new Promise(resolve => server.listen(0, () => resolve((server.address() as AddressInfo).port)));
}
