import type { Log } from '#base/log.ts';
import { Event } from '#api/core/v1/event.ts';
import type { Foundation } from './call.ts';
import { defaultEventTtlMs } from './event-ttl.ts';
import { StaleError } from './writer.ts';

const sweepIntervalMs = 30_000;
const deletionsAtOnce = 500;

/**
 * Deletes Events some time after their last change, where the store does not do so. All live equally long, so they expire in
 * the order they were written.
 */
export function startExpiry(
  { cache, registry, writer, clock }: Foundation,
  log: Log,
  eventTtlMs = defaultEventTtlMs,
): AsyncDisposable {
  const resource = registry.find('', Event.version, Event.plural);
  if (!resource || cache.isShared) return { async [Symbol.asyncDispose]() {} };
  const queue: { readonly key: string; readonly revision: number; readonly dueMs: number }[] = [];
  const remember = (key: string, revision: number) => queue.push({ key, revision, dueMs: clock.now() + eventTtlMs });
  // How old what was there at the start is, is not known: it gets the whole time again.
  for (const entry of resource.cache.all()) remember(entry.key, entry.revision);
  const stopListening = cache.listen((changed, event) => {
    if (changed === resource.cache && !event.deleted) remember(event.key, event.revision);
  });
  const expire = async (key: string, revision: number) => {
    const entry = resource.cache.get(key);
    if (entry?.revision !== revision) return;
    try {
      await writer.delete(resource, entry);
    } catch (error) {
      if (!(error instanceof StaleError)) log.warn('cannot delete an expired event', { key, error });
    }
  };
  const sweep = () => {
    const nowMs = clock.now();
    let due = 0;
    while (due < queue.length && due < deletionsAtOnce && (queue[due]?.dueMs ?? 0) <= nowMs) due++;
    for (const { key, revision } of queue.splice(0, due)) void expire(key, revision);
    cancel = clock.after(due === deletionsAtOnce ? 100 : sweepIntervalMs, sweep);
  };
  let cancel = clock.after(sweepIntervalMs, sweep);
  return {
    async [Symbol.asyncDispose]() {
      cancel();
      stopListening();
    },
  };
}
