import { limits } from '#base/limits.ts';
import { SortedMap } from '#base/sorted-map.ts';
import { errors } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import type { FieldRequirement, LabelRequirement } from '#api/machinery/selector.ts';
import type { CachedObject } from './entry.ts';
import { fieldReader, type Selection } from './selection.ts';
import { ValueIndex } from './value-index.ts';

/** One change as the cache saw it. */
export class CacheEvent {
  readonly revision: number;
  readonly key: string;
  /** What is there now; for a deletion the last state with the deletion's revision. */
  readonly entry: CachedObject;
  readonly previous: CachedObject | undefined;
  readonly deleted: boolean;
  #encoded: Map<string, unknown> | undefined;
  /** The encoding that was asked for last: most watchers of a resource want the same. */
  #lastName: string | undefined;
  #last: unknown;

  constructor(revision: number, entry: CachedObject, previous: CachedObject | undefined, deleted: boolean) {
    this.revision = revision;
    this.key = entry.key;
    this.entry = entry;
    this.previous = previous;
    this.deleted = deleted;
  }

  /** An encoding that was made before. */
  known(name: string): unknown {
    return this.#lastName === name ? this.#last : this.#encoded?.get(name);
  }

  /** An encoding of the event, made once for all watchers that want this form. */
  encoded<Form>(name: string, encode: () => Form): Form {
    this.#encoded ??= new Map();
    let form = this.#encoded.get(name) as Form | undefined;
    if (form === undefined) {
      form = encode();
      this.#encoded.set(name, form);
    }
    this.#lastName = name;
    this.#last = form;
    return form;
  }

  shed(): void {
    this.#encoded = undefined;
    this.#lastName = undefined;
    this.#last = undefined;
  }
}

export interface CacheWatcher {
  /** Keys that start with this; '' for all. */
  readonly prefix: string;
  readonly selection: Selection;
  onEvent(event: CacheEvent): void;
  onEnd(): void;
}

/** The objects of one resource as of the newest revision, with the history of its recent changes. */
export class ResourceCache {
  #kind: Kind;
  readonly #objects = new SortedMap<CachedObject>();
  readonly #labelIndexes = new Map<string, ValueIndex>();
  readonly #fieldIndexes = new Map<string, ValueIndex>();
  #history: CacheEvent[] = [];
  #historyBytes = 0;
  /** Changes up to this revision are forgotten. */
  #forgotten: number;
  /** The revision of the newest change. */
  #revision: number;
  readonly #watchers = new Map<string, Set<CacheWatcher>>();
  #watcherCount = 0;
  #bytes = 0;
  readonly #bucketReaders: [field: string, read: (object: ApiObject) => string][] = [];

  constructor(kind: Kind, revision: number) {
    this.#kind = kind;
    this.#forgotten = revision;
    this.#revision = revision;
    for (const field of bucketFields) {
      const read = fieldReader(kind, field);
      if (read) this.#bucketReaders.push([field, read]);
    }
  }

  get kind(): Kind {
    return this.#kind;
  }

  /** The same objects as the kind has them whose schema took the place of another. Watches end, history is forgotten. */
  become(kind: Kind, revision: number, remake: (entry: CachedObject) => CachedObject): void {
    this.#kind = kind;
    this.#bytes = 0;
    for (const entry of this.all()) {
      const remade = remake(entry);
      this.#objects.set(entry.key, remade);
      this.#bytes += remade.item.length;
    }
    this.#labelIndexes.clear();
    this.#fieldIndexes.clear();
    this.#cutHistory(this.#history.length, revision);
    this.end();
  }

  get size(): number {
    return this.#objects.size;
  }

  /** What the encoded objects take. */
  get bytes(): number {
    return this.#bytes;
  }

  get watcherCount(): number {
    return this.#watcherCount;
  }

  get(key: string): CachedObject | undefined {
    return this.#objects.get(key);
  }

  /** Everything, in key order. */
  all(): CachedObject[] {
    return this.#objects.collect('');
  }

  /** What is there at start-up; not a change. */
  seed(entry: CachedObject): void {
    this.#objects.set(entry.key, entry);
    this.#bytes += entry.item.length;
  }

