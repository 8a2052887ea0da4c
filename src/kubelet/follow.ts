import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { ApiError } from '#api/machinery/errors.ts';
import type { Client, ListOptions } from '#client/client.ts';
import { exponentialBackoff } from '#base/backoff.ts';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';

export interface FollowHandler<Type> {
  /** New or changed; after a lost watch also what has not changed. */
  seen(object: Type): void;
  /** The last state that was seen, which may be older than the last state there was. */
  gone(object: Type): void;
  /** Everything that was there has been `seen`. */
  listed?(): void;
}

/**
 * Hands every object of a selection to a handler, for as long as the signal lives: lists, watches, and lists anew when
 * the watch cannot be continued. Keeps only uid and name of each object; who needs the objects keeps them.
 */
export async function follow<Type extends ApiObject>(
  kind: Kind<Type>,
  selection: Pick<ListOptions, 'namespace' | 'fieldSelector' | 'labelSelector'>,
  handler: FollowHandler<Type>,
  { client, clock, log, signal }: { client: Client; clock: Clock; log: Log; signal: AbortSignal },
): Promise<void> {
  const known = new Map<string, Type>();
  const backoff = exponentialBackoff({ initialMs: 100, maxMs: 10_000 });
  let resourceVersion: string | undefined;
  while (!signal.aborted) {
    try {
      resourceVersion ??= await listAll();
      backoff.reset();
      resourceVersion = await watchFrom(resourceVersion);
    } catch (error) {
      if (signal.aborted) return;
      // Anything the server says about the watch itself means that it cannot be continued from here.
      if (error instanceof ApiError) resourceVersion = undefined;
      log.warn('lost a watch', { kind: kind.kind, error });
      if (!(await pause(backoff.next()))) return;
    }
  }

  async function listAll(): Promise<string> {
    const { items, metadata } = await client.list(kind, { ...selection, signal });
    const listed = new Set<string>();
    for (const object of items) {
      const uid = object.metadata.uid ?? '';
      listed.add(uid);
      if (known.get(uid)?.metadata.resourceVersion === object.metadata.resourceVersion && known.has(uid)) continue;
      known.set(uid, object);
      handler.seen(object);
    }
    for (const [uid, object] of known) {
      if (listed.has(uid)) continue;
      known.delete(uid);
      handler.gone(object);
    }
    handler.listed?.();
    return metadata.resourceVersion;
  }

  async function watchFrom(start: string): Promise<string> {
    let version = start;
    const options = { ...selection, resourceVersion: start, allowWatchBookmarks: true, signal };
    for await (const event of client.watch(kind, options)) {
      if (event.type === 'BOOKMARK') {
        version = event.resourceVersion;
        continue;
      }
      const { object } = event;
      version = object.metadata.resourceVersion ?? version;
      const uid = object.metadata.uid ?? '';
      if (event.type === 'DELETED') {
        known.delete(uid);
        handler.gone(object);
      } else {
        known.set(uid, object);
        handler.seen(object);
      }
    }
    return version;
  }

  async function pause(delayMs: number): Promise<boolean> {
    try {
      await clock.sleep(delayMs, signal);
      return true;
    } catch {
      // The signal ended the sleep.
      return false;
    }
  }
}
