import { ManualClock } from '#base/clock.ts';
import { Channel } from '#base/queue.ts';
import { seededRandom } from '#base/random.ts';
import { errors } from '#api/machinery/errors.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind } from '#api/machinery/kind.ts';
import type { Client, WatchEvent } from '#client/client.ts';
import { keyOf } from '#client/informer.ts';
import { openInformers } from '#client/informers.ts';
import type { User } from '#auth/user.ts';
import type { AdmissionPlugin, AdmissionRequest, ServedKinds } from './admission.ts';
import type { Sources } from './sources.ts';

/** A world of objects for tests of plugins: informers follow it, and `client` reads and updates it. */
export interface World extends Sources, Disposable {
  readonly clock: ManualClock;
  put<Type extends ApiObject>(kind: Kind<Type>, object: object): void;
  /** Resolves when the informers have seen everything that was put. */
  settled(): Promise<void>;
}

export function world(): World {
  const stored = new Map<string, Map<string, ApiObject>>();
  const watchers = new Map<string, Set<Channel<WatchEvent<ApiObject>>>>();
  let version = 1;
  const idOf = (kind: Kind) => `${apiVersionOf(kind)}/${kind.plural}`;
  const objectsOf = (kind: Kind) => {
    const known = stored.get(idOf(kind)) ?? new Map<string, ApiObject>();
    stored.set(idOf(kind), known);
    return known;
  };
  const write = (kind: Kind, object: ApiObject): ApiObject => {
    const objects = objectsOf(kind);
    const key = keyOf(object);
    const type = objects.has(key) ? 'MODIFIED' : 'ADDED';
    const next = { ...object, metadata: { ...object.metadata, resourceVersion: String(++version) } };
    objects.set(key, next);
    for (const channel of watchers.get(idOf(kind)) ?? []) channel.push({ type, object: next });
    return next;
  };
  const client = {
    async get(kind: Kind, name: string, options: { namespace?: string } = {}) {
      const found = objectsOf(kind).get(options.namespace ? `${options.namespace}/${name}` : name);
      if (!found) throw errors.notFound(kind, name);
      return found;
    },
    async list(kind: Kind) {
      return { items: [...objectsOf(kind).values()], metadata: { resourceVersion: String(version) } };
    },
    create: async (kind: Kind, object: ApiObject) => write(kind, object),
    async update(kind: Kind, object: ApiObject) {
      const found = objectsOf(kind).get(keyOf(object));
      if (!found) throw errors.notFound(kind, object.metadata.name ?? '');
      if (found.metadata.resourceVersion !== object.metadata.resourceVersion)
        throw errors.modified(kind, object.metadata.name ?? '');
      return write(kind, object);
    },
    async *watch(kind: Kind, { signal }: { signal?: AbortSignal }) {
      const channel = new Channel<WatchEvent<ApiObject>>();
      const channels = watchers.get(idOf(kind)) ?? new Set();
      watchers.set(idOf(kind), channels.add(channel));
      signal?.addEventListener('abort', () => channel.close(), { once: true });
      for (const object of objectsOf(kind).values()) channel.push({ type: 'ADDED', object });
      channel.push({ type: 'BOOKMARK', resourceVersion: String(version), initialEventsEnd: true });
      yield* channel;
    },
  } as unknown as Client;
  const clock = new ManualClock();
  const random = seededRandom(7);
  const informers = openInformers(client, { clock, random });
  return {
    client,
    clock,
    random,
    informers,
    put: (kind, object) => void write(kind as Kind, { metadata: {}, ...object } as ApiObject),
    async settled() {
      await informers.synced;
      // Each event takes a few turns of the event loop from the watch to the informer.
      for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve));
    },
    [Symbol.dispose]: () => informers[Symbol.dispose](),
  };
}

export interface Attempt {
  readonly operation?: AdmissionRequest['operation'];
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly old?: object;
  readonly user?: User;
  readonly dryRun?: boolean;
  readonly served?: ServedKinds;
}

export interface Outcome<Type> {
  readonly object: Draft<Type>;
  readonly warnings: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** Sends an object through plugins as the API server does; throws what they throw. */
export async function admit<Type extends ApiObject>(
  plugins: readonly AdmissionPlugin[],
  kind: Kind<Type>,
  object: object | undefined,
  attempt: Attempt = {},
): Promise<Outcome<Type>> {
  const warnings: string[] = [];
  const annotations: Record<string, string> = {};
  const { namespace = kind.namespaced ? 'ns' : '', operation = 'CREATE' } = attempt;
  const own = object && (structuredClone({ metadata: {}, ...object }) as Draft<ApiObject>);
  if (own) own.metadata = { ...(namespace !== '' && { namespace }), ...own.metadata };
  let asked = false;
  let isSecond = false;
  const request: AdmissionRequest = {
    operation,
    kind: kind as unknown as Kind,
    subresource: attempt.subresource ?? '',
    namespace,
    name: attempt.name ?? own?.metadata.name ?? '',
    object: own,
    old: attempt.old as ApiObject | undefined,
    options: {},
    user: attempt.user ?? { name: 'ann', groups: ['system:authenticated'] },
    dryRun: attempt.dryRun ?? false,
    warn: message => warnings.push(message),
    annotate: (key, value) => {
      annotations[key] = value;
    },
    signal: new AbortController().signal,
    reinvocation: {
      get isSecond() {
        return isSecond;
      },
      ask: () => {
        asked = true;
      },
    },
    ...(attempt.served && { served: attempt.served }),
  };
  const interested = plugins.filter(plugin => plugin.handles(request));
  for (const plugin of interested) await plugin.admit?.(request);
  if (asked) {
    isSecond = true;
    for (const plugin of interested) await plugin.admit?.(request);
  }
  for (const plugin of interested) await plugin.validate?.(request);
  return { object: own as unknown as Draft<Type>, warnings, annotations };
}
