import { errors } from '#api/machinery/errors.ts';
import type { ApiObject, Draft, Kind } from '#api/machinery/kind.ts';
import { Admission } from './admit.ts';
import type { CachedObject } from './cache/entry.ts';
import type { Call } from './call.ts';
import { remainingNamespaceFinalizers } from './change-object.ts';
import { hasGeneration } from './create-object.ts';
import { formatTime } from '#api/machinery/time.ts';
import { existing, keyOf, type Resource, viewOf, viewsReady } from './registry.ts';
import { StaleError } from './writer.ts';

/** metav1.DeleteOptions, decoded and checked. */
export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
  readonly orphanDependents?: boolean;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun: boolean;
}

export interface Deleted {
  /** Gone, or only marked and waiting for finalizers, or for its grace to pass. */
  readonly gone: boolean;
  readonly object: ApiObject;
  /** What the cache has of it, or had last. */
  readonly entry?: CachedObject;
}

/** Deletes an object, or begins to: finalizers and grace decide. `precheck` runs on the object as it is then. */
export async function deleteObject(
  call: Call,
  resource: Resource,
  namespace: string,
  name: string,
  options: DeleteOptions,
  precheck?: (object: ApiObject) => void,
): Promise<Deleted> {
  const key = keyOf(resource.kind, namespace, name);
  return call.foundation.writer.exclusively(resource, key, async () => {
    for (let attempt = 1; ; attempt++) {
      const entry = existing(resource, namespace, name);
      try {
        const ready = viewsReady(resource, [entry]);
        if (ready) await ready;
        const object = viewOf(resource, entry);
        checkPreconditions(resource.kind, object, options);
        precheck?.(object);
        return await deleteOnce(call, resource, entry, object, options);
      } catch (error) {
        if (!(error instanceof StaleError)) throw error;
        if (attempt === attemptsMax) throw errors.modified(resource.kind, name);
      }
    }
  });
}

const attemptsMax = 10;

async function deleteOnce(
  call: Call,
  resource: Resource,
  entry: CachedObject,
  object: ApiObject,
  options: DeleteOptions,
): Promise<Deleted> {
  const { kind } = resource;
  const { metadata } = object;
  const admission = new Admission(call, kind, {
    operation: 'DELETE',
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    object: undefined,
    old: object,
    options: { kind: 'DeleteOptions', apiVersion: 'meta.k8s.io/v1', ...options, dryRun: options.dryRun ? ['All'] : [] },
    dryRun: options.dryRun,
  });
  await admission.admit();
  await admission.validate();
  const { writer, hooks, clock } = call.foundation;
  const marked = markedForDeletion(kind, object, options, clock.now());
  if (marked === 'pending') return { gone: false, object, entry };
  if (marked === 'now') {
    if (options.dryRun) return { gone: true, object: atItsEnd(kind, object, clock.now()) };
    const deleted = await writer.delete(resource, entry);
    await hooks.deleted(kind, object);
    return {
      gone: true,
      // Most answers are made of the entry's bytes.
      get object() {
        return atItsEnd(kind, viewOf(resource, deleted), clock.now());
      },
      ...(!kind.graceSeconds && { entry: deleted }),
    };
  }
  if (options.dryRun) return { gone: false, object: marked };
  const updated = await writer.update(resource, entry, marked);
  return { gone: false, object: viewOf(resource, updated), entry: updated };
}

