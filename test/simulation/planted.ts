import { Pod } from '#api/core/v1/pod.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import type { Client } from '#client/client.ts';
import type { Planted } from './cluster.ts';

/** Bugs that are put in to show that the simulator finds such, each of another sort. */
export const plantedBugs: Readonly<Record<string, Planted>> = {
  'a controller that lets pods no time to stop': {
    client: (component, client) =>
      component === 'controllers' ? { ...client, delete: deletingWithoutGrace(client) } : client,
  },
  'nodes that never say that a pod is gone': {
    client: (component, client) =>
      component === 'node'
        ? {
            ...client,
            delete: <Type extends ApiObject>(kind: Kind<Type>, ...rest: [string]) =>
              (kind as unknown) === Pod ? Promise.resolve({} as Type) : client.delete(kind, ...rest),
          }
        : client,
  },
  'nodes that never say that a pod runs': {
    client: (component, client) =>
      component === 'node'
        ? {
            ...client,
            patch: (kind, name, patch, options) =>
              (kind as unknown) === Pod ? client.get(kind, name, options) : client.patch(kind, name, patch, options),
          }
        : client,
  },
  'a store that does not tell of every change': {
    storage: storage => ({
      ...storage,
      currentRevision: () => storage.currentRevision(),
      get: (...args) => storage.get(...args),
      range: (...args) => storage.range(...args),
      put: (...args) => storage.put(...args),
      delete: (...args) => storage.delete(...args),
      compact: revision => storage.compact(revision),
      snapshot: file => storage.snapshot(file),
      watch: (prefix, after, watcher, signal) =>
        storage.watch(
          prefix,
          after,
          {
            onEvents: events => watcher.onEvents(events.filter(({ revision }) => revision % 150 !== 0)),
            onEnd: error => watcher.onEnd(error),
          },
          signal,
        ),
      [Symbol.asyncDispose]: () => storage[Symbol.asyncDispose](),
    }),
  },
};

/** Pods go without having been asked to stop. */
function deletingWithoutGrace(client: Client): Client['delete'] {
  return (kind, name, options) =>
    client.delete(kind, name, (kind as unknown) === Pod ? { ...options, gracePeriodSeconds: 0 } : options);
}
