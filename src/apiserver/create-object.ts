import { nameSuffix } from '#base/random.ts';
import { type ApiError, errors, isReason } from '#api/machinery/errors.ts';
import { trackUpdate } from '#api/machinery/apply/apply.ts';
import { applyDefaults } from '#api/machinery/defaults.ts';
import { type ApiObject, type Creator, type Draft, type Kind } from '#api/machinery/kind.ts';
import { validateObjectMeta } from '#api/machinery/object-meta-validation.ts';
import { type FieldError, Report } from '#api/machinery/validation.ts';
import { Admission } from './admit.ts';
import type { CachedObject } from './cache/entry.ts';
import type { Call, Foundation, WriteOptions } from './call.ts';
import { formatTime } from '#api/machinery/time.ts';
import { dedupeOwnerReferences, matchNamespace } from './metadata.ts';
import { keyOf, otherVersionsOf, type Resource, seenAgain } from './registry.ts';
import { StaleError } from './writer.ts';

/** What a write leaves: an entry of the cache, or with dryRun only the object. */
export type Written = { readonly entry: CachedObject } | { readonly entry: undefined; readonly object: ApiObject };

export interface CreateOptions extends WriteOptions {
  /** The owners of fields are already worked out (server-side apply). */
  readonly ownersKnown?: boolean;
  /** For createOnUpdate the name is the path's, and the operation asked of admission is a create all the same. */
  readonly name?: string;
}

/** Takes a decoded and defaulted object through admission and validation into the store. */
export async function createObject(
  call: Call,
  resource: Resource,
  draft: Draft<ApiObject>,
  options: CreateOptions,
): Promise<Written> {
  const { kind } = resource;
  const { clock } = call.foundation;
  const { metadata } = draft;
  const refusal = kind.refusesCreate?.();
  if (refusal !== undefined) throw errors.forbidden(kind, metadata.name ?? '', refusal);
  matchNamespace(metadata, call.info.namespace !== '' && kind.namespaced ? call.info.namespace : '');
  dedupeOwnerReferences(call, metadata, false);
  dropServerFields(draft);
  const nowMs = clock.now();
  if (options.ownersKnown !== true)
    trackUpdate({
      kind,
      versions: otherVersionsOf(call.foundation.registry, resource),
      old: undefined,
      updated: draft,
      manager: options.fieldManager,
      operation: 'Update',
      subresource: '',
      nowMs,
    });
  const admission = new Admission(call, kind, {
    operation: 'CREATE',
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    object: draft,
    old: undefined,
    options: admissionOptions('CreateOptions', options),
    dryRun: options.dryRun,
  });
  const admitting = admission.admit();
  if (admitting) await admitting;
  // Admission may have put another object in its place.
  dedupeOwnerReferences(call, draft.metadata, true);
  prepareForCreate(kind, draft, nowMs, call.foundation.random.uuid(), call.user);
  const { name = '', generateName = '' } = draft.metadata;
  const generated = name === '' && generateName !== '';
  for (let attempt = 1; ; attempt++) {
    if (generated) draft.metadata.name = generatedName(generateName, call);
    if (attempt === 1) {
      const preparing = kind.beforeValidation?.(draft as ApiObject);
      if (preparing) await preparing;
      validate(call, kind, draft);
      const judging = admission.validate();
      if (judging) await judging;
    }
    try {
      return await store(call.foundation, resource, draft, options.dryRun);
    } catch (error) {
      // Who owns what is the first thing to go when an object is too large.
      if (isReason(error, 'RequestEntityTooLarge') && draft.metadata.managedFields !== undefined) {
        delete draft.metadata.managedFields;
        continue;
      }
      if (!(error instanceof StaleError)) throw error;
      if (!generated) throw alreadyExists(resource, draft);
      if (attempt === generateNameAttemptsMax) throw errors.generateNameExhausted(kind, draft.metadata.name as string);
    }
  }
}

/** The options of a write as admission and webhooks see them. */
export function admissionOptions(kind: string, options: WriteOptions): Readonly<Record<string, unknown>> {
  return {
    kind,
    apiVersion: 'meta.k8s.io/v1',
    ...(options.dryRun && { dryRun: ['All'] }),
    fieldManager: options.fieldManager,
    fieldValidation: options.fieldValidation,
  };
}