function checkPreconditions(kind: Kind, { metadata }: ApiObject, { preconditions }: DeleteOptions): void {
  const { uid, resourceVersion } = preconditions ?? {};
  const name = metadata.name ?? '';
  const told = { group: kind.group, plural: kind.kind };
  if (uid !== undefined && uid !== metadata.uid)
    throw errors.conflict(
      told,
      name,
      `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`,
    );
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion)
    throw errors.conflict(
      told,
      name,
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`,
    );
}

/** The object as it waits for its end; `now`: nothing keeps it; `pending`: it waits already. */
function markedForDeletion(
  kind: Kind,
  object: ApiObject,
  options: DeleteOptions,
  nowMs: number,
): ApiObject | 'now' | 'pending' {
  const grace = gracefulness(kind, object, options);
  if (grace === 'pending') return 'pending';
  const prepared = preparedForDelete(kind, object, nowMs);
  const finalizers = finalizersFor(kind, prepared.metadata.finalizers ?? [], options);
  const blocked = finalizers.length > 0 || remainingNamespaceFinalizers(kind, object) > 0;
  const graceSeconds = grace === 'none' ? 0 : grace;
  if (!blocked && graceSeconds === 0) return 'now';
  const draft = prepared === object ? draftOf(object) : (prepared as Draft<ApiObject>);
  const { metadata } = draft;
  if (finalizers.length > 0 || metadata.finalizers) metadata.finalizers = finalizers;
  if (grace !== 'none') mark(kind, metadata, graceSeconds, nowMs);
  else if (isOnlyTimed(kind)) metadata.deletionTimestamp ??= formatTime(nowMs);
  else if (metadata.deletionTimestamp === undefined || metadata.deletionGracePeriodSeconds === undefined)
    mark(kind, metadata, 0, nowMs);
  if (kind.group === '' && kind.kind === 'Namespace') terminate(draft);
  return draft as ApiObject;
}

/** Upstream marks these by itself, and tells neither grace nor generation. */
function isOnlyTimed({ group, kind }: Kind): boolean {
  return (
    (group === '' && kind === 'Namespace') || (group === 'apiextensions.k8s.io' && kind === 'CustomResourceDefinition')
  );
}

/** What had grace ends with a grace of zero. */
function atItsEnd(kind: Kind, object: ApiObject, nowMs: number): ApiObject {
  if (!kind.graceSeconds) return object;
  const draft = draftOf(object);
  mark(kind, draft.metadata, 0, nowMs);
  return draft as ApiObject;
}

function draftOf(object: ApiObject): Draft<ApiObject> {
  return { ...object, metadata: { ...object.metadata } } as Draft<ApiObject>;
}

/** What a kind does to an object when its deletion begins. */
function preparedForDelete(kind: Kind, object: ApiObject, nowMs: number): ApiObject {
  if (!kind.prepareForDelete || object.metadata.deletionTimestamp !== undefined) return object;
  const draft = draftOf(object);
  kind.prepareForDelete(draft, nowMs);
  return draft as ApiObject;
}

function mark(kind: Kind, metadata: Draft<ApiObject>['metadata'], graceSeconds: number, nowMs: number): void {
  const first = metadata.deletionTimestamp === undefined;
  const requestedMs = first
    ? nowMs
    : Date.parse(metadata.deletionTimestamp as string) - Number(metadata.deletionGracePeriodSeconds ?? 0) * 1000;
  const endMs = requestedMs + graceSeconds * 1000;
  // Grace that is shortened to what has passed already ends now, but somebody still has to see that.
  const isOver = !first && endMs < nowMs;
  metadata.deletionTimestamp = formatTime(isOver ? nowMs : endMs);
  metadata.deletionGracePeriodSeconds = isOver && graceSeconds > 0 ? 1 : graceSeconds;
  if (first && hasGeneration(kind) && Number(metadata.generation ?? 0) > 0)
    metadata.generation = Number(metadata.generation) + 1;
}

/** Seconds the object is granted; `none`: the kind knows no grace. It may only get shorter. */
function gracefulness(
  kind: Kind,
  object: ApiObject,
  { gracePeriodSeconds }: DeleteOptions,
): number | 'none' | 'pending' {
  if (!kind.graceSeconds) return 'none';
  const { deletionTimestamp, deletionGracePeriodSeconds: current } = object.metadata;
  const requested = gracePeriodSeconds !== undefined && gracePeriodSeconds < 0 ? 1 : gracePeriodSeconds;
  if (deletionTimestamp === undefined) return kind.graceSeconds(object, requested);
  if (current === undefined) return 'none';
  if (requested === undefined || requested >= Number(current)) return 'pending';
  return requested;
}

const orphan = 'orphan';
const foreground = 'foregroundDeletion';

/** The garbage collector's two finalizers as the request, or else the object itself, wants them. */
function finalizersFor(kind: Kind, finalizers: readonly string[], options: DeleteOptions): string[] {
  const kept = finalizers.filter(each => each !== orphan && each !== foreground);
  if (kind.garbageCollected === false) return kept;
  const { propagationPolicy, orphanDependents } = options;
  const orphans = orphanDependents ?? (propagationPolicy ? propagationPolicy === 'Orphan' : undefined);
  const isKept = finalizers.includes(orphan) || (kind.orphansByDefault === true && !finalizers.includes(foreground));
  if (orphans ?? isKept) return [...kept, orphan];
  const waits =
    orphanDependents === undefined &&
    (propagationPolicy ? propagationPolicy === 'Foreground' : finalizers.includes(foreground));
  return waits ? [...kept, foreground] : kept;
}

function terminate(draft: Draft<ApiObject>): void {
  const namespace = draft as { status?: Record<string, unknown> };
  namespace.status = { ...namespace.status, phase: 'Terminating' };
}
