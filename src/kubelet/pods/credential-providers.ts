import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseGoDuration } from '#api/machinery/duration.ts';
import { decodeYaml } from '#api/machinery/yaml.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { AuthConfig } from '#runtime/runtime.ts';
import { isForImage, withHost } from './image-match.ts';

interface Provider {
  readonly name: string;
  readonly matchImages: readonly string[];
  readonly defaultCacheDuration: string;
  readonly apiVersion: string;
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value: string }[];
}

interface Answer {
  readonly kind?: string;
  readonly apiVersion?: string;
  readonly cacheKeyType?: 'Image' | 'Registry' | 'Global';
  readonly cacheDuration?: string;
  readonly auth?: Readonly<Record<string, { readonly username?: string; readonly password?: string }>> | null;
}

interface Cached {
  readonly untilMs: number;
  readonly auth: NonNullable<Answer['auth']>;
}

const apiVersions = ['credentialprovider.kubelet.k8s.io/v1', 'credentialprovider.kubelet.k8s.io/v1beta1'];
const configVersions = ['kubelet.config.k8s.io/v1', 'kubelet.config.k8s.io/v1beta1'];
/** As upstream. */
const execTimeoutMs = 60_000;
const outputBytesMax = 1024 * 1024;
const cachedMax = 1_000;

/** Programs of the node that know the credentials of registries, as upstream's CredentialProviderConfig names them. */
export class CredentialProviders {
  readonly #providers: readonly Provider[];
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #cache = new Map<string, Cached>();

  /** Throws with the file and what is wrong in it. */
  constructor(file: string, directory: string, clock: Clock, log: Log) {
    this.#providers = readProviders(file);
    this.#directory = directory;
    this.#clock = clock;
    this.#log = log;
  }

  /** For an image, the ones that are most precisely for it first. A provider that fails has none. */
  async of(image: string): Promise<readonly AuthConfig[]> {
    const name = withHost(image);
    const fitting = this.#providers.filter(({ matchImages }) => matchImages.some(each => isForImage(each, name)));
    const answers = await Promise.all(fitting.map(provider => this.#ask(provider, name)));
    return answers
      .flatMap(auth => Object.entries(auth))
      .filter(([registry]) => isForImage(registry, name))
      .toSorted(([a], [b]) => b.length - a.length)
      .map(([serverAddress, { username = '', password = '' }]) => ({ serverAddress, username, password }));
  }

  async #ask(provider: Provider, image: string): Promise<NonNullable<Answer['auth']>> {
    const registry = image.split('/')[0] ?? '';
    const keys = [`Image ${image}`, `Registry ${registry}`, 'Global'].map(key => `${provider.name} ${key}`);
    const nowMs = this.#clock.now();
    for (const key of keys) {
      const known = this.#cache.get(key);
      if (known && known.untilMs > nowMs) return known.auth;
      this.#cache.delete(key);
    }
    try {
      const request = JSON.stringify({ kind: 'CredentialProviderRequest', apiVersion: provider.apiVersion, image });
      const answer = JSON.parse(await this.#run(provider, request)) as Answer;
      if (answer.kind !== 'CredentialProviderResponse' || answer.apiVersion !== provider.apiVersion)
        throw new Error(`it answers ${answer.kind} of ${answer.apiVersion}, not of ${provider.apiVersion}`);
      const at = ['Image', 'Registry', 'Global'].indexOf(answer.cacheKeyType ?? '');
      const key = keys[at];
      if (key === undefined) throw new Error(`its cacheKeyType is ${answer.cacheKeyType}`);
      const auth = answer.auth ?? {};
      const lastsMs = parseGoDuration(answer.cacheDuration ?? provider.defaultCacheDuration);
      if (this.#cache.size >= cachedMax) this.#cache.clear();
      if (lastsMs > 0) this.#cache.set(key, { untilMs: nowMs + lastsMs, auth });
      return auth;
    } catch (error) {
      this.#log.warn('a credential provider gives nothing', { provider: provider.name, image, error });
      return {};
    }
  }

  #run({ name, args = [], env = [] }: Provider, request: string): Promise<string> {
    const added = Object.fromEntries(env.map(each => [each.name, each.value]));
    const child = spawn(join(this.#directory, name), args, {
      env: { ...process.env, ...added },
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: execTimeoutMs,
      killSignal: 'SIGKILL',
    });
    return new Promise((resolve, reject) => {
      let [said, complained] = ['', ''];
      child.stdout.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.length > outputBytesMax) child.kill('SIGKILL');
      });
      child.stderr.on('data', (chunk: Buffer) => {
        complained = `${complained}${chunk.toString()}`.slice(-1000);
      });
      child.on('error', reject);
      child.on('close', (code, signal) => {
        if (code === 0) resolve(said);
        else reject(new Error(`it ended with ${code ?? signal}: ${complained.trim()}`));
      });
      // One that does not read its input is no reason to fail.
      child.stdin.on('error', () => undefined);
      child.stdin.end(request);
    });
  }
}

function readProviders(file: string): readonly Provider[] {
  const wrong = (why: string, cause?: unknown) =>
    new Error(`cannot use the credential providers in ${file}: ${why}`, { cause });
  let config: { kind?: string; apiVersion?: string; providers?: readonly Partial<Provider>[] };
  try {
    config = decodeYaml(readFileSync(file, 'utf8')) as typeof config;
  } catch (cause) {
    throw wrong(cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (config?.kind !== 'CredentialProviderConfig' || !configVersions.includes(config.apiVersion ?? ''))
    throw wrong(`it is ${config?.kind} in ${config?.apiVersion}, not CredentialProviderConfig`);
  return (config.providers ?? []).map(
    ({ name = '', matchImages = [], defaultCacheDuration, apiVersion = '', ...rest }) => {
      if (name === '' || name.includes('/') || name === '.' || name === '..')
        throw wrong(`the name ${JSON.stringify(name)} is no program`);
      if (matchImages.length === 0) throw wrong(`${name} needs matchImages`);
      if (defaultCacheDuration === undefined) throw wrong(`${name} needs defaultCacheDuration`);
      if (!apiVersions.includes(apiVersion))
        throw wrong(`${name} has apiVersion ${JSON.stringify(apiVersion)}; known are ${apiVersions.join(', ')}`);
      return { ...rest, name, matchImages, defaultCacheDuration, apiVersion };
    },
  );
}
