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
      component === 'nodes'
        ? {
            ...client,
            delete: <Type extends ApiObject>(kind: Kind<Type>, ...rest: [string]) =>
              (kind as unknown) === Pod ? Promise.resolve({} as Type) : client.delete(kind, ...rest),
          }
        : client,
  },
  'nodes that never say that a pod runs': {
    client: (component, client) =>
      component === 'nodes'
        ? {
            ...client,
            patch: (kind, name, patch, options) =>
              (kind as unknown) === Pod ? client.get(kind, name, options) : client.patch(kind, name, patch, options),
          }
        : client,
  },
};

/** Pods go without having been asked to stop. */
function deletingWithoutGrace(client: Client): Client['delete'] {
  return (kind, name, options) =>
    client.delete(kind, name, (kind as unknown) === Pod ? { ...options, gracePeriodSeconds: 0 } : options);
}
