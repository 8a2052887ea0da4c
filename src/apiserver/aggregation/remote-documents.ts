import { createHash } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import { deepEqual } from '#base/deep-equal.ts';
import { WorkQueue } from '#client/workqueue.ts';
import type { ApiServices, RemoteService } from './api-services.ts';
import type { Endpoints } from './endpoints.ts';
import { legacyResources, type DiscoveredResource } from './legacy-discovery.ts';
import { aggregatorUser, identityHeaders, type RemoteDocument, type Remotes } from './remote.ts';
import { openApi3From, ownPart, type Swagger } from './remote-swagger.ts';

/** What another server says of the group version that it answers for. */
export interface RemoteApi {
  readonly group: string;
  readonly version: string;
  readonly resources: readonly DiscoveredResource[];
  /** Stale: the server could not be asked; the resources are those it last had. */
  readonly freshness: 'Current' | 'Stale';
  /** Its part of OpenAPI v2. */
  readonly swagger: Swagger | undefined;
  readonly openApi3:
    | { readonly from: 'remote'; readonly serverRelativeURL: string }
    /** Made here from v2, for a server that only knows that. */
    | { readonly from: 'swagger'; readonly bytes: Buffer; readonly hash: string }
    | undefined;
}

const refreshMs = 60_000;
const discoveryTimeoutMs = 5_000;
const openApiTimeoutMs = 30_000;
const workers = 2;

/** Follows the discovery and OpenAPI documents of all remote API services. */
export class RemoteDocuments implements Disposable {
  readonly #parts: RemoteDocumentsParts;
  readonly #queue: WorkQueue<string>;
  readonly #apis = new Map<string, RemoteApi>();
  readonly #etags = new Map<string, { readonly etag: string; readonly answer: RemoteDocument }>();
  readonly #listeners = new Set<() => void>();
  readonly #abort = new AbortController();
  readonly #stop: () => void;
  #seen = new Map<string, RemoteService>();

  constructor(parts: RemoteDocumentsParts) {
    this.#parts = parts;
    this.#queue = new WorkQueue({ clock: parts.clock, retryInitialMs: 500, retryMaxMs: refreshMs });
    this.#stop = parts.apiServices.onChange(() => this.#compare());
    this.#compare();
    for (let worker = 0; worker < workers; worker++) void this.#work();
  }

