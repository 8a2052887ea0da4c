import { createHash } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import { openDerived, openGcm, sealDerived, seedBytes } from './aes.ts';
import type { KmsClient } from './kms-client.ts';
import {
  checkEncrypted,
  decodeEncryptedObject,
  encodeEncryptedObject,
  keyIdProblem,
  type EncryptedObject,
  type KeySource,
  type KmsEncrypted,
} from './kms-messages.ts';
import type { Read, Transformer } from './transformer.ts';

/** Upstream's times: how often a plugin is asked how it is, and how long a seed is written with when it does not answer. */
const lookWhenWellMs = 60_000;
const lookWhenIllMs = 10_000;
const writeMsMax = 180_000;
const answerWellMs = 20_000;
const answerIllMs = 3_000;
/** Seeds that were decrypted: about as many as there were key ids and starts of servers. */
const knownKeysMax = 1_000;

/** A plugin that does not answer is waited for this long before what only it can read counts as unreadable. */
const waitMsMax = 60_000;
const pauseMs = 500;
const codes = { deadlineExceeded: 4, unavailable: 14 };

export interface KmsProviderOptions {
  readonly name: string;
  readonly client: KmsClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly onCacheMiss: () => void;
}

interface WriteState {
  readonly seed: Uint8Array;
  readonly encrypted: KmsEncrypted;
  readonly expiresMs: number;
}

/**
 * Encrypts with keys derived from a seed that the plugin has encrypted, so that the plugin is asked once a key id and not
 * once a write. Reading goes on for as long as the seeds are known; writing three minutes after the plugin was well last.
 */
export class KmsProvider implements Transformer, Disposable {
  readonly name: string;
  readonly #client: KmsClient;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Log;
  readonly #onCacheMiss: () => void;
  readonly #keys = new Map<string, Uint8Array>();
  readonly #asking = new Map<string, Promise<Uint8Array>>();
  #state: WriteState | undefined;
  #version: string | undefined;
  #last: { readonly error: Error | undefined; readonly untilMs: number } | undefined;
  #cancel: (() => void) | undefined;
  #closed = false;

  constructor({ name, client, clock, random, log, onCacheMiss }: KmsProviderOptions) {
    this.name = name;
    this.#client = client;
    this.#clock = clock;
    this.#random = random;
    this.#log = log;
    this.#onCacheMiss = onCacheMiss;
  }

