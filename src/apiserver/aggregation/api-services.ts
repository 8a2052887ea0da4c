import { APIService, type APIServiceCondition } from '#api/apiregistration/v1/api-service.ts';
import type { ResourceCache } from '../cache/resource-cache.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import type { Registry } from '../registry.ts';
import { builtInPriority, customPriority, type Priority } from './priorities.ts';

/** An API service that another server answers for. */
export interface RemoteService {
  readonly name: string;
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  readonly service: string;
  readonly port: number;
  /** Whom its certificate must be signed by; absent: whom the system trusts. */
  readonly caPem: string | undefined;
  readonly insecure: boolean;
  readonly available: boolean;
}

/** The APIService objects as the cache has them, with the remote ones by the path that they answer. */
export class ApiServices implements Disposable {
  readonly #cache: ResourceCache;
  readonly #remotes = new Map<string, RemoteService>();
  readonly #listeners = new Set<(name: string) => void>();
  readonly #stop: () => void;

  constructor(registry: Registry, cache: WatchCache) {
    const resource = registry.of(APIService as never);
    this.#cache = resource.cache;
    for (const entry of this.#cache.all()) this.#follow(entry.key, entry.object as unknown as APIService);
    this.#stop = cache.listen((changed, { key, entry, deleted }) => {
      if (changed !== this.#cache) return;
      this.#follow(key, deleted ? undefined : (entry.object as unknown as APIService));
      for (const listener of this.#listeners) listener(key);
    });
  }

  get(name: string): APIService | undefined {
    return this.#cache.get(name)?.object as unknown as APIService | undefined;
  }

  get names(): readonly string[] {
    return this.#cache.all().map(entry => entry.key);
  }

  get remotes(): Iterable<RemoteService> {
    return this.#remotes.values();
  }

  remote(group: string, version: string): RemoteService | undefined {
    return this.#remotes.get(`${group}/${version}`);
  }

  /** The remote service that a path belongs to: `/apis/<group>/<version>` and everything below it. */
  remoteOf(path: string): RemoteService | undefined {
    if (this.#remotes.size === 0) return undefined;
    if (path.startsWith('/apis/')) {
      const afterGroup = path.indexOf('/', 6);
      if (afterGroup < 0) return undefined;
      const end = path.indexOf('/', afterGroup + 1);
      return this.#remotes.get(path.slice(6, end < 0 ? undefined : end));
    }
    return path === '/api' || path.startsWith('/api/') ? this.#remotes.get('/v1') : undefined;
  }

  priorityOf(group: string, version: string): Priority {
    const fixed = builtInPriority(group, version);
    const object = this.get(`${version}.${group}`);
    if (!object) return fixed ?? customPriority;
    return { group: object.spec.groupPriorityMinimum, version: object.spec.versionPriority };
  }

  /** Calls back with the name of an object that has come, changed or gone. */
  onChange(listener: (name: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  [Symbol.dispose](): void {
    this.#stop();
  }

  #follow(name: string, object: APIService | undefined): void {
    const dot = name.indexOf('.');
    const key = `${name.slice(dot + 1)}/${name.slice(0, dot)}`;
    const remote = object && remoteFrom(name, object);
    if (remote) this.#remotes.set(key, remote);
    else this.#remotes.delete(key);
  }
}

/** The condition that says whether a service answers. */
export function availabilityOf(object: APIService): APIServiceCondition | undefined {
  return object.status.conditions?.find(({ type }) => type === 'Available');
}

function remoteFrom(name: string, object: APIService): RemoteService | undefined {
  const { group = '', version = '', service, caBundle, insecureSkipTLSVerify } = object.spec;
  if (!service) return undefined;
  return {
    name,
    group,
    version,
    namespace: service.namespace ?? '',
    service: service.name ?? '',
    port: service.port ?? 443,
    caPem: caBundle ? Buffer.from(caBundle, 'base64').toString() : undefined,
    insecure: insecureSkipTLSVerify === true,
    available: availabilityOf(object)?.status === 'True',
  };
}
