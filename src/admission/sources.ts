import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/random.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import type { Client } from '#client/client.ts';
import type { Informer } from '#client/informer.ts';
import type { Informers } from '#client/informers.ts';

/** Where plugins read other objects: copies that follow the API, and the API itself for what is newer than a copy. */
export interface Sources {
  readonly informers: Informers;
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
}

/** From the copy, or else from the API: a copy may be a moment behind what a client has just created. */
export function find<Type extends ApiObject>(
  { client }: Sources,
  informer: Informer<Type>,
  name: string,
  namespace = '',
): Promise<Type | undefined> | Type {
  return informer.get(name, namespace) ?? getIfThere(client, informer.kind, name, namespace);
}

/** Goes on with what `find` and its like have found: at once, where nothing has to be waited for. */
export function withFound<Found, Result>(
  found: Promise<Found> | Found,
  goOn: (found: Found) => Result,
): Promise<Result> | Result {
  return found instanceof Promise ? found.then(goOn) : goOn(found);
}

async function getIfThere<Type extends ApiObject>(
  client: Client,
  kind: Kind<Type>,
  name: string,
  namespace: string,
): Promise<Type | undefined> {
  try {
    return await client.get(kind, name, namespace === '' ? {} : { namespace });
  } catch (error) {
    if (isReason(error, 'NotFound')) return undefined;
    throw error;
  }
}

/** The objects marked as default by an annotation, the newest first, then by name. */
export function defaultsAmong<Type extends ApiObject>(objects: Iterable<Type>, annotations: readonly string[]): Type[] {
  return [...objects]
    .filter(({ metadata }) => annotations.some(each => metadata.annotations?.[each] === 'true'))
    .sort(
      ({ metadata: left }, { metadata: right }) =>
        compare(right.creationTimestamp ?? '', left.creationTimestamp ?? '') ||
        compare(left.name ?? '', right.name ?? ''),
    );
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
