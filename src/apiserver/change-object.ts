import { deepEqual } from '#base/deep-equal.ts';
import { trackUpdate } from '#api/machinery/apply/apply.ts';
import { errors } from '#api/machinery/errors.ts';
import type { ApiObject, Draft, Kind } from '#api/machinery/kind.ts';
import { validateObjectMetaUpdate } from '#api/machinery/object-meta-validation.ts';
import { Report } from '#api/machinery/validation.ts';
import { Admission } from './admit.ts';
import type { CachedObject } from './cache/entry.ts';
import { prefix, storageKey } from './cache/watch-cache.ts';
import type { Call, WriteOptions } from './call.ts';
import { admissionOptions, hasGeneration, invalid, type Written } from './create-object.ts';
import { dedupeOwnerReferences, matchName, matchNamespace } from './metadata.ts';
import { existing, keyOf, otherVersionsOf, type Resource, seenAgain, viewOf, viewsReady } from './registry.ts';
import { StaleError } from './writer.ts';

/** One change of one object. */
export interface Change {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
  /** Empty for the object itself. */
  readonly subresource: string;
  readonly options: WriteOptions;
  /** Makes the wanted object from the current one; called again when somebody else was faster. May be changed afterwards. */
  produce(current: ApiObject): Promise<Draft<ApiObject>> | Draft<ApiObject>;
  /** Who owns which fields is already worked out (server-side apply). */
  readonly ownersKnown?: boolean;
  /** In place of the kind's own rules: what a subresource may change, and how that is judged. */
  readonly rules?: ChangeRules;
  /** Admission has judged something else in place of the object: the body of `pods/x/binding`. */
  readonly quiet?: boolean;
}

export interface ChangeRules {
  /** Puts back what the subresource may not change. */
  prepare(draft: Draft<ApiObject>, old: ApiObject): void;
  validate(object: ApiObject, old: ApiObject, report: Report): void;
}

/** Reads, changes, admits, validates and writes an object, again and again until nobody was faster. */
export async function changeObject(call: Call, change: Change): Promise<Written> {
  const { resource, namespace, name } = change;
  const key = keyOf(resource.kind, namespace, name);
  return call.foundation.writer.exclusively(resource, key, async () => {
    for (let attempt = 1; ; attempt++) {
      const entry = existing(resource, namespace, name);
      try {
        return await changeOnce(call, change, entry);
      } catch (error) {
        if (!(error instanceof StaleError)) throw error;
        if (attempt === attemptsMax) throw errors.modified(resource.kind, name);
      }
    }
  });
}

/** Upstream tries a patch five times; several API servers on one etcd make us lose now and then. */
const attemptsMax = 10;

async function changeOnce(call: Call, change: Change, entry: CachedObject): Promise<Written> {
  const { resource, subresource, options } = change;
  const { kind } = resource;
  const ready = viewsReady(resource, [entry]);
  if (ready) await ready;
  const old = viewOf(resource, entry);
  const draft = await change.produce(old);
  checkIdentity(call, change, draft, entry);
  const { metadata } = draft;
  dedupeOwnerReferences(call, metadata, false);
  keepServerFields(metadata, old.metadata);
  const rules = change.rules ?? (subresource === 'status' ? statusRules(call, kind) : mainRules(call, kind));
  // Fields that this path may not change have no owner on it.
  rules.prepare(draft, old);
  if (change.ownersKnown !== true)
    trackUpdate({
      kind,
      versions: otherVersionsOf(call.foundation.registry, resource),
      old,
      updated: draft,
      manager: options.fieldManager,
      operation: 'Update',
      subresource,
      nowMs: call.foundation.clock.now(),
    });
  const admission = change.quiet === true ? undefined : admissionOf(call, change, draft, old);
  const admitting = admission?.admit();
  if (admitting) await admitting;
  dedupeOwnerReferences(call, draft.metadata, true);
  rules.prepare(draft, old);
  // Not `metadata`: tracking and admission may have put another object in its place.
  if (old.metadata.generation === undefined) delete draft.metadata.generation;
  else draft.metadata.generation = old.metadata.generation;
  if (!call.foundation.hooks.changes(kind)) shareUnchanged(draft, old);
  if (!leavesGeneration.has(subresource) && hasGeneration(kind) && !sameSpec(kind, draft, old))
    draft.metadata.generation = Number(old.metadata.generation ?? 0) + 1;
  const object = draft as ApiObject;
  const preparing = kind.beforeValidation?.(object);
  if (preparing) await preparing;
  validate(call, kind, object, old, rules, subresource === '' ? 'update' : 'status');
  const judging = admission?.validate();
  if (judging) await judging;
  return store(call, resource, entry, object, old, options.dryRun);
}

