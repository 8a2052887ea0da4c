import type { OtherVersions } from '#api/machinery/apply/apply.ts';
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

/** The object of an entry as the resource's own kind. Where somebody else converts, `viewsReady` comes first. */
export function viewOf(resource: Resource, entry: CachedObject): ApiObject {
  const { kind } = resource;
  if (isOwnForm(resource, entry)) return entry.object;
  if (!kind.convert) return entry.derive(`view:${apiVersionOf(kind)}`, () => fromStored(kind, entry.object));
  const view = converted.get(entry)?.get(kind);
  if (!view || view instanceof Promise) throw new Error(`cannot show ${entry.key}: its conversion was not waited for`);
  return view;
}

/** Is the form in which the entry is stored the one that the resource answers with? */
export function isOwnForm({ kind, storedKind }: Resource, entry: CachedObject): boolean {
  if (kind !== storedKind) return kind.convert !== undefined && entry.object.apiVersion === apiVersionOf(kind);
  return !kind.convert || entry.object.apiVersion === apiVersionOf(kind);
}

/** What others have converted, by the kind it was converted to: a kind whose definition changes is another one. */
const converted = new WeakMap<CachedObject, Map<Kind, ApiObject | Promise<unknown>>>();

/**
 * Resolves when `viewOf` can answer for the entries; undefined when it can already. All that are missing are asked for at
 * once, and nobody asks for what somebody else is asking for.
 */
export function viewsReady(resource: Resource, entries: readonly CachedObject[]): Promise<unknown> | undefined {
  const { kind } = resource;
  if (!kind.convert) return undefined;
  const missing: CachedObject[] = [];
  const waiting: Promise<unknown>[] = [];
  for (const entry of entries) {
    if (isOwnForm(resource, entry)) continue;
    const view = converted.get(entry)?.get(kind);
    if (!view) missing.push(entry);
    else if (view instanceof Promise) waiting.push(view);
  }
  if (missing.length > 0) waiting.push(convertAll(kind, kind.convert, missing));
  return waiting.length > 0 ? Promise.all(waiting) : undefined;
}

function convertAll(kind: Kind, convert: NonNullable<Kind['convert']>, entries: readonly CachedObject[]) {
  const viewsOf = (entry: CachedObject) => {
    let views = converted.get(entry);
    if (!views) converted.set(entry, (views = new Map()));
    return views;
  };
  const asked = convert(entries.map(entry => entry.object)).then(
    objects => {
      for (const [index, entry] of entries.entries()) viewsOf(entry).set(kind, objects[index] as ApiObject);
    },
    (error: unknown) => {
      for (const entry of entries) viewsOf(entry).delete(kind);
      throw error;
    },
  );
  for (const entry of entries) viewsOf(entry).set(kind, asked);
  return asked;
}

/** An entry that is another one but for its revision: nobody has to be asked for it again. */
export function adoptView({ kind }: Resource, entry: CachedObject, from: CachedObject): void {
  const view = converted.get(from)?.get(kind);
  if (!view || view instanceof Promise) return;
  const metadata = { ...view.metadata, resourceVersion: String(entry.revision) };
  converted.set(entry, new Map([[kind, { ...view, metadata }]]));
}

/** The object as it is stored. May share parts with what went in. */
export function toStored({ kind, storedKind }: Resource, object: ApiObject): ApiObject | Promise<ApiObject> {
  if (kind === storedKind) return object;
  if (storedKind.convert) return storedKind.convert([object]).then(([stored]) => stored as ApiObject);
  return { ...(kind.toStored?.(object) ?? object), apiVersion: apiVersionOf(storedKind), kind: storedKind.kind };
}

/** A stored object as one of the resource's own kind, where nobody has to be asked. */
export function viewOfStored({ kind, storedKind }: Resource, stored: ApiObject): ApiObject {
  return kind === storedKind ? stored : fromStored(kind, stored);
}

/** What a write that is only tried would leave: as it would come back from the store, where nobody has to be asked. */
export async function seenAgain(resource: Resource, object: ApiObject): Promise<ApiObject> {
  return resource.storedKind.convert ? object : viewOfStored(resource, await toStored(resource, object));
}

function fromStored(kind: Kind, stored: ApiObject): ApiObject {
  return { ...(kind.fromStored?.(stored) ?? stored), apiVersion: apiVersionOf(kind), kind: kind.kind };
}

/** The other versions of a resource, for what is owned in them. A webhook is not asked: its versions are taken for one. */
export function otherVersionsOf(registry: Registry, { kind, storedKind }: Resource): OtherVersions {
  return apiVersion => {
    const slash = apiVersion.indexOf('/');
    const other = registry.find(apiVersion.slice(0, Math.max(0, slash)), apiVersion.slice(slash + 1), kind.plural);
    if (!other || other.storedKind !== storedKind) return undefined;
    return {
      kind: other.kind,
      convert: object => converter(kind, other.kind, storedKind)(object as never) as never,
      revert: object => converter(other.kind, kind, storedKind)(object as never) as never,
    };
  };
}

function converter(from: Kind, to: Kind, storedKind: Kind): (object: ApiObject) => ApiObject {
  if (to.convert) return object => ({ ...object, apiVersion: apiVersionOf(to), kind: to.kind });
  return object => {
    const stored = from === storedKind ? object : (from.toStored?.(object) ?? object);
    return to === storedKind ? { ...stored, apiVersion: apiVersionOf(to), kind: to.kind } : fromStored(to, stored);
  };
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
