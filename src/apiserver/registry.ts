import { errors } from '#api/machinery/errors.ts';
import { apiVersionOf, type ApiObject, type Kind, resourceNameOf } from '#api/machinery/kind.ts';
import type { CachedObject } from './cache/entry.ts';
import type { ResourceCache } from './cache/resource-cache.ts';
import type { WatchCache } from './cache/watch-cache.ts';

/** A served resource: its kind, and the cache of the resource it is stored as. */
export interface Resource {
  readonly kind: Kind;
  readonly storedKind: Kind;
  readonly cache: ResourceCache;
}

/** Which kinds are served, by where they are served. Kinds come and go at run time. */
export class Registry {
  readonly #cache: WatchCache;
  readonly #resources = new Map<string, Resource>();
  readonly #kinds = new Map<string, Kind>();
  readonly #listeners = new Set<() => void>();

  constructor(cache: WatchCache) {
    this.#cache = cache;
  }

  /** `kinds` are looked through for the kind that another one is stored as. */
  add(kinds: readonly Kind[]): void {
    for (const kind of kinds) this.#kinds.set(`${apiVersionOf(kind)}/${kind.plural}`, kind);
    for (const kind of kinds) {
      const storedKind = this.storedKindOf(kind);
      this.#resources.set(`${apiVersionOf(kind)}/${kind.plural}`, {
        kind,
        storedKind,
        cache: this.#cache.serve(storedKind),
      });
    }
    for (const listener of this.#listeners) listener();
  }

  remove(kind: Kind): void {
    this.#kinds.delete(`${apiVersionOf(kind)}/${kind.plural}`);
    this.#resources.delete(`${apiVersionOf(kind)}/${kind.plural}`);
    for (const listener of this.#listeners) listener();
  }

  /** Puts the kinds of a custom resource in the place of those it had: of all its versions, stored as one of them. */
  replace(withdrawn: readonly Kind[], served: readonly Kind[], stored: Kind | undefined): void {
    for (const kind of withdrawn) {
      this.#kinds.delete(`${apiVersionOf(kind)}/${kind.plural}`);
      this.#resources.delete(`${apiVersionOf(kind)}/${kind.plural}`);
    }
    const cache = stored && this.#cache.replace(stored);
    for (const kind of cache ? served : []) {
      this.#kinds.set(`${apiVersionOf(kind)}/${kind.plural}`, kind);
      this.#resources.set(`${apiVersionOf(kind)}/${kind.plural}`, {
        kind,
        storedKind: stored as Kind,
        cache: cache as ResourceCache,
      });
    }
    for (const kind of stored ? [] : withdrawn) this.#cache.unserve(kind);
    for (const listener of this.#listeners) listener();
  }

  /** Calls back when kinds have come or gone: discovery and OpenAPI are then made anew. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  storedKindOf(kind: Kind): Kind {
    if (!kind.storedAs) return kind;
    return this.#kinds.get(`${apiVersionOf(kind.storedAs)}/${kind.plural}`) ?? kind;
  }

  find(group: string, version: string, plural: string): Resource | undefined {
    return this.#resources.get(`${group === '' ? version : `${group}/${version}`}/${plural}`);
  }

  /** The resource of a built-in kind. */
  of(kind: Kind): Resource {
    const found = this.find(kind.group, kind.version, kind.plural);
    if (!found) throw new Error(`cannot find the resource ${resourceNameOf(kind)}: it is not served`);
    return found;
  }

  get kinds(): readonly Kind[] {
    return [...this.#resources.values()].map(resource => resource.kind);
  }

  get resources(): Iterable<Resource> {
    return this.#resources.values();
  }
}

/** The object of an entry as the resource's own kind. */
export function viewOf({ kind, storedKind }: Resource, entry: CachedObject): ApiObject {
  if (kind === storedKind) return entry.object;
  return entry.derive(`view:${apiVersionOf(kind)}`, () => fromStored(kind, entry.object));
}

/** The object as it is stored. May share parts with what went in. */
export function toStored({ kind, storedKind }: Resource, object: ApiObject): ApiObject {
  if (kind === storedKind) return object;
  return { ...(kind.toStored?.(object) ?? object), apiVersion: apiVersionOf(storedKind), kind: storedKind.kind };
}

function fromStored(kind: Kind, stored: ApiObject): ApiObject {
  return { ...(kind.fromStored?.(stored) ?? stored), apiVersion: apiVersionOf(kind), kind: kind.kind };
}

/** The key of an object within its resource. */
export function keyOf(kind: Kind, namespace: string, name: string): string {
  return kind.namespaced ? `${namespace}/${name}` : name;
}

/** The entry of an object, or ApiError NotFound. */
export function existing({ kind, cache }: Resource, namespace: string, name: string): CachedObject {
  const entry = cache.get(keyOf(kind, namespace, name));
  if (!entry) throw errors.notFound(kind, name);
  return entry;
}