/** What is written there is nobody's wish: where a pod goes is found, not asked for. */
const leavesGeneration: ReadonlySet<string> = new Set(['status', 'binding']);

function admissionOf(
  call: Call,
  { resource, subresource, options }: Change,
  draft: Draft<ApiObject>,
  old: ApiObject,
): Admission {
  return new Admission(call, resource.kind, {
    operation: 'UPDATE',
    subresource,
    namespace: draft.metadata.namespace ?? '',
    name: draft.metadata.name ?? '',
    object: draft,
    old,
    options: admissionOptions('UpdateOptions', options),
    dryRun: options.dryRun,
  });
}

async function store(
  call: Call,
  resource: Resource,
  entry: CachedObject,
  object: ApiObject,
  old: ApiObject,
  dryRun: boolean,
): Promise<Written> {
  const { writer, hooks } = call.foundation;
  const taking = hooks.allocate(resource.kind, object, old, dryRun);
  const allocation = taking && (await taking);
  if (dryRun) return { entry: undefined, object: await seenAgain(resource, object) };
  let written: CachedObject | undefined;
  try {
    if (isFinished(resource.kind, object)) await writer.delete(resource, entry);
    else written = await writer.update(resource, entry, object);
  } catch (error) {
    await allocation?.release();
    throw error;
  }
  await allocation?.settle();
  if (written) return { entry: written };
  await hooks.deleted(resource.kind, object);
  return { entry: undefined, object };
}

/** The last finalizer of an object that is being deleted is gone, and nobody grants it more time. */
function isFinished(kind: Kind, { metadata, ...rest }: ApiObject): boolean {
  if (!metadata.deletionTimestamp || (metadata.finalizers ?? []).length > 0) return false;
  if (Number(metadata.deletionGracePeriodSeconds ?? 0) > 0) return false;
  return remainingNamespaceFinalizers(kind, rest) === 0;
}

/** Namespaces have finalizers of their own in the spec, which the namespace controller takes away. */
export function remainingNamespaceFinalizers(kind: Kind, object: object): number {
  if (kind.group !== '' || kind.kind !== 'Namespace') return 0;
  return (object as { spec?: { finalizers?: readonly string[] } }).spec?.finalizers?.length ?? 0;
}

function checkIdentity(
  call: Call,
  { resource, namespace, name, options }: Change,
  draft: Draft<ApiObject>,
  entry: CachedObject,
): void {
  const { kind } = resource;
  const { metadata } = draft;
  matchNamespace(metadata, kind.namespaced ? namespace : '');
  matchName(metadata, name);
  const { uid } = entry.object.metadata;
  if ((metadata.uid ?? '') !== '' && metadata.uid !== uid) {
    // Only who sends a whole object says by its uid which one is meant.
    if (call.info.verb === 'patch')
      throw errors.invalid(kind.group, kind.kind, name, [
        {
          type: 'FieldValueInvalid',
          field: 'metadata.uid',
          message: `Invalid value: ${JSON.stringify(metadata.uid)}: field is immutable`,
        },
      ]);
    throw errors.conflict(
      kind,
      name,
      `StorageError: invalid object, Code: 4, Key: ${preconditionKey(resource, entry, options)}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${metadata.uid}, UID in object meta: ${uid}`,
    );
  }
  const version = metadata.resourceVersion ?? '';
  if (version === '' || version === '0') {
    if (kind.requiresResourceVersion === true || kind.custom === true)
      // Upstream names the resource here, not the kind.
      throw errors.invalid(kind.group, kind.plural, name, [
        {
          type: 'FieldValueInvalid',
          field: 'metadata.resourceVersion',
          message: 'Invalid value: 0: must be specified for an update',
        },
      ]);
  } else if (version !== String(entry.revision)) {
    if (!/^\d+$/.test(version))
      throw errors.other('', `strconv.ParseUint: parsing ${JSON.stringify(version)}: invalid syntax`);
    throw errors.modified(kind, name);
  }
  metadata.resourceVersion = String(entry.revision);
}

/** Where nothing is written upstream looks for the object without the store's own prefix. */
function preconditionKey({ storedKind }: Resource, { key }: CachedObject, { dryRun }: WriteOptions): string {
  return storageKey(storedKind, key).slice(dryRun ? prefix.length - 1 : 0);
}

type Metadata = Draft<ApiObject>['metadata'];
type Body = Record<string, unknown>;

