import type { Pod } from '#api/core/v1/pod.ts';
import type { Container } from '#api/core/v1/pod-spec.ts';
import { imageTag } from '#api/core/v1/image-name.ts';
import type { Secret } from '#api/core/v1/secret.ts';
import type { Clock } from '#base/clock.ts';
import { type AuthConfig, type Image, type ImageService, type PodSandboxConfig } from '#runtime/runtime.ts';
import { durationText } from './names.ts';
import type { CredentialProviders } from './credential-providers.ts';
import { isForImage, withHost } from './image-match.ts';
import type { PullCredential, PulledImages } from './pulled-images.ts';

/** Why there is no image yet, in the words of a container's waiting state. */
export class ImageError extends Error {
  override readonly name = 'ImageError';
  readonly reason: string;
  readonly retryAtMs: number;

  constructor(reason: string, message: string, retryAtMs: number, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
    this.retryAtMs = retryAtMs;
  }
}

export interface PresentImage {
  readonly image: Image;
  readonly ref: string;
}

/** A secret of the pod's namespace. */
export type PullSecret = (pod: Pod, name: string) => Promise<Secret | undefined>;

export type ImageEvent = (type: 'Normal' | 'Warning', reason: string, message: string) => void;

interface Failure {
  readonly delayMs: number;
  readonly untilMs: number;
  readonly message: string;
}

interface SharedPull {
  readonly done: Promise<string>;
  readonly stop: AbortController;
  waiting: number;
}

const initialMs = 10_000;
const maxMs = 300_000;

/** Sees to it that images are there, by each container's policy; waits longer and longer for those that cannot be had. */
export class Images {
  readonly #runtime: ImageService;
  readonly #clock: Clock;
  readonly #secret: PullSecret;
  readonly #pulled: PulledImages;
  readonly #providers: CredentialProviders | undefined;
  readonly #failures = new Map<string, Failure>();
  /** Pulls without credentials, by image: whoever wants the same waits for the same. */
  readonly #pulls = new Map<string, SharedPull>();
  /** How many pulls may begin now, and who waits. */
  #places: number;
  readonly #waiting: (() => void)[] = [];

  constructor(
    runtime: ImageService,
    clock: Clock,
    secret: PullSecret,
    pulled: PulledImages,
    pullsMax = Number.POSITIVE_INFINITY,
    providers?: CredentialProviders,
  ) {
    this.#providers = providers;
    this.#pulled = pulled;
    this.#places = pullsMax;
    this.#runtime = runtime;
    this.#clock = clock;
    this.#secret = secret;
  }