  /** By the name of the API service. */
  get apis(): ReadonlyMap<string, RemoteApi> {
    return this.#apis;
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  [Symbol.dispose](): void {
    this.#abort.abort(new Error('the API server was closed'));
    this.#stop();
    this.#queue[Symbol.dispose]();
  }

  #compare(): void {
    const now = new Map([...this.#parts.apiServices.remotes].map(remote => [remote.name, remote]));
    for (const name of new Set([...now.keys(), ...this.#seen.keys()]))
      if (!deepEqual(now.get(name), this.#seen.get(name))) this.#queue.add(name);
    this.#seen = now;
  }

  async #work(): Promise<void> {
    const queue = this.#queue;
    for (let name = await queue.take(); name !== undefined; name = await queue.take()) {
      const remote = this.#seen.get(name);
      if (!remote) this.#remove(name);
      else if (await this.#refresh(remote)) {
        queue.forget(name);
        queue.addAfter(name, refreshMs);
      } else if (!this.#abort.signal.aborted) queue.retry(name);
      queue.done(name);
    }
  }

  #remove(name: string): void {
    for (const key of this.#etags.keys()) if (key.startsWith(`${name} `)) this.#etags.delete(key);
    if (this.#apis.delete(name)) this.#changed();
  }

  /** False: something could not be read. */
  async #refresh(remote: RemoteService): Promise<boolean> {
    const { name, group, version } = remote;
    const known = this.#apis.get(name);
    const empty = { group, version, resources: [], swagger: undefined, openApi3: undefined };
    let next: RemoteApi = { ...empty, ...known, freshness: 'Stale' };
    let complete = false;
    try {
      if (!remote.available) throw new Error(`cannot read from API service ${name}: it is not available`);
      next = { ...next, resources: await this.#discover(remote), freshness: 'Current' };
      next = { ...next, ...(await this.#describe(remote)) };
      complete = true;
    } catch (error) {
      if (this.#abort.signal.aborted) return false;
      this.#parts.onError(name, error);
    }
    // A service that went meanwhile has nothing to say any longer.
    if (!this.#seen.has(name)) return true;
    if (!deepEqual(next, known)) {
      this.#apis.set(name, next);
      this.#changed();
    }
    return complete;
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  async #discover(remote: RemoteService): Promise<readonly DiscoveredResource[]> {
    const { group, version } = remote;
    const answer = await this.#read(remote, '/apis', acceptDiscovery, discoveryTimeoutMs);
    if (answer.code === 503) throw new Error(`service returned non-success response code: ${answer.code}`);
    const type = String(answer.headers['content-type'] ?? '');
    if (answer.code === 200 && type.includes('as=APIGroupDiscoveryList') && /;v=v2(beta1)?(;|$)/.test(type)) {
      const { items = [] } = JSON.parse(answer.text) as { readonly items?: readonly DiscoveredGroup[] };
      const versions = items.find(each => (each.metadata?.name ?? '') === group)?.versions ?? [];
      const resources: unknown = versions.find(each => each.version === version)?.resources ?? [];
      if (!Array.isArray(resources)) throw new Error('the discovery document holds no list of resources');
      return resources as readonly DiscoveredResource[];
    }
    const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
    const legacy = await this.#read(remote, path, 'application/json', discoveryTimeoutMs);
    if (legacy.code !== 200) throw new Error(`failed to download legacy discovery for ${path}: ${legacy.code}`);
    return legacyResources(group, version, JSON.parse(legacy.text));
  }

  async #describe(remote: RemoteService): Promise<Pick<RemoteApi, 'swagger' | 'openApi3'>> {
    const { group, version } = remote;
    const v2 = await this.#read(remote, '/openapi/v2', 'application/json', openApiTimeoutMs);
    if (v2.code !== 200 && v2.code !== 404) throw new Error(`cannot download OpenAPI v2: status ${v2.code}`);
    const swagger = v2.code === 200 ? ownPart(JSON.parse(v2.text), `/apis/${group}/${version}/`) : undefined;
    const index = await this.#read(remote, '/openapi/v3', 'application/json', openApiTimeoutMs);
    if (index.code === 200) {
      const { paths = {} } = JSON.parse(index.text) as { paths?: Record<string, { serverRelativeURL?: unknown }> };
      const own = new Map(Object.entries(paths)).get(`apis/${group}/${version}`)?.serverRelativeURL;
      return {
        swagger,
        openApi3: typeof own === 'string' ? { from: 'remote', serverRelativeURL: own } : undefined,
      };
    }
    if (index.code !== 404) throw new Error(`cannot download OpenAPI v3: status ${index.code}`);
    if (!swagger) return { swagger, openApi3: undefined };
    const bytes = Buffer.from(JSON.stringify(openApi3From(swagger)));
    const hash = createHash('sha512').update(bytes).digest('hex').toUpperCase();
    return { swagger, openApi3: { from: 'swagger', bytes, hash } };
  }

  /** What has not changed since the last time is not sent again. */
  async #read(remote: RemoteService, path: string, accept: string, timeoutMs: number): Promise<RemoteDocument> {
    const { endpoints, remotes } = this.#parts;
    const key = `${remote.name} ${path}`;
    const known = this.#etags.get(key);
    const headers = {
      ...identityHeaders(aggregatorUser),
      accept,
      ...(known && { 'if-none-match': known.etag }),
    };
    const backend = remotes.backend(remote, endpoints.resolve(remote));
    const answer = await remotes.read(backend, { path, headers, timeoutMs }, this.#abort.signal);
    if (answer.code === 304 && known) return known.answer;
    const { etag } = answer.headers;
    if (answer.code === 200 && etag !== undefined) this.#etags.set(key, { etag, answer });
    else this.#etags.delete(key);
    return answer;
  }
}

export interface RemoteDocumentsParts {
  readonly apiServices: ApiServices;
  readonly endpoints: Endpoints;
  readonly remotes: Remotes;
  readonly clock: Clock;
  onError(name: string, error: unknown): void;
}

interface DiscoveredGroup {
  readonly metadata?: { readonly name?: string };
  readonly versions?: readonly { readonly version: string; readonly resources?: readonly DiscoveredResource[] }[];
}

/** Upstream reads the version before, too: its form is the same. */
const acceptDiscovery =
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json';
