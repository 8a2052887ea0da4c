import { deepEqual } from '#base/deep-equal.ts';
import type { ManagedFieldsEntry, ObjectMeta } from '../../meta/v1/object-meta.ts';
import type { JsonDraft } from '../decode.ts';
import { errors } from '../errors.ts';
import { decodeJson, encodeJson } from '../json.ts';
import { apiVersionOf, type Kind } from '../kind.ts';
import { resolve, type Json, type JsonObject, type Schema } from '../schema.ts';
import { formatTime } from '../time.ts';
import { isAlwaysWritten, zeroOf } from '../zero.ts';
import { compareObjects, type Comparison } from './compare.ts';
import {
  differenceOf,
  emptySet,
  formatPath,
  intersectionOf,
  isEmptySet,
  leaf,
  pathsOf,
  unionOf,
  type FieldSet,
} from './field-set.ts';
import {
  capUpdateManagers,
  conflictsWith,
  entryOf,
  giveToUpdater,
  ownerKey,
  readOwners,
  takeFromOthers,
  writeOwners,
  type Owner,
} from './managed-fields.ts';
import { pooled } from './field-set-pool.ts';
import { fieldSetOf, mergeObjects, withNamedFields, withoutEmptied, withoutPaths } from './merge.ts';
import { reconciled } from './reconcile.ts';
import { resetFilterOf, type ResetFilter } from './reset-fields.ts';
import { KnownShapes, shapeOf } from './shape.ts';
import { isObject, structureOf, type Structure } from './structure.ts';
import { misfitMessage, misfitsOf } from './typed.ts';

/** What ownership needs to know of a kind. */
export type AppliedKind = Pick<Kind, 'group' | 'version' | 'kind' | 'plural' | 'schema' | 'custom' | 'subresources'>;

/** Another version of a kind, for the fields that somebody owns in it. */
export interface OtherVersion {
  readonly kind: AppliedKind;
  /** An object of the version that is asked about as one of this one. */
  convert(object: JsonObject): JsonObject;
  /** And back. */
  revert(object: JsonObject): JsonObject;
}

/** By apiVersion; undefined for one that is not known any longer, whose entries go. */
export type OtherVersions = (apiVersion: string) => OtherVersion | undefined;

export interface ApplyRequest {
  readonly kind: AppliedKind;
  /** Without it, entries of other versions are looked at as if they were of this one. */
  readonly versions?: OtherVersions;
  /** Undefined creates. */
  readonly live: object | undefined;
  /** The configuration as it was sent: decoded, without defaults. */
  readonly applied: object;
  readonly manager: string;
  readonly force: boolean;
  readonly subresource?: string;
  readonly nowMs: number;
}

export interface Applied {
  /** Shares with `live` what did not change; not defaulted. Its metadata.managedFields are set. */
  readonly object: JsonDraft;
  readonly managedFields: readonly ManagedFieldsEntry[];
}

/**
 * Server-side apply: merges a configuration into the live object, takes what only this manager had and no longer sets,
 * and keeps account of who owns what. Throws an ApiError: 409 when others own what would change, 400 and 500 as upstream.
 */
export function applyObject(request: ApplyRequest): Applied {
  const { kind, manager, force, subresource = '', nowMs } = request;
  const applied = request.applied as JsonObject;
  checkConfiguration(kind, applied, request.live);
  const structure = structureOf(kind.schema);
  const live = withoutManagedFields((request.live ?? emptyObject(kind)) as JsonObject);
  const before = entriesOf(request.live);
  const owners = readOwners(before);
  if (owners === undefined) throw unexpected('failed to decode managed fields: malformed entry');
  if (owners.size === 0) claimExisting(kind, structure, live, owners, nowMs);
  const version = apiVersionOf(kind);
  const views = new Views(kind, request.versions, subresource);
  views.reconcile(owners);
  const self = { manager: manager || 'unknown', operation: 'Apply' as const, apiVersion: version, subresource };
  const key = ownerKey(self);
  const last = owners.get(key);
  const configured = configuredFields(kind, structure, applied, subresource);
  const merged = mergeObjects(structure, live, applied) as JsonObject;
  owners.set(key, { ...self, time: last?.time, fields: configured });
  const pruned = last ? views.prune(merged, owners, last) : merged;
  const comparisonAt = views.comparisons(live, pruned);
  refuseConflicts(kind, structure, live, owners, key, comparisonAt, { manager, force });
  takeFromOthers(owners, key, comparisonAt);
  settleApplier(owners, key, deepEqual(live, pruned) ? last?.time : formatTime(nowMs));

  const managedFields = writeOwners(owners, before);
  const object = withLastApplied(withoutEmptied(structure, pruned, merged) as JsonObject, manager, applied);
  return { object: withManagedFields(object, managedFields), managedFields };
}

