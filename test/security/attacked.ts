import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { issue, issueAuthority } from '#auth/certificates/issue.ts';
import type { ApiServerOptions } from '#apiserver/server.ts';
import { openTestServer, type TestServer } from '#apiserver/test-server.ts';

const host = '127.0.0.1';
const servername = 'localhost';
const validForMs = 86_400_000;

/** An API server over real connections, for those who do to it what they should not. */
export interface Attacked extends AsyncDisposable {
  readonly server: TestServer;
  readonly port: number;
  readonly ca: string;
  open(protocol: 'h2' | 'http/1.1'): Promise<TLSSocket>;
  /** A health check by somebody else, with the time it took. */
  health(): Promise<number>;
}

export async function openAttacked(options: Partial<ApiServerOptions> = {}): Promise<Attacked> {
  const issuing = { clock: systemClock, random: systemRandom };
  const authority = await issueAuthority({ commonName: 'ca', validForMs }, issuing);
  const tls = await issue(
    authority,
    { commonName: 'kube-apiserver', hosts: [servername], ips: [host], usages: ['server'], validForMs },
    issuing,
  );
  const ca = authority.certPem;
  const server = await openTestServer({ clock: systemClock, ...options });
  const { port } = await server.server.listen({ host, port: 0, tls });
  return {
    server,
    port,
    ca,
    async open(protocol) {
      const socket = connect({ port, host, servername, ca, ALPNProtocols: [protocol] });
      socket.on('error', () => {
        // A server that has had enough closes; writing on is an error here.
      });
      await once(socket, 'secureConnect');
      return socket;
    },
    async health() {
      const startMs = performance.now();
      const code = await new Promise<number>((resolve, reject) => {
        request({ port, host, servername, ca, path: '/readyz', agent: false }, answer => {
          answer.resume();
          answer.on('end', () => resolve(answer.statusCode ?? 0));
        })
          .on('error', reject)
          .end();
      });
      assert.equal(code, 200);
      return performance.now() - startMs;
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A frame of HTTP/2. */
export function frame(type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** What a client of HTTP/2 says first. */
export const hello = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)]);

/** GET / and POST / with an authority, by HPACK's static table. */
export const getRoot = Buffer.from([0x82, 0x87, 0x84, 0x41, 0x01, 0x61]);
export const postRoot = Buffer.from([0x83, 0x87, 0x84, 0x41, 0x01, 0x61]);