  /** Asks the plugin for the first time, and goes on doing so. A plugin that comes later is no error. */
  async start(): Promise<void> {
    const look = async () => {
      const isWell = await this.check().then(
        () => true,
        (error: unknown) => {
          if (!this.#closed) this.#log.warn('a KMS plugin is not well', { name: this.name, error });
          return false;
        },
      );
      if (!this.#closed) this.#cancel = this.#clock.after(isWell ? lookWhenWellMs : lookWhenIllMs, () => void look());
    };
    await look();
  }

  get writer(): string {
    const { name } = this;
    return this.#state ? writerOf(name, this.#state.encrypted.keyId, 'seed') : `kms ${name}`;
  }

  write(plain: Uint8Array, key: string): Uint8Array {
    const state = this.#state;
    if (!state) throw new Error(`got unexpected nil transformer: KMS provider ${this.name} has not been well yet`);
    const nowMs = this.#clock.monotonic();
    if (nowMs > state.expiresMs)
      throw new Error(
        `encryptedDEKSource with keyID hash ${JSON.stringify(hashOf(state.encrypted.keyId))} expired ${Math.round((nowMs - state.expiresMs) / 1000)} s ago`,
      );
    const { ciphertext: encryptedKey, keyId, annotations } = state.encrypted;
    const data = sealDerived(state.seed, plain, key);
    return encodeEncryptedObject({ data, keyId, encryptedKey, annotations, source: 'seed' });
  }

  read(stored: Uint8Array, key: string): Read | Promise<Read> {
    const object = decodeEncryptedObject(stored);
    const open = (secret: Uint8Array): Read => ({
      bytes: object.source === 'seed' ? openDerived(secret, object.data, key) : openGcm(secret, object.data, key),
      writer: writerOf(this.name, object.keyId, object.source),
    });
    const id = keyOf(object);
    const known = this.#keys.get(id);
    return known ? open(known) : this.#ask(id, object).then(open);
  }

  /** Asks the plugin how it is, unless it has just been asked. Throws why it is not well. */
  async check(): Promise<void> {
    const nowMs = this.#clock.monotonic();
    if (this.#last && nowMs < this.#last.untilMs) {
      if (this.#last.error) throw this.#last.error;
      return;
    }
    try {
      await this.#look();
      this.#last = { error: undefined, untilMs: this.#clock.monotonic() + answerWellMs };
    } catch (error) {
      this.#last = { error: error as Error, untilMs: this.#clock.monotonic() + answerIllMs };
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#cancel?.();
    this.#client[Symbol.dispose]();
  }

  async #look(): Promise<void> {
    const { name } = this;
    let status;
    try {
      status = await this.#client.status();
    } catch (error) {
      throw new Error(
        `failed to perform status section of the healthz check for KMS Provider ${name}, error: ${(error as Error).message}`,
        { cause: error },
      );
    }
    const { healthz, version, keyId } = status;
    const problems: string[] = [];
    if (healthz !== 'ok') problems.push(`got unexpected healthz status: ${healthz}`);
    this.#version ??= version;
    if (version !== 'v2' && version !== 'v2beta1') problems.push(`expected KMSv2 API version v2, got ${version}`);
    else if (this.#version !== version)
      problems.push(
        `KMSv2 API version should not change after the initial status response version ${this.#version}, got ${version}`,
      );
    const problem = keyIdProblem(keyId);
    if (problem !== undefined)
      problems.push(`got invalid KMSv2 KeyID hash ${JSON.stringify(keyId === '' ? '' : hashOf(keyId))}: ${problem}`);
    else {
      try {
        await this.#rotate(keyId);
      } catch (error) {
        problems.push((error as Error).message);
      }
    }
    if (problems.length > 0) throw new Error(`kmsv2 Provider ${name} is not healthy, error: ${problems.join(', ')}`);
  }

  /** A new seed when the plugin has another key; else the seed is good for another while. */
  async #rotate(keyId: string): Promise<void> {
    const expiresMs = this.#clock.monotonic() + writeMsMax;
    if (this.#state?.encrypted.keyId === keyId) {
      this.#state = { ...this.#state, expiresMs };
      return;
    }
    const seed = this.#random.bytes(seedBytes);
    let encrypted: KmsEncrypted;
    try {
      encrypted = await this.#client.encrypt(seed, this.#random.uuid());
    } catch (error) {
      throw new Error(`failed to encrypt DEK, error: ${(error as Error).message}`, { cause: error });
    }
    checkEncrypted(encrypted);
    if (encrypted.keyId !== keyId)
      throw new Error(
        `failed to rotate DEK uid: status keyID hash ${JSON.stringify(hashOf(keyId))} and encrypt keyID hash ${JSON.stringify(hashOf(encrypted.keyId))} differ`,
      );
    this.#state = { seed, encrypted, expiresMs };
    this.#remember(keyOf({ ...encrypted, encryptedKey: encrypted.ciphertext, source: 'seed' }), seed);
    this.#log.info('a new key is written with', { provider: this.name, keyIdHash: hashOf(keyId) });
  }

  #ask(id: string, { keyId, encryptedKey, annotations }: EncryptedObject): Promise<Uint8Array> {
    const asking = this.#asking.get(id);
    if (asking) return asking;
    this.#onCacheMiss();
    // The message it stands in is kept by nobody.
    const ciphertext = Buffer.from(encryptedKey);
    const asked = this.#decrypt({ ciphertext, keyId, annotations })
      .then(secret => {
        this.#remember(id, secret);
        return secret;
      })
      .finally(() => this.#asking.delete(id));
    this.#asking.set(id, asked);
    return asked;
  }

  /** A plugin may come up later than the server that needs it. */
  async #decrypt(encrypted: KmsEncrypted): Promise<Uint8Array> {
    const giveUpMs = this.#clock.monotonic() + waitMsMax;
    for (;;) {
      try {
        return await this.#client.decrypt(encrypted, this.#random.uuid());
      } catch (error) {
        const mayCome = [codes.deadlineExceeded, codes.unavailable].includes((error as { code?: number }).code ?? 0);
        if (!mayCome || this.#closed || this.#clock.monotonic() > giveUpMs)
          throw new Error(`failed to decrypt DEK, error: ${(error as Error).message}`, { cause: error });
        this.#log.warn('a KMS plugin does not answer; it is waited for', { name: this.name, error });
        await this.#clock.sleep(pauseMs);
      }
    }
  }

  #remember(id: string, secret: Uint8Array): void {
    if (this.#keys.size >= knownKeysMax) this.#keys.delete(this.#keys.keys().next().value as string);
    this.#keys.set(id, secret);
  }
}

function writerOf(name: string, keyId: string, source: KeySource): string {
  return `kms ${name} ${hashOf(keyId)} ${source}`;
}

function keyOf({
  source,
  encryptedKey,
  keyId,
  annotations,
}: Pick<EncryptedObject, 'source' | 'encryptedKey' | 'keyId' | 'annotations'>): string {
  const noted = [...annotations].map(([name, value]) => `${name}=${Buffer.from(value).toString('base64')}`).sort();
  return [source, Buffer.from(encryptedKey).toString('base64'), keyId, ...noted].join('\n');
}

function hashOf(keyId: string): string {
  return `sha256:${createHash('sha256').update(keyId).digest('hex')}`;
}