export interface UpdateRequest {
  readonly kind: AppliedKind;
  readonly versions?: OtherVersions;
  /** Undefined when the object is created. */
  readonly old: object | undefined;
  /** The object as it will be stored. Its metadata gets new managedFields. */
  readonly updated: object;
  readonly manager: string;
  readonly operation?: 'Update';
  readonly subresource?: string;
  readonly nowMs: number;
}

/**
 * Keeps account of a create, update or patch: what differs now belongs to its manager. Runs on every write, so it costs
 * what differs and no more. Changes `updated.metadata` only.
 */
export function trackUpdate(request: UpdateRequest): void {
  const { kind, manager, subresource = '', nowMs } = request;
  const updated = request.updated as Record<string, Json>;
  const old = request.old as JsonObject | undefined;
  if (updated === old) return;
  const sent = sentEntries(updated);
  if (old === undefined && subresource === '' && (sent === undefined || sent.length === 0)) {
    giveToCreator(kind, updated, manager, nowMs);
    return;
  }
  const before = entriesOf(old);
  const owners = ownersBefore(before, sent, subresource !== '');
  if (owners.size === 0 && old !== undefined) {
    setManagedFields(updated, undefined);
    return;
  }
  const apiVersion = apiVersionOf(kind);
  const views = new Views(kind, request.versions, subresource);
  views.reconcile(owners);
  const comparisonAt = views.comparisons((old ?? emptyObject(kind)) as JsonObject, updated);
  takeFromOthers(owners, '', comparisonAt);
  const { changed } = comparisonAt(apiVersion);
  giveToUpdater(owners, { manager, apiVersion, subresource }, differenceOf(changed, notOwned), nowMs);
  capUpdateManagers(owners);
  setManagedFields(updated, writeOwners(owners, before));
}

/** What a new object has belongs to who makes it. Objects made of one template are known by their shape. */
function giveToCreator(kind: AppliedKind, object: Record<string, Json>, manager: string, nowMs: number): void {
  const fields = fieldsOfCreator(kind, object);
  if (isEmptySet(fields)) {
    setManagedFields(object, undefined);
    return;
  }
  const time = formatTime(nowMs);
  const apiVersion = apiVersionOf(kind);
  const owner: Owner = {
    manager: manager || 'unknown',
    operation: 'Update',
    apiVersion,
    subresource: '',
    time,
    fields,
  };
  setManagedFields(object, [entryOf(owner)]);
}

/** By kind: of objects as they were made, and of configurations as they were applied. */
const created = new WeakMap<AppliedKind, KnownShapes>();
const configurations = new WeakMap<AppliedKind, KnownShapes>();

function shapesOf(kinds: WeakMap<AppliedKind, KnownShapes>, kind: AppliedKind): KnownShapes {
  let shapes = kinds.get(kind);
  if (!shapes) kinds.set(kind, (shapes = new KnownShapes()));
  return shapes;
}

function fieldsOfCreator(kind: AppliedKind, object: JsonObject): FieldSet {
  const shapes = shapesOf(created, kind);
  const known = shapes.find(object);
  if (known) return known;
  const structure = structureOf(kind.schema);
  const zero = emptyObject(kind);
  const { changed } = compareObjects(structure, zero, object);
  const made = differenceOf(resetFilterOf(kind, '')?.(changed) ?? changed, notOwned);
  const fields = pooled(made);
  // Somebody had the same fields before: more like it will come.
  if (fields !== made) shapes.add(shapeOf(structure, zero, object), fields);
  return fields;
}

