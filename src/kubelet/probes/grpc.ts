import http2 from 'node:http2';
import type { GRPCAction } from '#api/core/v1/pod-spec.ts';
import { hostPort, type Finding } from './handlers.ts';

const statuses = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

/** Asks grpc.health.v1.Health/Check. The two messages have one field each, so no library is needed to read them. */
export function runGrpc({ port, service = '' }: GRPCAction, host: string, timeoutMs: number): Promise<Finding> {
  const address = hostPort(host, port);
  const { promise, resolve } = Promise.withResolvers<Finding>();
  const session = http2.connect(`http://${address}`);
  const refuse = (output: string) => resolve({ ok: false, output });
  const seconds = timeoutMs / 1000;
  const timeoutText = `timeout: failed to connect service ${JSON.stringify(address)} within ${seconds}s: context deadline exceeded`;
  session.setTimeout(timeoutMs, () => refuse(timeoutText));
  session.on('error', () => refuse(timeoutText));
  const stream = session.request({
    ':method': 'POST',
    ':path': '/grpc.health.v1.Health/Check',
    'content-type': 'application/grpc',
    'user-agent': 'kube-probe/1.36',
    te: 'trailers',
    'grpc-timeout': `${timeoutMs}m`,
  });
  const chunks: Buffer[] = [];
  let code = '';
  stream.on('response', headers => {
    code = String(headers['grpc-status'] ?? code);
  });
  stream.on('trailers', trailers => {
    code = String(trailers['grpc-status'] ?? code);
  });
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => refuse(timeoutText));
  stream.on('end', () => {
    if (code === '12')
      return refuse(
        `error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service grpc.health.v1.Health`,
      );
    if (code !== '0') return refuse(`error: health rpc probe failed: rpc error: code = ${code}`);
    const status = servingStatus(Buffer.concat(chunks));
    if (status === 'SERVING') resolve({ ok: true, output: 'service healthy' });
    else refuse(`service unhealthy (responded with ${JSON.stringify(status)})`);
  });
  stream.end(healthRequest(service));
  return promise.finally(() => session.destroy());
}

function healthRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a]), varint(name.length), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest & 127) | 128);
  }
}

/** Field 1 of the answer; absent means 0. */
function servingStatus(frame: Buffer): string {
  const value = frame[5] === 0x08 ? (frame[6] ?? 0) : 0;
  return statuses[value] ?? String(value);
}