/** Whether the kind counts changes of the wanted state. */
export function hasGeneration(kind: Kind): boolean {
  return kind.hasGeneration ?? Object.hasOwn(kind.schema.fields, 'spec');
}

const generateNameAttemptsMax = 8;
const generatedBaseLengthMax = 58;

/** Kinds whose creators say how they are: a kubelet registers its node with its status. */
const keepsStatusOnCreate = new Set(['Node']);

/** Puts an object that is ready into the store, with what it holds there (a Service its addresses). */
export async function store(
  { hooks, writer }: Foundation,
  resource: Resource,
  draft: Draft<ApiObject>,
  dryRun: boolean,
): Promise<Written> {
  const { metadata } = draft;
  const key = keyOf(resource.kind, metadata.namespace ?? '', metadata.name as string);
  const taking = hooks.allocate(resource.kind, draft as ApiObject, undefined, dryRun);
  const allocation = taking && (await taking);
  let entry: CachedObject | undefined;
  try {
    if (!dryRun) {
      if (Number(metadata.resourceVersion ?? 0) > 0)
        throw errors.other('', 'resourceVersion should not be set on objects to be created');
      entry = await writer.create(resource, key, draft as ApiObject);
    } else if (resource.cache.get(key)) throw new StaleError(`${key} exists`);
  } catch (error) {
    await allocation?.release();
    throw error;
  }
  if (!entry) return { entry, object: await seenAgain(resource, draft as ApiObject) };
  await allocation?.settle();
  return { entry };
}

const serverFields = [
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'selfLink',
  'uid',
  'creationTimestamp',
] as const;

function dropServerFields({ metadata }: Draft<ApiObject>): void {
  // Not deleted: that would make the object slow for good. Undefined is as good as absent.
  for (const field of serverFields) if (metadata[field] !== undefined) metadata[field] = undefined;
}

/** What the server itself says of an object that is new. */
export function prepareForCreate(
  kind: Kind,
  draft: Draft<ApiObject>,
  nowMs: number,
  uid: string,
  creator: Creator,
): void {
  const { metadata } = draft;
  dropServerFields(draft);
  metadata.uid = uid;
  metadata.creationTimestamp = formatTime(nowMs);
  if (hasGeneration(kind)) metadata.generation = 1;
  if (Object.hasOwn(kind.subresources, 'status') && !keepsStatusOnCreate.has(kind.kind)) emptyStatus(kind, draft);
  kind.prepareForCreate?.(draft, creator);
}

/** What the creator of an object says of its observed state does not count. */
function emptyStatus(kind: Kind, draft: Draft<ApiObject>): void {
  const holder = draft as { status?: unknown };
  if (kind.custom) {
    delete holder.status;
    return;
  }
  if (holder.status === undefined) return;
  const status = {};
  const field = kind.schema.fields['status'];
  if (field) applyDefaults(field.schema, status);
  holder.status = status;
}

function generatedName(base: string, call: Call): string {
  return base.slice(0, generatedBaseLengthMax) + nameSuffix(call.foundation.random);
}

function validate(call: Call, kind: Kind, draft: Draft<ApiObject>): void {
  const object = draft as ApiObject;
  const report = new Report();
  validateObjectMeta(kind, object.metadata, report.at('metadata'));
  kind.validate?.(object, report);
  kind.validateCreate?.(object, report);
  if (report.errors.length > 0) throw invalid(kind, object, report.errors);
  for (const warning of kind.warnings?.(object, undefined) ?? []) call.warn(warning);
}

/** Upstream judges what is stored, and names the group of that. */
export function invalid(kind: Kind, { metadata }: ApiObject, found: readonly FieldError[]): ApiError {
  return errors.invalid(kind.storedAs?.group ?? kind.group, kind.kind, metadata.name ?? '', found);
}

function alreadyExists({ kind, cache }: Resource, draft: Draft<ApiObject>): ApiError {
  const { namespace = '', name = '' } = draft.metadata;
  const error = errors.alreadyExists(kind, name);
  const deleting = cache.get(keyOf(kind, namespace, name))?.object.metadata.deletionTimestamp;
  if (deleting === undefined) return error;
  return errors.other('AlreadyExists', `object is being deleted: ${error.message}`, error.status.details);
}