function unexpected(message: string): Error {
  return errors.other('', message, undefined, 500);
}

function checkConfiguration(kind: AppliedKind, applied: JsonObject, live: object | undefined): void {
  const expected = apiVersionOf(kind);
  const version = (applied['apiVersion'] as string | undefined) ?? '';
  if (version !== expected)
    throw errors.badRequest(
      `Incorrect version specified in apply patch. Specified patch version: ${version}, expected: ${expected}`,
    );
  if (applied['kind'] !== kind.kind)
    throw errors.badRequest(`invalid object type: ${expected}, Kind=${String(applied['kind'] ?? '')}`);
  const meta = metaOf(applied);
  if (meta.managedFields !== undefined && meta.managedFields !== null)
    throw errors.badRequest('metadata.managedFields must be nil');
  if (live === undefined && meta.uid)
    throw errors.conflict(
      kind,
      meta.name ?? '',
      `uid mismatch: the provided object specified uid ${meta.uid}, and no existing object was found`,
    );
}

/** Throws an ApiError when a configuration, as it was sent, does not fit the type. */
export function checkConfigurationFits(kind: AppliedKind, applied: JsonObject): void {
  const found = misfitsOf(kind.schema, applied);
  if (found.length === 0) return;
  const { namespace = '', name = '' } = metaOf(applied);
  const subject = `${namespace}/${name}; ${kind.group}/${kind.version}, Kind=${kind.kind}`;
  throw unexpected(`failed to create typed patch object (${subject}): ${misfitMessage(found)}`);
}

/** Everything that an object without any manager has belongs to `before-first-apply`. */
function claimExisting(
  kind: AppliedKind,
  structure: Structure,
  live: JsonObject,
  owners: Map<string, Owner>,
  nowMs: number,
): void {
  const { changed } = compareObjects(structure, emptyObject(kind), live);
  const who = { manager: 'before-first-apply', apiVersion: apiVersionOf(kind), subresource: '' };
  giveToUpdater(owners, who, differenceOf(changed, notOwned), nowMs);
}

function configuredFields(kind: AppliedKind, structure: Structure, applied: JsonObject, subresource: string): FieldSet {
  try {
    const shapes = subresource === '' ? shapesOf(configurations, kind) : undefined;
    const known = shapes?.find(applied);
    if (known) return known;
    const set = fieldSetOf(structure, applied, 'refused');
    const made = resetFilterOf(kind, subresource)?.(set) ?? set;
    const fields = pooled(made);
    if (fields !== made) shapes?.add(shapeOf(structure, undefined, applied), fields);
    return fields;
  } catch (error) {
    const { namespace = '', name = '' } = metaOf(applied);
    const subject = `${namespace}/${name}; ${kind.group}/${kind.version}, Kind=${kind.kind}`;
    throw unexpected(`failed to create typed patch object (${subject}): ${(error as Error).message}`);
  }
}

/** One object in the versions of all that own a part of it. */
class Views {
  readonly #kind: AppliedKind;
  readonly #versions: OtherVersions | undefined;
  readonly #own: string;
  readonly #subresource: string;
  readonly #others = new Map<string, OtherVersion | undefined>();

  constructor(kind: AppliedKind, versions: OtherVersions | undefined, subresource: string) {
    this.#kind = kind;
    this.#versions = versions;
    this.#own = apiVersionOf(kind);
    this.#subresource = subresource;
  }

