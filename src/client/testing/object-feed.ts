import { Channel } from '#base/queue.ts';
import type { Client } from '../client.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { keyOf } from '../informer.ts';
import { clientOver, collectionPath, type WireEvent, type WireRequest } from '../wire.ts';

/** A client whose objects a test puts and removes by hand; it lists and watches, and refuses the rest. */
export interface ObjectFeed {
  readonly client: Client;
  put<Type extends ApiObject>(kind: Kind<Type>, object: Type): void;
  delete<Type extends ApiObject>(kind: Kind<Type>, object: Type): void;
  /** How many watches are open. */
  readonly watches: number;
}

export function objectFeed(): ObjectFeed {
  const collections = new Map<string, Map<string, ApiObject>>();
  const watches = new Map<Channel<WireEvent>, { readonly path: string; readonly name: string | undefined }>();
  let version = 0;
  const collection = (path: string) => {
    const found = collections.get(path) ?? new Map<string, ApiObject>();
    collections.set(path, found);
    return found;
  };
  const refuse = () => Promise.reject(new Error('cannot do that: the feed of a test only lists and watches'));
  const tell = (kind: Kind, type: string, object: ApiObject) => {
    for (const [events, { path, name }] of watches)
      if (path === collectionPath(kind, undefined) && (name === undefined || name === object.metadata.name))
        events.push({ type, object });
  };
  const stamped = (object: ApiObject): ApiObject => ({
    ...object,
    metadata: {
      ...object.metadata,
      uid: object.metadata.uid ?? keyOf(object),
      resourceVersion: String(++version),
    },
  });
  const client = clientOver({
    send: refuse,
    text: refuse,
    connect: refuse,
    watch({ path, query, signal }: WireRequest) {
      const events = new Channel<WireEvent>();
      const name = /^metadata\.name=(.*)$/.exec(query.get('fieldSelector') ?? '')?.[1];
      for (const object of collection(path).values())
        if (name === undefined || name === object.metadata.name) events.push({ type: 'ADDED', object });
      const annotations = { 'k8s.io/initial-events-end': 'true' };
      events.push({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(version), annotations } } });
      watches.set(events, { path, name });
      signal?.addEventListener('abort', () => {
        watches.delete(events);
        events.close();
      });
      return events;
    },
  });
  return {
    client,
    put(kind, object) {
      const objects = collection(collectionPath(kind, undefined));
      const key = keyOf(object);
      const next = stamped(object);
      const known = objects.has(key);
      objects.set(key, next);
      tell(kind, known ? 'MODIFIED' : 'ADDED', next);
    },
    delete(kind, object) {
      const objects = collection(collectionPath(kind, undefined));
      const old = objects.get(keyOf(object));
      if (!old) return;
      objects.delete(keyOf(object));
      tell(kind, 'DELETED', stamped(old));
    },
    get watches() {
      return watches.size;
    },
  };
}
