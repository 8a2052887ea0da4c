import type { Clock } from '#base/clock.ts';
import { deepEqual } from '#base/deep-equal.ts';
import type { Log } from '#base/log.ts';
import { isReason } from '#api/machinery/errors.ts';
import { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { APIService, type APIServiceSpec } from '#api/apiregistration/v1/api-service.ts';
import type { Client } from '#client/client.ts';
import { WorkQueue } from '#client/workqueue.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import type { Registry } from '../registry.ts';
import type { Seed } from '../seed.ts';
import type { ApiServices } from './api-services.ts';
import { builtInPriority, customPriority, type Priority } from './priorities.ts';

/** Says that an object is kept by the server: from its start on, or at every moment. */
export const managedLabel = 'kube-aggregator.kubernetes.io/automanaged';

type Mode = 'onstart' | 'true' | 'unmanaged';

interface Wanted {
  readonly mode: Mode;
  readonly spec: APIServiceSpec;
}

export interface AutoRegistration extends Disposable {
  /** Resolves when every built-in group version has its object. */
  readonly complete: Promise<void>;
  readonly isComplete: boolean;
}

/**
 * Keeps an APIService object for every group version that this server answers itself. Those of built-in kinds are put right
 * once, at start; those of custom resources come and go with them; those of add-ons are made where there is none, and
 * whoever changes them is left in peace.
 */
export function startAutoRegistration(options: {
  readonly client: Client;
  readonly seed: Seed;
  readonly registry: Registry;
  readonly cache: WatchCache;
  readonly apiServices: ApiServices;
  /** Group versions of add-ons that this server answers, with their priority. */
  readonly addOns: readonly APIServiceSpec[];
  readonly clock: Clock;
  readonly log: Log;
}): AutoRegistration {
  const { client, seed, registry, cache, apiServices, addOns, clock, log } = options;
  const queue = new WorkQueue<string>({ clock, retryMaxMs: 30_000 });
  const atStart = new Set(apiServices.names);
  const synced = new Set<string>();
  let wanted = wantedFrom(registry, addOns);
  const pending = new Set([...wanted].filter(([, { mode }]) => mode === 'onstart').map(([name]) => name));
  const { promise: complete, resolve } = Promise.withResolvers<void>();

  const definitions = registry.of(CustomResourceDefinition as never).cache;
  const stops = [
    cache.listen(changed => {
      if (changed !== definitions) return;
      const before = wanted;
      wanted = wantedFrom(registry, addOns);
      for (const name of new Set([...before.keys(), ...wanted.keys()]))
        if (!deepEqual(before.get(name), wanted.get(name))) queue.add(name);
    }),
    apiServices.onChange(name => queue.add(name)),
  ];
  const synchronize = async (name: string) => {
    await keep(client, seed, name, wanted.get(name), apiServices.get(name), {
      wasThere: atStart.has(name),
      hasSynced: synced.has(name),
    });
    synced.add(name);
    if (pending.delete(name) && pending.size === 0) resolve();
  };
  const work = async () => {
    for (let name = await queue.take(); name !== undefined; name = await queue.take()) {
      try {
        await synchronize(name);
        queue.forget(name);
      } catch (error) {
        log.warn('cannot register an API service', { name, error });
        queue.retry(name);
      }
      queue.done(name);
    }
  };
  for (const name of new Set([...wanted.keys(), ...atStart])) queue.add(name);
  for (let worker = 0; worker < workers; worker++) void work();
  return {
    complete,
    get isComplete() {
      return pending.size === 0;
    },
    [Symbol.dispose]() {
      for (const stop of stops) stop();
      queue[Symbol.dispose]();
    },
  };
}

/** Enough that the first start waits for one commit of the store, not for thirty. */
const workers = 32;

function wantedFrom(registry: Registry, addOns: readonly APIServiceSpec[]): ReadonlyMap<string, Wanted> {
  const wanted = new Map<string, Wanted>();
  for (const { group, version, custom } of registry.kinds) {
    const priority = builtInPriority(group, version);
    // Nobody can take the place of the group that this very object is of.
    if (custom || !priority || group === APIService.group) continue;
    wanted.set(`${version}.${group}`, { mode: 'onstart', spec: specOf(group, version, priority) });
  }
  // By the definitions, not by what is served of them already: another API server may be a step ahead of this one.
  for (const entry of registry.of(CustomResourceDefinition as never).cache.all()) {
    const { spec } = entry.object as unknown as CustomResourceDefinition;
    for (const { name: version, served } of spec.versions) {
      const name = `${version}.${spec.group}`;
      if (served && !wanted.has(name))
        wanted.set(name, { mode: 'true', spec: specOf(spec.group, version, customPriority) });
    }
  }
  for (const spec of addOns) wanted.set(`${spec.version}.${spec.group}`, { mode: 'unmanaged', spec });
  return wanted;
}

function specOf(group: string, version: string, priority: Priority): APIServiceSpec {
  return {
    ...(group !== '' && { group }),
    version,
    groupPriorityMinimum: priority.group,
    versionPriority: priority.version,
  };
}

/** One object as it is wanted to be: upstream's table of what is wanted, what is there, and who keeps it. */
async function keep(
  client: Client,
  seed: Seed,
  name: string,
  wanted: Wanted | undefined,
  present: APIService | undefined,
  { wasThere, hasSynced }: { readonly wasThere: boolean; readonly hasSynced: boolean },
): Promise<void> {
  if (wanted?.mode === 'onstart' && hasSynced) return;
  if (!present) {
    if (!wanted) return;
    const labels = wanted.mode === 'unmanaged' ? undefined : { [managedLabel]: wanted.mode };
    await seed(APIService, { metadata: { name, ...(labels && { labels }) }, spec: wanted.spec });
    return;
  }
  const mode = present.metadata.labels?.[managedLabel];
  if (mode !== 'onstart' && mode !== 'true') return;
  if (mode === 'onstart' && (!wasThere || hasSynced)) return;
  if (!wanted) {
    const { uid } = present.metadata;
    await unlessChanged(() => client.delete(APIService, name, uid === undefined ? {} : { preconditions: { uid } }));
    return;
  }
  if (wanted.mode === 'unmanaged' || deepEqual(present.spec, wanted.spec)) return;
  await unlessChanged(() => client.update(APIService, { ...present, spec: wanted.spec }));
}

/** Somebody else was quicker: the change that they made brings us here again. */
async function unlessChanged(write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!isReason(error, 'Conflict', 'NotFound')) throw error;
  }
}
