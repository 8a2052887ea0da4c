/*
 * A KMS v2 plugin for tests, as a process of its own: `node kms-plugin.fixture.ts SOCKET STATE`. The file STATE holds
 * `{"keyId": "…", "healthz": "ok"}` and is read at every call; the key of a key id is its hash.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { Reader, writeBytes, writeString, writeVarint, written } from '#api/machinery/wire.ts';
import { openGcm, sealGcm } from './aes.ts';

const [, , socket = '', stateFile = ''] = process.argv;

function state(): { readonly keyId: string; readonly healthz: string } {
  return JSON.parse(readFileSync(stateFile, 'utf8')) as { keyId: string; healthz: string };
}

function keyOf(keyId: string): Uint8Array {
  return createHash('sha256').update(`key of ${keyId}`).digest();
}

function message(write: () => void): Buffer {
  return Buffer.from(written(write));
}

function field(number: number, value: string | Uint8Array): void {
  if (typeof value === 'string') writeString(value);
  else writeBytes(value);
  writeVarint((number << 3) | 2);
}

function fields(request: Buffer): Map<number, Buffer> {
  const reader = new Reader(request);
  const found = new Map<number, Buffer>();
  while (!reader.done) found.set(reader.varint() >>> 3, reader.view());
  return found;
}

type Unary = (call: { readonly request: Buffer }, done: (error: Error | null, answer?: Buffer) => void) => void;

const answering =
  (answer: (request: Buffer) => Buffer): Unary =>
  ({ request }, done) => {
    try {
      done(null, answer(request));
    } catch (error) {
      done(error as Error);
    }
  };

const asItIs = (bytes: Buffer) => bytes;
const method = (name: string) => ({
  path: `/v2.KeyManagementService/${name}`,
  requestStream: false,
  responseStream: false,
  requestSerialize: asItIs,
  requestDeserialize: asItIs,
  responseSerialize: asItIs,
  responseDeserialize: asItIs,
});

const server = new Server();
server.addService(
  { Status: method('Status'), Encrypt: method('Encrypt'), Decrypt: method('Decrypt') },
  {
    Status: answering(() => {
      const { keyId, healthz } = state();
      return message(() => {
        field(3, keyId);
        field(2, healthz);
        field(1, 'v2');
      });
    }),
    Encrypt: answering(request => {
      const { keyId } = state();
      const plain = fields(request).get(1) ?? new Uint8Array();
      // One annotation.
      const entry = message(() => {
        field(2, Buffer.from('fixture'));
        field(1, 'made-by.example.com');
      });
      return message(() => {
        writeBytes(entry);
        writeVarint((3 << 3) | 2);
        field(2, keyId);
        field(1, sealGcm(keyOf(keyId), plain, keyId));
      });
    }),
    Decrypt: answering(request => {
      const found = fields(request);
      const keyId = String(found.get(3));
      const plain = openGcm(keyOf(keyId), found.get(1) ?? new Uint8Array(), keyId);
      return message(() => field(1, plain));
    }),
  },
);
server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), error => {
  if (error) throw error;
  process.stdout.write('ready\n');
});
