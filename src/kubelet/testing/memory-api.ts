import { errors } from '#api/machinery/errors.ts';
import { apiVersionOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import type { Client, ListOptions, Patch, WatchEvent, WatchOptions } from '#client/client.ts';
import { Channel } from '#base/queue.ts';
import type { Clock } from '#base/clock.ts';
import { formatTime } from '#api/machinery/time.ts';

type Stored = Record<string, unknown> & { metadata: Record<string, unknown> };
type Watcher = { readonly kind: Kind; readonly options: ListOptions; readonly channel: Channel<WatchEvent<ApiObject>> };

/** Just enough of the API for tests of the node side: objects in a map, watches, grace on deletion of pods. */
export class MemoryApi {
  readonly #objects = new Map<string, Stored>();
  readonly #watchers = new Set<Watcher>();
  readonly #clock: Clock;
  #revision = 0;
  /** Every write, as `patch pods/status a`. */
  readonly writes: string[] = [];
  /** Called before each write; what it throws is the answer. */
  refuse: (write: string) => void = () => {};
  tokens = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  readonly client = {
    get: async (kind: Kind, name: string, options = {}) => this.#get(kind, name, options),
    list: async (kind: Kind, options: ListOptions = {}) => ({
      items: [...this.#objects.entries()]
        .filter(([key, object]) => key.startsWith(`${kind.plural}/`) && selected(object, options))
        .map(([, object]) => object),
      metadata: { resourceVersion: String(this.#revision) },
    }),
    watch: (kind: Kind, options: WatchOptions = {}) => this.#watch(kind, options),
    create: async (kind: Kind, object: object, options = {}) => this.#create(kind, object, options),
    update: async (kind: Kind, object: ApiObject, options = {}) => {
      this.#record('update', kind, object.metadata.name ?? '', options);
      const old = this.#get(kind, object.metadata.name ?? '', { namespace: object.metadata.namespace, ...options });
      const version = object.metadata.resourceVersion;
      if (version !== undefined && version !== old.metadata['resourceVersion'])
        throw errors.modified(kind, object.metadata.name ?? '');
      return this.#put(kind, object as unknown as Stored, 'MODIFIED');
    },
    patch: async (kind: Kind, name: string, patch: Patch, options = {}) => this.#patch(kind, name, patch, options),
    delete: async (kind: Kind, name: string, options = {}) => this.#delete(kind, name, options),
    deleteCollection: async () => undefined,
    createSubresource: async (kind: Kind, name: string, subresource: string, body: object, options = {}) => {
      this.#record('create', kind, name, { ...options, subresource });
      if (subresource !== 'token') return body;
      const { expirationSeconds = 3600 } = (body as { spec: { expirationSeconds?: number } }).spec;
      const expirationTimestamp = formatTime(this.#clock.now() + expirationSeconds * 1000);
      return { ...body, status: { token: `token-${++this.tokens}`, expirationTimestamp } };
    },
    raw: async () => '',
    connect: () => Promise.reject(new Error('cannot connect: this API is in memory')),
  } as unknown as Client;

  /** What is stored, for assertions. */
  object<Type extends ApiObject>(kind: Kind<Type>, name: string, namespace?: string): Type | undefined {
    return this.#objects.get(key(kind, namespace, name)) as unknown as Type | undefined;
  }

  objects<Type extends ApiObject>(kind: Kind<Type>): readonly Type[] {
    const found = [...this.#objects.entries()].filter(([path]) => path.startsWith(`${kind.plural}/`));
    return found.map(([, object]) => object as unknown as Type);
  }

  #get(kind: Kind, name: string, { namespace }: { namespace?: string | undefined }): Stored {
    const found = this.#objects.get(key(kind, namespace, name));
    if (!found) throw errors.notFound(kind, name);
    return found;
  }

  #create(kind: Kind, given: object, options: { namespace?: string }): Stored {
    const object = given as Stored;
    const name = String(object.metadata['name'] ?? `${String(object.metadata['generateName'])}${this.#revision}`);
    this.#record('create', kind, name, options);
    const namespace = options.namespace ?? (object.metadata['namespace'] as string | undefined);
    if (this.#objects.has(key(kind, namespace, name))) throw errors.alreadyExists(kind, name);
    const metadata = {
      ...object.metadata,
      name,
      ...(namespace !== undefined && { namespace }),
      uid: `uid-${kind.singular}-${name}-${this.#revision}`,
      creationTimestamp: formatTime(this.#clock.now()),
      generation: 1,
    };
    return this.#put(kind, { ...object, apiVersion: apiVersionOf(kind), kind: kind.kind, metadata }, 'ADDED');
  }

  #patch(kind: Kind, name: string, patch: Patch, options: { namespace?: string; subresource?: string }): Stored {
    this.#record('patch', kind, name, options);
    const old = this.#get(kind, name, options);
    if (patch.type !== 'merge' && patch.type !== 'strategic') throw errors.unsupportedMediaType(patch.type);
    const change = patch.patch as Stored;
    const uid = change.metadata?.['uid'];
    if (uid !== undefined && uid !== old.metadata['uid']) throw errors.modified(kind, name);
    return this.#put(kind, merged(old, change, patch.type === 'strategic') as Stored, 'MODIFIED');
  }

  #delete(
    kind: Kind,
    name: string,
    options: { namespace?: string; gracePeriodSeconds?: number; preconditions?: { uid?: string } },
  ): Stored {
    this.#record('delete', kind, name, options);
    const old = this.#get(kind, name, options);
    const { uid } = options.preconditions ?? {};
    if (uid !== undefined && uid !== old.metadata['uid']) throw errors.modified(kind, name);
    const spec = old['spec'] as { nodeName?: string; terminationGracePeriodSeconds?: number } | undefined;
    const grace = options.gracePeriodSeconds ?? spec?.terminationGracePeriodSeconds ?? 30;
    if (kind.plural === 'pods' && grace > 0 && spec?.nodeName !== undefined) {
      const deletionTimestamp = formatTime(this.#clock.now() + grace * 1000);
      const metadata = { ...old.metadata, deletionTimestamp, deletionGracePeriodSeconds: grace };
      return this.#put(kind, { ...old, metadata }, 'MODIFIED');
    }
    this.#objects.delete(key(kind, options.namespace, name));
    this.#revision++;
    this.#tell(kind, 'DELETED', old);
    return old;
  }

  #put(kind: Kind, object: Stored, type: 'ADDED' | 'MODIFIED'): Stored {
    const metadata = { ...object.metadata, resourceVersion: String(++this.#revision) };
    const stored = { ...object, metadata };
    const namespace = kind.namespaced ? (object.metadata['namespace'] as string) : undefined;
    const path = key(kind, namespace, String(object.metadata['name']));
    this.#objects.set(path, stored);
    this.#tell(kind, type, stored);
    return stored;
  }

  #tell(kind: Kind, type: 'ADDED' | 'MODIFIED' | 'DELETED', object: Stored): void {
    for (const { channel, ...watcher } of this.#watchers)
      if (watcher.kind.plural === kind.plural && selected(object, watcher.options))
        channel.push({ type, object: object as unknown as ApiObject });
  }

  #watch(kind: Kind, options: WatchOptions): AsyncIterable<WatchEvent<ApiObject>> {
    const channel = new Channel<WatchEvent<ApiObject>>();
    const watcher = { kind, options, channel };
    this.#watchers.add(watcher);
    options.signal?.addEventListener('abort', () => {
      this.#watchers.delete(watcher);
      channel.close();
    });
    // Nothing is written between a list and the watch that follows it in the same turn of the loop; else it is told here.
    const from = Number(options.resourceVersion ?? 0);
    for (const [path, object] of this.#objects)
      if (path.startsWith(`${kind.plural}/`) && selected(object, options))
        if (Number(object.metadata['resourceVersion']) > from)
          channel.push({ type: 'MODIFIED', object: object as unknown as ApiObject });
    if (options.sendInitialEvents)
      channel.push({ type: 'BOOKMARK', resourceVersion: String(this.#revision), initialEventsEnd: true });
    return channel;
  }

  #record(
    verb: string,
    kind: Kind,
    name: string,
    { subresource }: { subresource?: string; namespace?: string | undefined },
  ): void {
    const write = `${verb} ${kind.plural}${subresource ? `/${subresource}` : ''} ${name}`;
    this.writes.push(write);
    this.refuse(write);
  }
}

function key(kind: Kind, namespace: string | undefined, name: string): string {
  return kind.namespaced ? `${kind.plural}/${namespace}/${name}` : `${kind.plural}/${name}`;
}

function selected(object: Stored, { namespace, fieldSelector = '' }: ListOptions): boolean {
  if (namespace !== undefined && object.metadata['namespace'] !== namespace) return false;
  return fieldSelector
    .split(',')
    .filter(Boolean)
    .every(term => {
      const [, path = '', negated, value] = /^(.*?)(!?)=(.*)$/.exec(term) ?? [];
      return (String(valueAt(object, path) ?? '') === value) !== (negated === '!');
    });
}

function valueAt(object: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], object);
}

/** Lists of objects with a `type` or `name` are merged by it in a strategic patch, as conditions are. */
function merged(old: unknown, change: unknown, strategic: boolean): unknown {
  if (Array.isArray(change) && strategic && change[0]?.$patch === 'replace') return change.slice(1);
  const mergeKey = ['type', 'ip'].find(key => Array.isArray(change) && change.some(item => item?.[key]));
  if (Array.isArray(change) && Array.isArray(old) && strategic && mergeKey !== undefined) {
    const byKey = new Map((old as Record<string, unknown>[]).map(item => [item[mergeKey], item]));
    for (const item of change as Record<string, unknown>[])
      if (item['$patch'] === 'delete') byKey.delete(item[mergeKey]);
      else byKey.set(item[mergeKey], { ...byKey.get(item[mergeKey]), ...item });
    return [...byKey.values()];
  }
  if (typeof change !== 'object' || change === null || Array.isArray(change)) return change;
  const base = typeof old === 'object' && old !== null && !Array.isArray(old) ? old : {};
  const result: Record<string, unknown> = { ...base };
  for (const [name, value] of Object.entries(change))
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value, strategic);
  return result;
}