/** What a client leaves out of these is meant as it was; another value is refused by validation. */
function keepServerFields(metadata: Metadata, old: ApiObject['metadata']): void {
  metadata.uid = old.uid;
  metadata.creationTimestamp = old.creationTimestamp;
  if (metadata.selfLink !== undefined) metadata.selfLink = undefined;
  if (old.deletionTimestamp !== undefined) metadata.deletionTimestamp = old.deletionTimestamp;
  if (old.deletionGracePeriodSeconds !== undefined)
    metadata.deletionGracePeriodSeconds ??= old.deletionGracePeriodSeconds;
  if (old.generation === undefined) delete metadata.generation;
  else metadata.generation = old.generation;
}

interface WithStatus {
  status?: unknown;
}

/** The object's own path: everything but the status. */
function mainRules(call: Call, kind: Kind): ChangeRules {
  const hasStatus = Object.hasOwn(kind.subresources, 'status');
  return {
    prepare(draft, old) {
      if (hasStatus) keepStatus(draft as WithStatus, old as WithStatus);
      kind.prepareForUpdate?.(draft, old);
    },
    validate(object, old, report) {
      if (!kind.changeRules) kind.validate?.(object, report);
      kind.validateUpdate?.(object, old, report);
      if (kind.changeRules === 'first') kind.validate?.(object, report);
    },
  };
}

function keepStatus(draft: WithStatus, old: WithStatus): void {
  if (draft.status === old.status) return;
  draft.status = old.status;
}

/** The path of the status: nothing else, except labels and annotations of built-in kinds. */
function statusRules(call: Call, kind: Kind): ChangeRules {
  const { clock } = call.foundation;
  return {
    prepare(draft, old) {
      const fields = draft as unknown as Body;
      const before = old as unknown as Readonly<Body>;
      for (const name of Object.keys(fields))
        if (!statusPathFields.has(name) && fields[name] !== before[name]) fields[name] = before[name];
      for (const name of Object.keys(before))
        if (!statusPathFields.has(name) && fields[name] !== before[name]) fields[name] = before[name];
      if (kind.custom) {
        const { managedFields } = draft.metadata;
        draft.metadata = { ...(old.metadata as Metadata) };
        if (managedFields !== undefined) draft.metadata.managedFields = managedFields;
      }
      const [metadata, metadataBefore] = [draft.metadata as Body, old.metadata as Readonly<Body>];
      for (const name of kind.statusKeeps ?? [])
        if (metadata[name] !== metadataBefore[name]) metadata[name] = metadataBefore[name];
      kind.prepareForStatusUpdate?.(draft, old, clock.now());
    },
    validate(object, old, report) {
      if (kind.validateStatusUpdate) kind.validateStatusUpdate(object, old, report);
      else if (kind.custom) kind.validate?.(object, report);
    },
  };
}

const statusPathFields = new Set(['apiVersion', 'kind', 'metadata', 'status']);

/**
 * Puts what is as it was, but metadata, in the place of its copy: one is kept, and whoever compares sees it at once. After
 * this nobody changes the draft but hooks.
 */
function shareUnchanged(draft: object, old: object): void {
  const now = draft as Record<string, unknown>;
  const before = old as Readonly<Record<string, unknown>>;
  for (const name in now)
    if (name !== 'metadata' && now[name] !== before[name] && deepEqual(now[name], before[name]))
      now[name] = before[name];
}

/**
 * Everything but metadata and status; a custom kind without a status path has no status that is different from the rest.
 * What did not change is shared.
 */
function sameSpec(kind: Kind, draft: object, old: object): boolean {
  const ownStatus = kind.custom === true && !Object.hasOwn(kind.subresources, 'status');
  const now = draft as Readonly<Record<string, unknown>>;
  const before = old as Readonly<Record<string, unknown>>;
  const isSame = (name: string) =>
    now[name] === before[name] || (name === 'status' ? !ownStatus : statusPathFields.has(name));
  for (const name in now) if (!isSame(name)) return false;
  for (const name in before) if (!isSame(name)) return false;
  return true;
}

function validate(
  call: Call,
  kind: Kind,
  object: ApiObject,
  old: ApiObject,
  rules: ChangeRules,
  path: 'update' | 'status',
): void {
  const report = new Report();
  validateObjectMetaUpdate(kind, object.metadata, old.metadata, report.at('metadata'), path);
  rules.validate(object, old, report);
  for (const warning of report.warnings) call.warn(warning);
  if (report.errors.length > 0) throw invalid(kind, object, report.errors);
  // What upstream warns of stands in the spec.
  if (path === 'update') for (const warning of kind.warnings?.(object, old) ?? []) call.warn(warning);
}
