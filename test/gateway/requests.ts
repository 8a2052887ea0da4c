import { request as httpRequest, type Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { connect as connectH2 } from 'node:http2';
import { request as httpsRequest, type Agent as HttpsAgent } from 'node:https';
import { connect as connectTls } from 'node:tls';
import type { Echo } from './backends.ts';

export interface Request {
  readonly host?: string;
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly port?: number;
  /** With TLS: the name that is asked for. */
  readonly serverName?: string;
  readonly client?: { readonly certPem: string; readonly keyPem: string };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  /** Where a backend has answered. */
  readonly echo: Echo | undefined;
}

const limitMs = 8_000;

/** Keep connections for more than one request. */
export interface Agents {
  readonly http: HttpAgent;
  readonly https: HttpsAgent;
}

/** One request, without agents on a connection of its own. */
export function ask(address: string, wish: Request, agents?: Agents): Promise<Answer> {
  const { host = address, path = '/', method = 'GET', headers = {}, body, serverName, client } = wish;
  const isTls = serverName !== undefined;
  const port = wish.port ?? (isTls ? 443 : 80);
  return new Promise((resolve, reject) => {
    const common = {
      host: address,
      port,
      path,
      method,
      headers: { host, ...headers },
      timeout: limitMs,
    } as const;
    const got = (response: IncomingMessage) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, echo: echoOf(text) }),
      );
    };
    const request = isTls
      ? httpsRequest(
          {
            ...common,
            agent: agents?.https ?? false,
            servername: serverName,
            // Whose certificate it is the tests look at by themselves.
            rejectUnauthorized: false,
            ...(client && { cert: client.certPem, key: client.keyPem }),
          },
          got,
        )
      : httpRequest({ ...common, agent: agents?.http ?? false }, got);
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', reject);
    request.end(body);
  });
}

function echoOf(text: string): Echo | undefined {
  return text.startsWith('{"backend"') ? (JSON.parse(text) as Echo) : undefined;
}

/** A gRPC call: its status, and what the backend saw. */
export async function call(
  address: string,
  {
    path,
    host = address,
    headers = {},
    port = 80,
  }: {
    readonly path: string;
    readonly host?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly port?: number;
  },
): Promise<{ readonly status: number; readonly grpcStatus: string | undefined; readonly echo: Echo | undefined }> {
  const session = connectH2(`http://${address}:${port}`);
  try {
    return await new Promise((resolve, reject) => {
      session.on('error', reject);
      session.setTimeout(limitMs, () => reject(new Error('no answer')));
      const stream = session.request({
        ':method': 'POST',
        ':path': path,
        ':authority': host,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      });
      let status = 0;
      let grpcStatus: string | undefined;
      const chunks: Buffer[] = [];
      stream.on('response', received => (status = Number(received[':status'])));
      stream.on('trailers', received => (grpcStatus = String(received['grpc-status'])));
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', reject);
      stream.on('end', () =>
        resolve({ status, grpcStatus, echo: echoOf(Buffer.concat(chunks).subarray(5).toString()) }),
      );
      stream.end(Buffer.alloc(5));
    });
  } finally {
    session.close();
  }
}

/** The subject of the certificate that is shown for a name; rejects where the connection is refused. */
export function certificateFor(address: string, serverName: string, port = 443): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: address, port, servername: serverName, rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.setTimeout(limitMs, () => socket.destroy(new Error('no answer')));
    socket.on('error', reject);
  });
}