  apply(event: CacheEvent): void {
    const { key, entry, previous } = event;
    if (event.deleted) this.#objects.delete(key);
    else this.#objects.set(key, entry);
    this.#bytes += (event.deleted ? 0 : entry.item.length) - (previous?.item.length ?? 0);
    this.#revision = event.revision;
    const before = previous?.object;
    const after = event.deleted ? undefined : entry.object;
    for (const index of this.#labelIndexes.values()) index.update(key, before, after);
    for (const index of this.#fieldIndexes.values()) index.update(key, before, after);
    this.#remember(event);
    this.#dispatch(event);
    previous?.shed();
    // Only the history holds it, and a reader of that can make the object from the bytes.
    if (event.deleted) entry.shed();
  }

  /** The objects under a prefix that are selected, from a key on, in key order. */
  select(prefix: string, selection: Selection, start = prefix, limit = Number.POSITIVE_INFINITY): CachedObject[] {
    const { matches } = selection;
    if (!matches) return this.#objects.collect(prefix, start, limit);
    const candidates = this.#candidates(prefix, selection);
    const selected: CachedObject[] = [];
    for (const entry of candidates ?? this.#objects.prefixed(prefix, start)) {
      if (entry.key < start || !matches(entry.object)) continue;
      selected.push(entry);
      if (selected.length === limit) break;
    }
    return selected;
  }

  count(prefix: string, start = prefix): number {
    return this.#objects.count(prefix, start);
  }

  /** The same as of an older revision, by undoing what happened since. Throws Expired when that is forgotten. */
  selectAsOf(revision: number, prefix: string, selection: Selection, start: string): CachedObject[] {
    if (revision >= this.#revision) return this.select(prefix, selection, start);
    if (revision < this.#forgotten) throw errors.expired(`too old resource version: ${revision} (${this.#forgotten})`);
    const undone = new Map<string, CachedObject | undefined>();
    for (let at = this.#history.length - 1; at >= 0; at--) {
      const event = this.#history[at] as CacheEvent;
      if (event.revision <= revision) break;
      undone.set(event.key, event.previous);
    }
    const kept = this.#objects.collect(prefix, start).filter(entry => !undone.has(entry.key));
    for (const [key, entry] of undone) if (entry && key.startsWith(prefix) && key >= start) kept.push(entry);
    const { matches } = selection;
    return kept.filter(entry => !matches || matches(entry.object)).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Is there anything newer than this revision? */
  changedSince(revision: number): boolean {
    return this.#revision > revision;
  }

  /** The changes after a revision. Throws Expired when some of them are forgotten. */
  since(revision: number): readonly CacheEvent[] {
    if (revision < this.#forgotten) throw errors.expired(`too old resource version: ${revision} (${this.#forgotten})`);
    if (revision >= this.#revision) return [];
    let low = 0;
    let high = this.#history.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#history[middle] as CacheEvent).revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#history.slice(low);
  }

  /** Forgets changes up to a revision: the store has compacted them. */
  forget(revision: number): void {
    if (revision <= this.#forgotten) return;
    const first = this.#history.findIndex(event => event.revision > revision);
    this.#cutHistory(first < 0 ? this.#history.length : first, revision);
  }

  /** Watchers with an equality on a field, or a prefix, are only asked about events that can be theirs. */
  watch(watcher: CacheWatcher): () => void {
    const bucketName = bucketOf(watcher);
    let bucket = this.#watchers.get(bucketName);
    if (!bucket) this.#watchers.set(bucketName, (bucket = new Set()));
    bucket.add(watcher);
    this.#watcherCount++;
    return () => {
      if (!bucket.delete(watcher)) return;
      this.#watcherCount--;
      if (bucket.size === 0 && this.#watchers.get(bucketName) === bucket) this.#watchers.delete(bucketName);
    };
  }

  end(): void {
    for (const bucket of this.#watchers.values()) for (const watcher of bucket) watcher.onEnd();
    this.#watchers.clear();
    this.#watcherCount = 0;
  }

  #remember(event: CacheEvent): void {
    this.#history.push(event);
    this.#historyBytes += event.entry.item.length;
    // Cutting costs as much as the history is long: not at every change.
    const { watchHistoryEventsMax: eventsMax, watchHistoryBytesMax: bytesMax } = limits;
    if (this.#history.length < eventsMax * 1.25 && this.#historyBytes < bytesMax * 1.25) return;
    const keptMin = Math.min(watchHistoryEventsMin, this.#history.length);
    let cut = Math.max(0, this.#history.length - eventsMax);
    let bytes = this.#historyBytes - bytesOf(this.#history, 0, cut);
    for (; bytes > bytesMax && cut < this.#history.length - keptMin; cut++)
      bytes -= (this.#history[cut] as CacheEvent).entry.item.length;
    if (cut > 0) this.#cutHistory(cut, (this.#history[cut - 1] as CacheEvent).revision);
  }

  /** Forgets so many of the oldest changes. */
  #cutHistory(count: number, forgotten: number): void {
    this.#historyBytes -= bytesOf(this.#history, 0, count);
    this.#history = this.#history.slice(count);
    this.#forgotten = forgotten;
  }

  #dispatch(event: CacheEvent): void {
    if (this.#watcherCount === 0) return;
    this.#dispatchTo('', event);
    const slash = event.key.indexOf('/');
    if (slash >= 0) this.#dispatchTo(`prefix:${event.key.slice(0, slash + 1)}`, event);
    for (const [field, read] of this.#bucketReaders) {
      const now = read(event.entry.object);
      const before = event.previous && read(event.previous.object);
      this.#dispatchTo(`${field}=${now}`, event);
      if (before !== undefined && before !== now) this.#dispatchTo(`${field}=${before}`, event);
    }
    event.shed();
  }

  #dispatchTo(bucketName: string, event: CacheEvent): void {
    const bucket = this.#watchers.get(bucketName);
    if (bucket) for (const watcher of bucket) if (event.key.startsWith(watcher.prefix)) watcher.onEvent(event);
  }

  /** The objects that an index finds, in key order; undefined when reading everything is not slower. */
  #candidates(prefix: string, selection: Selection): CachedObject[] | undefined {
    if (this.#objects.size < indexedSizeMin) return undefined;
    let best: { readonly index: ValueIndex; readonly values: readonly string[] } | undefined;
    let bestCount = this.#objects.size / 4;
    for (const requirement of selection.fields) {
      const index = this.#fieldIndex(requirement);
      const count = index?.countOf([requirement.value]) ?? Number.POSITIVE_INFINITY;
      if (index && count < bestCount) [best, bestCount] = [{ index, values: [requirement.value] }, count];
    }
    for (const requirement of selection.labels) {
      const index = this.#labelIndex(requirement);
      const count = index?.countOf(requirement.values) ?? Number.POSITIVE_INFINITY;
      if (index && count < bestCount) [best, bestCount] = [{ index, values: requirement.values }, count];
    }
    if (!best) return undefined;
    const keys = best.index.keysOf(best.values).filter(key => key.startsWith(prefix));
    return keys.sort().map(key => this.#objects.get(key) as CachedObject);
  }

  #labelIndex({ key, operator }: LabelRequirement): ValueIndex | undefined {
    if (operator !== '=' && operator !== '==' && operator !== 'in') return undefined;
    const known = this.#labelIndexes.get(key);
    if (known || this.#labelIndexes.size >= labelIndexesMax) return known;
    const index = new ValueIndex(
      ({ metadata: { labels } }) => (labels && Object.hasOwn(labels, key) ? labels[key] : undefined),
      this.#objects.values(),
    );
    this.#labelIndexes.set(key, index);
    return index;
  }

  #fieldIndex({ field, operator }: FieldRequirement): ValueIndex | undefined {
    if (operator !== '=') return undefined;
    const known = this.#fieldIndexes.get(field);
    const read = known ? undefined : fieldReader(this.kind, field);
    if (!read) return known;
    const index = new ValueIndex(read, this.#objects.values());
    this.#fieldIndexes.set(field, index);
    return index;
  }
}

function bytesOf(events: readonly CacheEvent[], from: number, to: number): number {
  let bytes = 0;
  for (let at = from; at < to; at++) bytes += (events[at] as CacheEvent).entry.item.length;
  return bytes;
}

/** However large the objects are: upstream's smallest history. */
const watchHistoryEventsMin = 100;
/** Below this reading everything is as fast as an index. */
const indexedSizeMin = 256;
/** Indexes are made for the labels that are asked for; clients must not be able to ask for any number. */
const labelIndexesMax = 32;
/** Fields that many watchers select one value of: kubelets their pods, `kubectl wait` an object. */
const bucketFields = ['metadata.name', 'spec.nodeName'] as const;

function bucketOf({ selection, prefix }: CacheWatcher): string {
  for (const field of bucketFields) {
    const requirement = selection.fields.find(each => each.field === field && each.operator === '=');
    if (requirement) return `${field}=${requirement.value}`;
  }
  return prefix.endsWith('/') ? `prefix:${prefix}` : '';
}
