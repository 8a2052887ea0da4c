import { ApiError, errors } from '#api/machinery/errors.ts';
import { apiVersionOf, listKindOf } from '#api/machinery/kind.ts';
import { encodeMessage, listProtobufChunks } from '#api/machinery/protobuf.ts';
import type { ApiResponse } from '#client/transport.ts';
import { objectMedia } from '../answer.ts';
import { internalType } from '../body.ts';
import type { CachedObject } from '../cache/entry.ts';
import { everything, type Selection, selectionOf } from '../cache/selection.ts';
import type { Call } from '../call.ts';
import { listOptionsOf } from '../list-options.ts';
import { formatContinue, parseContinue } from '../continue-token.ts';
import { partialKinds } from '../encoding/meta-kinds.ts';
import { entryMessage, itemJson } from '../encoding/object.ts';
import { partialOf } from '../encoding/partial.ts';
import { includeObjectOf, tableOf } from '../encoding/table.ts';
import { contentTypes, type Media } from '../media-type.ts';
import { integerIn } from '../query.ts';
import { type Resource, viewOf, viewsReady } from '../registry.ts';
import { listRevision } from '../resource-version.ts';

export async function list(call: Call, resource: Resource): Promise<ApiResponse> {
  const media = objectMedia(call, resource);
  if (media.as === 'PartialObjectMetadata')
    throw errors.notAcceptable(
      `you requested PartialObjectMetadata, but the requested object is a list (*${internalType(resource.kind)}List)`,
    );
  const page = await readPage(call, resource);
  return pageResponse(call, resource, page, media);
}

/** What a list answers with: entries as of one revision. */
export interface Page {
  readonly entries: readonly CachedObject[];
  readonly metadata: ListMetadata;
}

