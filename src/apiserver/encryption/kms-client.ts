import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { Clock } from '#base/clock.ts';
import {
  decodeDecryptResponse,
  decodeEncryptResponse,
  decodeStatusResponse,
  encodeDecryptRequest,
  encodeEncryptRequest,
  encodeStatusRequest,
  type KmsEncrypted,
  type KmsStatus,
} from './kms-messages.ts';

/** A KMS plugin (v2): keeps the key that keys are encrypted with. Rejects with gRPC's error. */
export interface KmsClient extends Disposable {
  status(): Promise<KmsStatus>;
  encrypt(plaintext: Uint8Array, uid: string): Promise<KmsEncrypted>;
  decrypt(encrypted: KmsEncrypted, uid: string): Promise<Uint8Array>;
}

export interface KmsCallObserver {
  (method: string, code: string, seconds: number): void;
}

export function connectKms(socket: string, timeoutMs: number, clock: Clock, observe: KmsCallObserver): KmsClient {
  // `@name` is one of Linux' abstract sockets.
  const address = socket.startsWith('@') ? `unix-abstract:${socket.slice(1)}` : `unix:${socket}`;
  const client = new Client(address, credentials.createInsecure(), {
    'grpc.enable_http_proxy': 0,
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
  });
  const call = <Answer>(method: string, message: Buffer, decode: (answer: Buffer) => Answer): Promise<Answer> => {
    const path = `/v2.KeyManagementService/${method}`;
    const startMs = clock.monotonic();
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        asItIs,
        asItIs,
        message,
        new Metadata({ waitForReady: true }),
        { deadline: clock.now() + timeoutMs },
        (error, answer) => {
          observe(path, error ? String(error.code) : 'OK', (clock.monotonic() - startMs) / 1000);
          if (error) reject(error);
          else resolve(decode(answer as Buffer));
        },
      );
    });
  };
  return {
    status: () => call('Status', encodeStatusRequest(), decodeStatusResponse),
    encrypt: (plaintext, uid) => call('Encrypt', encodeEncryptRequest(plaintext, uid), decodeEncryptResponse),
    decrypt: (encrypted, uid) => call('Decrypt', encodeDecryptRequest(encrypted, uid), decodeDecryptResponse),
    [Symbol.dispose]() {
      client.close();
    },
  };
}

function asItIs(message: Buffer): Buffer {
  return message;
}
