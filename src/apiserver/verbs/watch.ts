import { ApiError, errors } from '#api/machinery/errors.ts';
import type { ApiResponse } from '#client/transport.ts';
import type { CacheEvent } from '../cache/resource-cache.ts';
import { everything, selectionOf } from '../cache/selection.ts';
import type { Call } from '../call.ts';
import { includeObjectOf } from '../encoding/table.ts';
import { byteForm, objectForm } from '../encoding/watch-form.ts';
import { listOptionsOf } from '../list-options.ts';
import { integerIn, isGiven, isTrue } from '../query.ts';
import { nameInSelector } from '../request-info.ts';
import type { Resource } from '../registry.ts';
import { parseRevision } from '../resource-version.ts';
import { type WatchPlan, WatchStream } from '../watch-stream.ts';

export async function watch(call: Call, resource: Resource): Promise<ApiResponse> {
  const { request, info, foundation } = call;
  const { cache, clock } = foundation;
  const { query } = request;
  const { kind } = resource;
  const media = call.media({ protobuf: kind.custom !== true, transforms: true, stream: true });
  const selection = selectionOf(kind, info.labelSelector ?? '', fieldSelectorOf(call));
  const include = includeObjectOf(query);
  const { revision, sendsState, marksInitialEnd } = watchOptions(query);
  const timeoutMs = timeoutOf(call);
  // "" wants everything that is there now, a number everything since; 0 takes what the cache has.
  if (revision === undefined) await cache.catchUp();
  const prefix = kind.namespaced && info.namespace !== '' ? `${info.namespace}/` : '';
  const plan: WatchPlan = {
    resource,
    prefix,
    selection,
    beginning() {
      if (sendsState) {
        const floor = revision ?? 0;
        if (floor > cache.revision)
          return { refused: errors.tooLargeResourceVersion(String(floor), String(cache.revision)).status };
        // Who converts has to be asked before anybody can say whether an object is selected.
        const known = kind.convert ? everything : selection;
        return { state: resource.cache.select(prefix, known), revision: cache.revision };
      }
      const from = revision ?? cache.revision;
      try {
        const missed = resource.cache.since(from).filter((event: CacheEvent) => event.key.startsWith(prefix));
        return { missed, revision: Math.max(from, cache.revision) };
      } catch (error) {
        if (error instanceof ApiError) return { refused: error.status };
        throw error;
      }
    },
    bookmarks: isTrue(query.get('allowWatchBookmarks')),
    marksInitialEnd,
    timeoutMs,
    clock,
    currentRevision: () => cache.revision,
    signal: request.signal,
    onSent: foundation.metrics.watchEvents(kind),
    onReady: call.onWatchReady,
    onEnd: call.onWatchEnd,
  };
  if (sendsState && revision !== undefined && revision > cache.revision) await cache.waitFor(revision);
  const contentType =
    media.format === 'protobuf' ? 'application/vnd.kubernetes.protobuf;stream=watch' : 'application/json';
  return {
    kind: 'watch',
    code: 200,
    headers: { 'content-type': contentType },
    watch: {
      toObjects: sink => new WatchStream(plan, objectForm(resource), sink).start(),
      toBytes: sink =>
        new WatchStream(
          plan,
          byteForm(resource, media, include, () => clock.now()),
          sink,
        ).start(),
    },
  };
}

/** The deprecated path /watch/…/name watches one object; a selector beside it has to name the same one. */
function fieldSelectorOf({ info }: Call): string {
  const { fieldSelector = '', name } = info;
  if (name === '') return fieldSelector;
  if (fieldSelector === '') return `metadata.name=${name}`;
  if (nameInSelector(fieldSelector) !== name)
    throw errors.badRequest("fieldSelector metadata.name doesn't match requested name");
  return fieldSelector;
}

interface WatchOptions {
  /** Undefined: the newest. */
  readonly revision: number | undefined;
  readonly sendsState: boolean;
  readonly marksInitialEnd: boolean;
}

function watchOptions(query: URLSearchParams): WatchOptions {
  const { resourceVersion, sendInitialEvents } = listOptionsOf(query, true);
  const isAsked = isGiven(query, 'sendInitialEvents') === true;
  integerIn(query, 'limit');
  const revision = resourceVersion === '' ? undefined : parseRevision(resourceVersion);
  // Who wants only what comes wants nothing of what the cache has.
  if (sendInitialEvents !== true)
    return { revision: revision === 0 ? undefined : revision, sendsState: false, marksInitialEnd: false };
  return { revision, sendsState: true, marksInitialEnd: isAsked && isTrue(query.get('allowWatchBookmarks')) };
}

const timeoutSecondsMin = 1_800;

function timeoutOf({ request, foundation }: Call): number {
  const seconds = integerIn(request.query, 'timeoutSeconds') ?? 0;
  return (seconds > 0 ? seconds : timeoutSecondsMin * (1 + foundation.random.next())) * 1000;
}