interface ListMetadata {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** The page that the query asks for, from the cache. */
export async function readPage(call: Call, resource: Resource): Promise<Page> {
  const { info, request } = call;
  const { query } = request;
  const { kind } = resource;
  const selection = selectionOf(kind, info.labelSelector ?? '', info.fieldSelector ?? '');
  const limit = Math.max(0, integerIn(query, 'limit') ?? 0);
  // Only a watch uses it, but a list with nonsense is refused as well.
  integerIn(query, 'timeoutSeconds');
  const { continue: token } = listOptionsOf(query, false);
  const prefix = kind.namespaced && info.namespace !== '' ? `${info.namespace}/` : '';
  if (kind.convert && selection.matches) return convertedPage(call, resource, prefix, selection, limit, token);
  const page = await (token === ''
    ? firstPage(call, resource, prefix, selection, limit)
    : nextPage(call, resource, prefix, selection, limit, token));
  const ready = viewsReady(resource, page.entries);
  if (ready) await ready;
  return page;
}

/** Only the converted objects can be asked whether they are selected: what a page lacks is taken from those behind it. */
async function convertedPage(
  call: Call,
  resource: Resource,
  prefix: string,
  selection: Selection,
  limit: number,
  token: string,
): Promise<Page> {
  const entries: CachedObject[] = [];
  let next = token;
  for (;;) {
    const missing = limit === 0 ? 0 : limit - entries.length;
    const page = await (next === ''
      ? firstPage(call, resource, prefix, everything, missing)
      : nextPage(call, resource, prefix, everything, missing, next));
    await viewsReady(resource, page.entries);
    entries.push(...page.entries.filter(entry => selection.matches?.(viewOf(resource, entry)) ?? true));
    const { remainingItemCount: _unknown, ...metadata } = page.metadata;
    next = metadata.continue ?? '';
    if (next === '' || entries.length >= limit) return { entries, metadata };
  }
}

async function firstPage(
  call: Call,
  resource: Resource,
  prefix: string,
  selection: Selection,
  limit: number,
): Promise<Page> {
  const { query } = call.request;
  const { cache } = call.foundation;
  const asked = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  const revision = asked === '' ? 0 : listRevision(asked);
  if (asked === '') await cache.catchUp();
  else if (revision > cache.revision) await cache.waitFor(revision);
  const exact = match === 'Exact' || (match === '' && limit > 0 && revision > 0);
  const asOf = exact ? revision : cache.revision;
  return cut(resource, prefix, selection, limit, asOf, prefix);
}

async function nextPage(
  call: Call,
  resource: Resource,
  prefix: string,
  selection: Selection,
  limit: number,
  token: string,
): Promise<Page> {
  const { cache } = call.foundation;
  const { revision, start } = parseContinue(token, prefix);
  const version = call.request.query.get('resourceVersion') ?? '';
  if (version !== '' && version !== '0')
    throw errors.badRequest('specifying resource version is not allowed when using continue');
  // A token handed out with an expired one goes on at the newest revision.
  const asOf = revision < 0 ? cache.revision : revision;
  if (asOf > cache.revision) await cache.waitFor(asOf);
  try {
    return cut(resource, prefix, selection, limit, asOf, start);
  } catch (error) {
    if (error instanceof ApiError && error.reason === 'Expired') throw expiredContinue(prefix, start);
    throw error;
  }
}

function cut(
  resource: Resource,
  prefix: string,
  selection: Selection,
  limit: number,
  revision: number,
  start: string,
): Page {
  const { cache } = resource;
  const resourceVersion = String(revision);
  if (!cache.changedSince(revision)) {
    const entries = cache.select(prefix, selection, start, limit > 0 ? limit + 1 : undefined);
    if (limit === 0 || entries.length <= limit) return { entries, metadata: { resourceVersion } };
    const kept = entries.slice(0, limit);
    const from = `${(kept.at(-1) as CachedObject).key}\0`;
    return { entries: kept, metadata: more(revision, prefix, from, selection, cache.count(prefix, from)) };
  }
  const all = cache.selectAsOf(revision, prefix, selection, start);
  if (limit === 0 || all.length <= limit) return { entries: all, metadata: { resourceVersion } };
  const kept = all.slice(0, limit);
  const from = `${(kept.at(-1) as CachedObject).key}\0`;
  return { entries: kept, metadata: more(revision, prefix, from, selection, all.length - limit) };
}

/** How many remain is only known without selectors, as upstream tells it. */
function more(revision: number, prefix: string, start: string, selection: Selection, remaining: number): ListMetadata {
  return {
    resourceVersion: String(revision),
    continue: formatContinue(revision, prefix, start),
    ...(selection.labels.length === 0 && selection.fields.length === 0 && { remainingItemCount: remaining }),
  };
}

function expiredContinue(prefix: string, start: string): ApiError {
  const status = errors.expired(
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
  ).status;
  return new ApiError({ ...status, metadata: { continue: formatContinue(-1, prefix, start) } });
}

function pageResponse(call: Call, resource: Resource, page: Page, media: Media): ApiResponse {
  const { kind } = resource;
  const headers = { 'content-type': contentTypes[media.format] };
  if (media.as === 'Table') {
    const form = {
      version: media.asVersion,
      include: includeObjectOf(call.request.query),
      nowMs: call.foundation.clock.now(),
    };
    const objects = page.entries.map(entry => viewOf(resource, entry));
    return call.valueResponse(200, tableOf(kind, objects, { ...page.metadata }, form), media);
  }
  if (media.as === 'PartialObjectMetadataList') return partialListResponse(call, resource, page, media);
  const object = () => ({
    kind: listKindOf(kind),
    apiVersion: apiVersionOf(kind),
    metadata: page.metadata,
    items: page.entries.map(entry => viewOf(resource, entry)),
  });
  const bytes = () => {
    if (media.format === 'protobuf') return protobufList(resource, page);
    if (media.format === 'json' && !media.pretty) return jsonList(resource, page);
    return plainList(call, object(), media);
  };
  return {
    kind: 'object',
    code: 200,
    headers,
    get object() {
      return object();
    },
    bytes,
  };
}

const comma = Buffer.from(',');
const listEnd = Buffer.from(']}\n');

/** The cached bytes of the items between commas: nothing is serialised again. */
function jsonList(resource: Resource, { entries, metadata }: Page): readonly Uint8Array[] {
  const head = `{"kind":"${resource.kind.kind}List","apiVersion":"${apiVersionOf(resource.kind)}","metadata":${JSON.stringify(metadata)},"items":[`;
  const chunks: Uint8Array[] = [Buffer.from(head)];
  for (let index = 0; index < entries.length; index++) {
    if (index > 0) chunks.push(comma);
    chunks.push(itemJson(resource, entries[index] as CachedObject));
  }
  chunks.push(listEnd);
  return chunks;
}

function protobufList(resource: Resource, { entries, metadata }: Page): readonly Uint8Array[] {
  return [
    ...listProtobufChunks(
      resource.kind,
      metadata,
      entries.map(entry => entryMessage(resource, entry)),
    ),
  ];
}

function plainList(call: Call, value: { readonly items: readonly object[] }, media: Media): readonly Uint8Array[] {
  const items = value.items.map(item => {
    const { apiVersion: _apiVersion, kind: _kind, ...rest } = item as Record<string, unknown>;
    return rest;
  });
  return (call.valueResponse(200, { ...value, items }, media) as { bytes(): readonly Uint8Array[] }).bytes();
}

function partialListResponse(call: Call, resource: Resource, page: Page, media: Media): ApiResponse {
  const items = page.entries.map(entry => partialOf(viewOf(resource, entry), media.asVersion));
  const object = {
    kind: 'PartialObjectMetadataList',
    apiVersion: `meta.k8s.io/${media.asVersion}`,
    metadata: page.metadata,
    items,
  };
  if (media.format !== 'protobuf') return call.valueResponse(200, object, media);
  const kind = partialKinds[media.asVersion];
  return {
    kind: 'object',
    code: 200,
    headers: { 'content-type': contentTypes.protobuf },
    object,
    bytes: () => [
      ...listProtobufChunks(
        kind,
        page.metadata,
        items.map(item => encodeMessage(kind.schema, item)),
      ),
    ],
  };
}
