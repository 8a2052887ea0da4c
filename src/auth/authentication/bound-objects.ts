import { isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { Node } from '#api/core/v1/node.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { Secret } from '#api/core/v1/secret.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import type { Client } from '#client/client.ts';
import type { Informers } from '#client/informers.ts';
import type { BoundObjects } from './service-account-token.ts';

/**
 * From informers, and from the API where an informer does not know an object (yet). A copy that is a moment old serves:
 * what is gone comes as an event.
 */
export function boundObjectsFrom(informers: Informers, client: Client): BoundObjects {
  const find = <Type extends ApiObject>(kind: Kind<Type>) => {
    const informer = informers.of(kind);
    return (namespace: string, name: string) =>
      informer.get(name, namespace) ?? getIfThere(client, kind, name, namespace);
  };
  const node = find(Node);
  return {
    serviceAccount: find(ServiceAccount),
    pod: find(Pod),
    // Secrets are many and large, tokens bound to them rare: no copy of them is kept.
    secret: (namespace, name) => getIfThere(client, Secret, name, namespace),
    node: name => node('', name),
  };
}

/** Undefined where there is no such object. */
export async function getIfThere<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  name: string,
  namespace = '',
): Promise<Type | undefined> {
  try {
    return await client.get(kind, name, namespace === '' ? {} : { namespace });
  } catch (error) {
    if (isReason(error, 'NotFound')) return undefined;
    throw error;
  }
}
