import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { Random } from '#base/random.ts';
import type { Storage } from '#storage/storage.ts';
import type { HealthCheck } from '../health.ts';
import { aesCbc, aesGcm } from './aes.ts';
import {
  groupResourceOf,
  parseEncryptionConfiguration,
  type EncryptionConfiguration,
  type NamedKey,
  type ProviderConfiguration,
} from './configuration.ts';
import { encryptedStorage } from './encrypted-storage.ts';
import { EncryptionMetrics } from './encryption-metrics.ts';
import type { KmsProvider } from './kms-provider.ts';
import { firstOf, identity, type Prefixed, type Transformer } from './transformer.ts';

export interface EncryptionOptions {
  /** An EncryptionConfiguration. */
  readonly file: string;
  /** Takes a changed file over while the server runs. */
  readonly reloads: boolean;
  /** The resource under a key of the store, where the keys are not this server's own. */
  readonly resourceOf?: (key: string) => string;
}

interface Outside {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Encryption at rest: what the file says stands encrypted in whatever store is below. */
export interface Encryption extends AsyncDisposable {
  over(storage: Storage): Storage;
  readonly healthChecks: readonly HealthCheck[];
  readonly metrics: EncryptionMetrics;
}

/** How often the file is looked at, as upstream polls it. */
const lookEveryMs = 60_000;

/** Throws a sentence for a file that is wrong. */
export async function openEncryption(options: EncryptionOptions, outside: Outside): Promise<Encryption> {
  const { file, reloads, resourceOf = ownResourceOf } = options;
  const { clock, log } = outside;
  const metrics = new EncryptionMetrics();
  let text = readFileSync(file, 'utf8');
  let current = await load(parseEncryptionConfiguration(text, file), outside, metrics);
  const retired = new Set<KmsProvider>();
  let closed = false;

  /** A file that is wrong changes nothing: what was there goes on. */
  const reload = async () => {
    try {
      const changed = readFileSync(file, 'utf8');
      if (changed === text) return;
      const next = await load(parseEncryptionConfiguration(changed, file), outside, metrics);
      text = changed;
      const before = current;
      current = next;
      metrics.reloaded('success', clock.now());
      log.info('the encryption configuration was taken over', { file, hash: hashOf(changed) });
      for (const provider of before.kms) retired.add(provider);
      // What is under way may still be waiting for them.
      clock.after(2 * before.timeoutMs, () => {
        for (const provider of before.kms) {
          provider[Symbol.dispose]();
          retired.delete(provider);
        }
      });
    } catch (error) {
      metrics.reloaded('failure', clock.now());
      log.error('cannot take the changed encryption configuration over; the one of before goes on', { file, error });
    }
  };
  const look = () => {
    void reload().finally(() => {
      if (!closed) cancel = clock.after(lookEveryMs, look);
    });
  };
  let cancel = reloads ? clock.after(lookEveryMs, look) : () => {};

  const check: HealthCheck = {
    name: 'kms-providers',
    in: ['healthz', 'livez', 'readyz'],
    async check() {
      for (const provider of current.kms) await provider.check();
      return true;
    },
  };
  return {
    metrics,
    healthChecks: reloads || current.kms.length > 0 ? [check] : [],
    over: storage => encryptedStorage(storage, { resourceOf, of: resource => current.of(resource) }),
    async [Symbol.asyncDispose]() {
      closed = true;
      cancel();
      for (const provider of [...current.kms, ...retired]) provider[Symbol.dispose]();
    },
  };
}

/** `/registry/deployments.apps/default/web` → `deployments.apps`. */
function ownResourceOf(key: string): string {
  const start = key.indexOf('/', 1) + 1;
  const end = key.indexOf('/', start);
  return end < 0 ? key.slice(start) : key.slice(start, end);
}

interface Loaded {
  of(resource: string): Transformer;
  readonly kms: readonly KmsProvider[];
  readonly timeoutMs: number;
}

async function load(
  { resources }: EncryptionConfiguration,
  outside: Outside,
  metrics: EncryptionMetrics,
): Promise<Loaded> {
  const kms: KmsProvider[] = [];
  let timeoutMs = 0;
  /** Each rule's providers, by the resource or the wildcard it names. */
  const rules = new Map<string, Prefixed[]>();
  for (const rule of resources) {
    const providers: Prefixed[] = [];
    for (const provider of rule.providers) {
      if (provider.type === 'kms') timeoutMs += provider.timeoutMs;
      providers.push(await prefixedOf(provider, outside, metrics, kms));
    }
    for (const name of rule.resources) {
      const { group, resource } = groupResourceOf(name);
      const key = `${resource}.${group}`;
      rules.set(key, [...(rules.get(key) ?? []), ...providers]);
    }
  }
  const made = new Map<string, Transformer>();
  const make = (name: string): Transformer => {
    const { group, resource } = groupResourceOf(name);
    const list = rules.get(`${resource}.${group}`) ?? rules.get(`*.${group}`) ?? rules.get('*.*');
    if (!list) return identity;
    return firstOf(
      list,
      'no matching prefix found',
      (direction, prefix, seconds, failure) => metrics.transformed(name, direction, prefix, seconds, failure),
      () => outside.clock.monotonic(),
    );
  };
  return {
    kms,
    timeoutMs,
    of(resource) {
      let transformer = made.get(resource);
      if (!transformer) made.set(resource, (transformer = make(resource)));
      return transformer;
    },
  };
}

async function prefixedOf(
  provider: ProviderConfiguration,
  outside: Outside,
  metrics: EncryptionMetrics,
  kms: KmsProvider[],
): Promise<Prefixed> {
  switch (provider.type) {
    case 'identity':
      return { prefix: '', transformer: identity };
    case 'aescbc':
      return keyed(provider, 'AES', aesCbc);
    case 'aesgcm':
      return keyed(provider, 'AES', aesGcm);
    case 'secretbox': {
      const { secretbox } = await import('./secretbox.ts');
      return keyed(provider, 'Secretbox', secretbox);
    }
    case 'kms': {
      const opened = await openKms(provider, outside, metrics);
      kms.push(opened);
      return { prefix: `k8s:enc:kms:v2:${provider.name}:`, transformer: opened };
    }
  }
}

function keyed(
  { type, keys }: { readonly type: string; readonly keys: readonly NamedKey[] },
  called: string,
  make: (secret: Uint8Array) => Transformer,
): Prefixed {
  const list = keys.map(({ name, secret }) => ({ prefix: `${name}:`, transformer: make(secret) }));
  const transformer = firstOf(list, `no matching key was found for the provided ${called} transformer`);
  return { prefix: `k8s:enc:${type}:v1:`, transformer };
}

async function openKms(
  { name, socket, timeoutMs }: ProviderConfiguration & { type: 'kms' },
  { clock, random, log }: Outside,
  metrics: EncryptionMetrics,
): Promise<KmsProvider> {
  // gRPC takes a tenth of a second to load: only those pay for it who use it.
  const [{ connectKms }, { KmsProvider: Provider }] = await Promise.all([
    import('./kms-client.ts'),
    import('./kms-provider.ts'),
  ]);
  const client = connectKms(socket, timeoutMs, clock, (method, code, seconds) =>
    metrics.asked(name, method, code, seconds),
  );
  const provider = new Provider({ name, client, clock, random, log, onCacheMiss: () => metrics.missed() });
  await provider.start();
  return provider;
}

function hashOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}