  /** Undefined for the version that the request speaks. */
  #other(apiVersion: string): OtherVersion | undefined {
    if (apiVersion === this.#own || !this.#versions) return undefined;
    if (!this.#others.has(apiVersion)) this.#others.set(apiVersion, this.#versions(apiVersion));
    return this.#others.get(apiVersion);
  }

  /** Drops who owns something in a version that is not served any longer, and follows schemas that have changed. */
  reconcile(owners: Map<string, Owner>): void {
    for (const [key, owner] of owners) {
      const other = this.#other(owner.apiVersion);
      if (!other && owner.apiVersion !== this.#own && this.#versions) {
        owners.delete(key);
        continue;
      }
      const fields = reconciled(structureOf((other?.kind ?? this.#kind).schema), owner.fields);
      if (fields !== owner.fields) owners.set(key, { ...owner, fields });
    }
  }

  /** What differs, as each version sees it. */
  comparisons(before: JsonObject, after: JsonObject): (apiVersion: string) => Comparison {
    const known = new Map<string, Comparison>();
    return apiVersion => {
      const other = this.#other(apiVersion);
      const view = other ? apiVersion : this.#own;
      const found = known.get(view);
      if (found) return found;
      const { schema } = other?.kind ?? this.#kind;
      const made = other
        ? compareObjects(structureOf(schema), other.convert(before), other.convert(after))
        : compareObjects(structureOf(schema), before, after);
      const comparison = filtered(made, resetFilterOf(other?.kind ?? this.#kind, this.#subresource));
      known.set(view, comparison);
      return comparison;
    };
  }

  /** Takes away what this manager had set and sets no longer, unless somebody else has it too. */
  prune(merged: JsonObject, owners: ReadonlyMap<string, Owner>, last: Owner): JsonObject {
    if (isEmptySet(last.fields)) return merged;
    const setsAt = new Map<string, FieldSet>();
    for (const { apiVersion, fields } of owners.values())
      setsAt.set(apiVersion, unionOf(setsAt.get(apiVersion) ?? emptySet, fields));
    const other = this.#other(last.apiVersion);
    if (!other && setsAt.size === 1)
      return pruneObject(structureOf(this.#kind.schema), merged, setsAt.get(this.#own) ?? emptySet, last.fields);
    return this.#pruneAcross(merged, setsAt, last);
  }

  /** The same where its owners speak several versions: what nobody owns in any of them goes. */
  #pruneAcross(merged: JsonObject, setsAt: ReadonlyMap<string, FieldSet>, last: Owner): JsonObject {
    const lastOther = this.#other(last.apiVersion);
    const kind = lastOther?.kind ?? this.#kind;
    const structure = structureOf(kind.schema);
    const whole = lastOther ? lastOther.convert(merged) : merged;
    const lastSet = withNamedFields(structure, last.fields);
    let pruned = (withoutPaths(structure, whole, lastSet) ?? {}) as JsonObject;
    // In the version in which it was owned first: pruned fields may be needed for conversion.
    const versions = [last.apiVersion, ...[...setsAt.keys()].filter(each => each !== last.apiVersion)];
    for (const version of versions) {
      const set = setsAt.get(version);
      if (!set) continue;
      const other = this.#other(version);
      const seen = structureOf((other?.kind ?? this.#kind).schema);
      const at = (object: JsonObject) => this.#between(object, last.apiVersion, version);
      const wholeAt = at(whole);
      const wholeSet = withNamedFields(seen, fieldSetOf(seen, wholeAt));
      const prunedSet = withNamedFields(seen, fieldSetOf(seen, at(pruned)));
      const lost = differenceOf(wholeSet, unionOf(prunedSet, withNamedFields(seen, set)));
      pruned = this.#between((withoutPaths(seen, wholeAt, lost) ?? {}) as JsonObject, version, last.apiVersion);
    }
    const wholeSet = withNamedFields(structure, fieldSetOf(structure, whole));
    const prunedSet = withNamedFields(structure, fieldSetOf(structure, pruned));
    const dangling = intersectionOf(differenceOf(wholeSet, prunedSet), lastSet);
    if (isEmptySet(dangling)) return merged;
    return this.#between((withoutPaths(structure, whole, dangling) ?? {}) as JsonObject, last.apiVersion, this.#own);
  }

  #between(object: JsonObject, from: string, to: string): JsonObject {
    if (from === to) return object;
    const source = this.#other(from);
    const own = source ? source.revert(object) : object;
    return this.#other(to)?.convert(own) ?? own;
  }
}

function pruneObject(structure: Structure, merged: JsonObject, all: FieldSet, last: FieldSet): JsonObject {
  const named = (set: FieldSet) => withNamedFields(structure, set);
  const lastSet = named(last);
  const owned = named(all);
  // Usually everything that was set still is: then there is nothing to take away.
  if (isEmptySet(differenceOf(lastSet, owned))) return merged;
  const setOf = (value: Json) => named(fieldSetOf(structure, value));
  const mergedSet = setOf(merged);
  const without = withoutPaths(structure, merged, lastSet) ?? {};
  const lost = differenceOf(mergedSet, unionOf(setOf(without), owned));
  const kept = withoutPaths(structure, merged, lost) ?? {};
  // What was never this manager's goes only together with what it is part of.
  const dangling = intersectionOf(differenceOf(mergedSet, setOf(kept)), lastSet);
  return (withoutPaths(structure, merged, dangling) ?? {}) as JsonObject;
}

function refuseConflicts(
  kind: AppliedKind,
  structure: Structure,
  live: JsonObject,
  owners: ReadonlyMap<string, Owner>,
  self: string,
  comparisonAt: (apiVersion: string) => Comparison,
  { manager, force }: { manager: string; force: boolean },
): void {
  if (force) return;
  let conflicts = [...conflictsWith(owners, self, comparisonAt)];
  if (manager === 'kubectl' && conflicts.length > 0) {
    const allowed = clientSideApplied(kind, structure, live);
    conflicts = conflicts
      .map(([key, fields]) => [key, differenceOf(fields, allowed)] as [string, FieldSet])
      .filter(([, fields]) => !isEmptySet(fields));
  }
  if (conflicts.length === 0) return;
  const found = conflicts
    .map(([key, fields]) => ({ name: nameOf(owners.get(key) as Owner), paths: [...pathsOf(fields)].map(formatPath) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const causes = found.flatMap(({ name, paths }) =>
    paths.map(field => ({ reason: 'FieldManagerConflict', message: `conflict with ${name}`, field })),
  );
  throw errors.applyConflict(conflictMessage(found, causes.length), causes);
}

function conflictMessage(found: readonly { name: string; paths: readonly string[] }[], count: number): string {
  if (count === 1) return `Apply failed with 1 conflict: conflict with ${found[0]?.name}: ${found[0]?.paths[0]}`;
  const lines = found.flatMap(({ name, paths }) => [`conflicts with ${name}:`, ...paths.map(path => `- ${path}`)]);
  return `Apply failed with ${count} conflicts: ${lines.join('\n')}`;
}

function nameOf({ manager, subresource, operation, apiVersion }: Owner): string {
  const within = subresource === '' ? '' : ` with subresource ${JSON.stringify(subresource)}`;
  return `${JSON.stringify(manager)}${within}${operation === 'Update' ? ` using ${apiVersion}` : ''}`;
}

/** What `kubectl apply` without --server-side had set and nobody changed since: kubectl may take that over. */
function clientSideApplied(kind: AppliedKind, structure: Structure, live: JsonObject): FieldSet {
  const text = metaOf(live).annotations?.[lastAppliedAnnotation];
  if (!text) return emptySet;
  try {
    const last = decodeJson(text);
    if (!isObject(last) || last['apiVersion'] !== apiVersionOf(kind)) return emptySet;
    const { changed, removed } = compareObjects(structure, last, live);
    return differenceOf(differenceOf(fieldSetOf(structure, last), changed), removed);
  } catch {
    // An annotation that is no configuration allows nothing.
    return emptySet;
  }
}

const lastAppliedAnnotation = 'kubectl.kubernetes.io/last-applied-configuration';

/** kubectl's annotation follows what kubectl applies, where an object has it. */
function withLastApplied(object: JsonObject, manager: string, applied: JsonObject): JsonObject {
  const meta = metaOf(object);
  if (manager !== 'kubectl' || !meta.annotations?.[lastAppliedAnnotation]) return object;
  const { annotations: sent, ...rest } = metaOf(applied);
  const { [lastAppliedAnnotation]: _, ...annotations } = sent ?? {};
  const configuration = { ...applied, metadata: { ...rest, ...(sent && { annotations }) } };
  const lastApplied = `${encodeJson(configuration)}\n`;
  return {
    ...object,
    metadata: { ...meta, annotations: { ...meta.annotations, [lastAppliedAnnotation]: lastApplied } } as never,
  };
}

/** The applier owns what it sets, without what nobody owns. */
function settleApplier(owners: Map<string, Owner>, key: string, time: string | undefined): void {
  const owner = owners.get(key) as Owner;
  const fields = differenceOf(owner.fields, notOwned);
  if (isEmptySet(fields)) owners.delete(key);
  else owners.set(key, { ...owner, fields, time });
}

/** Who owned what before this write: a client may hand in managedFields of its own, or clear them. */
function ownersBefore(
  before: readonly ManagedFieldsEntry[],
  sent: readonly ManagedFieldsEntry[] | undefined,
  isSubresource: boolean,
): Map<string, Owner> {
  const known = () => readOwners(before) ?? new Map<string, Owner>();
  if (isSubresource || sent === undefined || sent === before || deepEqual(sent as never, before as never))
    return known();
  if (sent.length === 0 || (sent.length === 1 && Object.keys(sent[0] as object).length === 0)) return new Map();
  const owners = readOwners(sent);
  return owners === undefined || owners.size === 0 ? known() : owners;
}

function filtered(comparison: Comparison, filter: ResetFilter | undefined): Comparison {
  if (!filter) return comparison;
  return { changed: filter(comparison.changed), removed: filter(comparison.removed) };
}

/** Names and what the server keeps belong to nobody. */
const notOwned: FieldSet = {
  'f:apiVersion': leaf,
  'f:kind': leaf,
  'f:metadata': {
    '.': leaf,
    'f:clusterName': leaf,
    'f:creationTimestamp': leaf,
    'f:generation': leaf,
    'f:managedFields': leaf,
    'f:name': leaf,
    'f:namespace': leaf,
    'f:resourceVersion': leaf,
    'f:selfLink': leaf,
    'f:uid': leaf,
  },
};

/**
 * What Go has before anything is set: fields that are always printed, empty. Custom resources have nothing but their
 * kind.
 */
function emptyObject(kind: AppliedKind): JsonObject {
  const known = emptyObjects.get(kind.schema);
  if (known) return known;
  const base = { apiVersion: apiVersionOf(kind), kind: kind.kind };
  const empty = kind.custom ? base : { ...base, ...(emptyValue(kind.schema) as JsonObject) };
  emptyObjects.set(kind.schema, empty);
  return empty;
}

const emptyObjects = new WeakMap<Schema, JsonObject>();

function emptyValue(schema: Schema): Json {
  const of = resolve(schema);
  if (of.type !== 'object') return zeroOf(of);
  const value: Record<string, Json> = {};
  for (const [name, field] of Object.entries(of.fields))
    if (isAlwaysWritten(field)) value[name] = emptyValue(field.schema);
  return value;
}

function metaOf(object: JsonObject): Partial<ObjectMeta> {
  return (isObject(object['metadata']) ? object['metadata'] : {}) as Partial<ObjectMeta>;
}

function entriesOf(object: object | undefined): readonly ManagedFieldsEntry[] {
  return (object && sentEntries(object)) ?? [];
}

/** Undefined where the client says nothing about managedFields. */
function sentEntries(object: object): readonly ManagedFieldsEntry[] | undefined {
  const entries = metaOf(object as JsonObject).managedFields;
  return Array.isArray(entries) ? entries : undefined;
}

function withoutManagedFields(object: JsonObject): JsonObject {
  const meta = metaOf(object);
  if (!meta.managedFields) return object;
  const { managedFields: _, ...rest } = meta;
  return { ...object, metadata: rest as never };
}

function withManagedFields(object: JsonObject, entries: readonly ManagedFieldsEntry[]): JsonDraft {
  const copy: JsonDraft = { ...object };
  setManagedFields(copy as Record<string, Json>, entries);
  return copy;
}

function setManagedFields(object: Record<string, Json>, entries: readonly ManagedFieldsEntry[] | undefined): void {
  const { managedFields: current, ...rest } = metaOf(object);
  const wanted = entries === undefined || entries.length === 0 ? undefined : entries;
  if (wanted === undefined && current === undefined) return;
  object['metadata'] = (wanted === undefined ? rest : { ...rest, managedFields: wanted }) as never;
}