  async ensure(
    pod: Pod,
    container: Pick<Container, 'image' | 'imagePullPolicy'>,
    sandbox: PodSandboxConfig | undefined,
    event: ImageEvent,
    signal?: AbortSignal,
  ): Promise<PresentImage> {
    const { image: name = '', imagePullPolicy: policy } = container;
    const quoted = JSON.stringify(name);
    const nowMs = this.#clock.now();
    if (imageTag(name) === '' && !name.includes('@')) {
      const message = `Failed to apply default image tag ${quoted}: couldn't parse image name ${quoted}: invalid reference format`;
      event('Warning', 'InspectFailed', message);
      throw new ImageError('InvalidImageName', message, nowMs + maxMs);
    }
    const spec = { image: name, userSpecifiedImage: name };
    const present = await this.#inspect(spec, event);
    const mayUse =
      present &&
      policy !== 'Always' &&
      (await this.#pulled.mayUse(present.ref, name, () => this.#credentials(pod, name)));
    if (mayUse) {
      event('Normal', 'Pulled', `Container image ${quoted} already present on machine and can be accessed by the pod`);
      return present;
    }
    if (policy === 'Never') {
      const message = `Container image ${quoted} is not present with pull policy of Never`;
      event('Warning', 'ErrImageNeverPull', message);
      throw new ImageError('ErrImageNeverPull', message, nowMs + initialMs);
    }
    return this.#pull(pod, name, sandbox, event, signal);
  }

  /** The pod is gone: nobody waits for its images any more. */
  forget(uid: string): void {
    for (const key of this.#failures.keys()) if (key.startsWith(`${uid}/`)) this.#failures.delete(key);
  }

  async #inspect(spec: { image: string }, event: ImageEvent): Promise<PresentImage | undefined> {
    try {
      const image = await this.#runtime.imageStatus(spec);
      return image && { image, ref: image.id };
    } catch (error) {
      const message = `Failed to inspect image ${JSON.stringify(spec.image)}: ${messageOf(error)}`;
      event('Warning', 'InspectFailed', message);
      throw new ImageError('ImageInspectError', message, this.#clock.now() + initialMs, { cause: error });
    }
  }

  async #pull(
    pod: Pod,
    name: string,
    sandbox: PodSandboxConfig | undefined,
    event: ImageEvent,
    signal?: AbortSignal,
  ): Promise<PresentImage> {
    const quoted = JSON.stringify(name);
    const key = `${pod.metadata.uid}/${name}`;
    const startMs = this.#clock.now();
    const failure = this.#failures.get(key);
    if (failure && failure.untilMs > startMs) {
      event('Normal', 'BackOff', `Back-off pulling image ${quoted}`);
      throw new ImageError(
        'ImagePullBackOff',
        `Back-off pulling image ${quoted}: ErrImagePull: ${failure.message}`,
        failure.untilMs,
      );
    }
    event('Normal', 'Pulling', `Pulling image ${quoted}`);
    try {
      const ofNode = ((await this.#providers?.of(name)) ?? []).map(auth => ({ auth }));
      // The pod's own come first. What the node knows is every pod's.
      const credentials = [...(await this.#credentials(pod, name)), ...ofNode];
      if (credentials.length > 0) this.#pulled.intend(name);
      const { ref, credential } = await this.#pullOnce(name, credentials, sandbox, signal);
      const image = await this.#runtime.imageStatus({ image: ref });
      if (!image) throw new Error(`image ${quoted} is gone right after it was pulled`);
      this.#pulled.record(image.id, name, credential);
      this.#failures.delete(key);
      const tookText = durationText(this.#clock.now() - startMs);
      event(
        'Normal',
        'Pulled',
        `Successfully pulled image ${quoted} in ${tookText} (${tookText} including waiting). Image size: ${image.sizeBytes} bytes.`,
      );
      return { image, ref };
    } catch (error) {
      this.#pulled.giveUp(name);
      if (signal?.aborted) throw error;
      const message = messageOf(error);
      const delayMs = failure ? Math.min(maxMs, failure.delayMs * 2) : initialMs;
      this.#failures.set(key, { delayMs, untilMs: this.#clock.now() + delayMs, message });
      event('Warning', 'Failed', `Failed to pull image ${quoted}: ${message}`);
      // The next look, a moment later, finds the image in back-off and says so.
      throw new ImageError('ErrImagePull', message, this.#clock.now() + 1000, { cause: error });
    }
  }

  /** Each set of credentials is tried in turn; one pull at a time for the same image without any. */
  async #pullOnce(
    name: string,
    credentials: readonly (PullCredential | Pick<PullCredential, 'auth'>)[],
    sandbox: PodSandboxConfig | undefined,
    signal?: AbortSignal,
  ): Promise<{ readonly ref: string; readonly credential: PullCredential | undefined }> {
    if (credentials.length === 0) return { ref: await this.#pullShared(name, sandbox, signal), credential: undefined };
    let failure: unknown;
    for (const credential of credentials) {
      try {
        const ref = await this.#inPlace(() =>
          this.#runtime.pullImage({ image: name, userSpecifiedImage: name }, credential.auth, sandbox, signal),
        );
        return { ref, credential: 'secret' in credential ? credential : undefined };
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** Goes on as long as anybody waits for it: a pod that is deleted takes only its own waiting along. */
  async #pullShared(name: string, sandbox: PodSandboxConfig | undefined, signal?: AbortSignal): Promise<string> {
    const pull = this.#pulls.get(name) ?? this.#beginShared(name, sandbox);
    pull.waiting++;
    const { promise: left, reject: leave } = Promise.withResolvers<never>();
    left.catch(() => undefined);
    const abort = () => leave(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    try {
      return await Promise.race([pull.done, left]);
    } finally {
      signal?.removeEventListener('abort', abort);
      if (--pull.waiting === 0) {
        if (this.#pulls.get(name) === pull) this.#pulls.delete(name);
        pull.stop.abort(new Error('nobody waits for the image any more'));
      }
    }
  }

  #beginShared(name: string, sandbox: PodSandboxConfig | undefined): SharedPull {
    const stop = new AbortController();
    const done = this.#inPlace(() =>
      this.#runtime.pullImage({ image: name, userSpecifiedImage: name }, undefined, sandbox, stop.signal),
    );
    done.catch(() => undefined);
    const pull = { done, stop, waiting: 0 };
    this.#pulls.set(name, pull);
    return pull;
  }

  async #inPlace(pull: () => Promise<string>): Promise<string> {
    if (this.#places > 0) this.#places--;
    else await new Promise<void>(resolve => this.#waiting.push(resolve));
    try {
      return await pull();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#places++;
    }
  }

  async #credentials(pod: Pod, image: string): Promise<PullCredential[]> {
    const found: PullCredential[] = [];
    for (const { name = '' } of pod.spec?.imagePullSecrets ?? []) {
      const secret = await this.#secret(pod, name);
      if (!secret) continue;
      const { uid = '', namespace = '' } = secret.metadata;
      found.push(...credentialsIn(secret, image).map(auth => ({ auth, secret: { uid, namespace, name } })));
    }
    return found;
  }
}

/** The entries of a pull secret that are for the image's registry. */
export function credentialsIn(secret: Secret, image: string): AuthConfig[] {
  const decode = (key: string) => {
    const text = secret.data?.[key];
    if (text === undefined) return undefined;
    try {
      return JSON.parse(Buffer.from(text, 'base64').toString()) as unknown;
    } catch {
      // Not a file of credentials: as if it were not there.
      return undefined;
    }
  };
  const config = decode('.dockerconfigjson');
  const entries = isRecord(config) && isRecord(config['auths']) ? config['auths'] : (decode('.dockercfg') ?? {});
  if (!isRecord(entries)) return [];
  const wanted = withHost(image);
  return Object.entries(entries)
    .filter(([registry]) => isForImage(registry, wanted))
    .toSorted(([a], [b]) => b.length - a.length)
    .flatMap(([registry, entry]) => (isRecord(entry) ? [authOf(registry, entry)] : []));
}

function authOf(serverAddress: string, entry: Record<string, unknown>): AuthConfig {
  const text = (key: string) => (typeof entry[key] === 'string' ? (entry[key] as string) : undefined);
  const [username, password] = [text('username'), text('password')];
  const [auth, identityToken] = [text('auth'), text('identitytoken')];
  return {
    serverAddress,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(auth !== undefined && { auth }),
    ...(identityToken !== undefined && { identityToken }),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
