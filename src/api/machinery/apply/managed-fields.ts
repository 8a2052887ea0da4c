import { deepEqual } from '#base/deep-equal.ts';
import type { ManagedFieldsEntry } from '../../meta/v1/object-meta.ts';
import type { Json } from '../schema.ts';
import { formatTime, timeMs } from '../time.ts';
import {
  differenceOf,
  emptySet,
  intersectionOf,
  isEmptySet,
  readFieldSet,
  unionOf,
  type FieldSet,
} from './field-set.ts';
import { isPooled, pooled } from './field-set-pool.ts';

/** Who owns which fields: a manager is a name, an operation, and for updates the version it wrote with. */
export interface Owner {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string | undefined;
  readonly fields: FieldSet;
}

export type Owners = ReadonlyMap<string, Owner>;

/** Upstream keeps this many managers that update; older ones become one. */
const updateManagersMax = 10;
const oldUpdatesManager = 'ancient-changes';

/** What makes a manager the same one: an applier keeps its identity across versions. */
export function ownerKey(owner: Pick<Owner, 'manager' | 'operation' | 'apiVersion' | 'subresource'>): string {
  const version = owner.operation === 'Apply' ? '' : owner.apiVersion;
  return JSON.stringify([owner.manager, owner.operation, version, owner.subresource]);
}

/** Reads metadata.managedFields. Undefined when an entry is malformed. */
export function readOwners(entries: readonly ManagedFieldsEntry[] | null | undefined): Map<string, Owner> | undefined {
  const owners = new Map<string, Owner>();
  for (const entry of entries ?? []) {
    const { manager = '', operation, apiVersion, fieldsType, subresource = '', time } = entry;
    if (operation !== 'Apply' && operation !== 'Update') return undefined;
    if (!apiVersion || fieldsType !== 'FieldsV1') return undefined;
    const fields = fieldsOf(entry);
    if (fields === undefined) return undefined;
    const owner: Owner = { manager, operation, apiVersion, subresource, time, fields };
    owners.set(ownerKey(owner), owner);
  }
  return owners;
}

/** Why nobody can read these entries, in upstream's words. */
export function wrongOwners(entries: readonly ManagedFieldsEntry[]): string | undefined {
  for (const [index, entry] of entries.entries()) {
    const { operation, apiVersion, fieldsType } = entry;
    if (operation !== 'Apply' && operation !== 'Update') return 'operation must be `Apply` or `Update`';
    if (!apiVersion) return 'apiVersion must not be empty';
    if (!fieldsType) return `missing fieldsType in managed fields entry ${index}`;
    if (fieldsType !== 'FieldsV1')
      return `invalid fieldsType ${JSON.stringify(fieldsType)} in managed fields entry ${index}`;
    if (fieldsOf(entry) === undefined) return `error decoding versioned set of managed fields entry ${index}`;
  }
  return undefined;
}

/** What the pool has was read before, and is written as we write it. */
function fieldsOf({ fieldsV1 }: ManagedFieldsEntry): FieldSet | undefined {
  if (isPooled(fieldsV1)) return fieldsV1;
  const fields = readFieldSet(fieldsV1 as Json | undefined);
  return fields && pooled(fields);
}

/** metadata.managedFields, in upstream's order. Entries that did not change are those of `before`. */
export function writeOwners(owners: Owners, before: readonly ManagedFieldsEntry[]): ManagedFieldsEntry[] {
  const known = new Map(before.map(entry => [entryKey(entry), entry]));
  return [...owners.values()].sort(compareOwners).map(owner => {
    const entry = known.get(ownerKey(owner));
    const isKnown =
      entry !== undefined &&
      entry.time === owner.time &&
      entry.apiVersion === owner.apiVersion &&
      deepEqual(entry.fieldsV1 as Json, owner.fields);
    return isKnown ? entry : entryOf(owner);
  });
}

function entryKey({ manager = '', operation, apiVersion = '', subresource = '' }: ManagedFieldsEntry): string {
  return ownerKey({ manager, operation: operation === 'Apply' ? 'Apply' : 'Update', apiVersion, subresource });
}

export function entryOf({ manager, operation, apiVersion, subresource, time, fields }: Owner): ManagedFieldsEntry {
  return {
    ...(manager && { manager }),
    operation,
    apiVersion,
    ...(time !== undefined && { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: pooled(fields) as ManagedFieldsEntry['fieldsV1'],
    ...(subresource && { subresource }),
  };
}

function compareOwners(a: Owner, b: Owner): number {
  return (
    compareText(a.operation, b.operation) ||
    timeOf(a) - timeOf(b) ||
    compareText(a.manager, b.manager) ||
    compareText(a.apiVersion, b.apiVersion) ||
    compareText(a.subresource, b.subresource)
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function timeOf({ time }: Owner): number {
  return time === undefined ? 0 : timeMs(time);
}

/** What differs as a version sees it. */
type ComparisonAt = (apiVersion: string) => { readonly changed: FieldSet; readonly removed: FieldSet };

/** What others own of the changed fields, by owner. */
export function conflictsWith(owners: Owners, self: string, comparisonAt: ComparisonAt): Map<string, FieldSet> {
  const conflicts = new Map<string, FieldSet>();
  for (const [key, { fields, apiVersion }] of owners) {
    if (key === self) continue;
    const { changed } = comparisonAt(apiVersion);
    if (isEmptySet(changed)) continue;
    const common = intersectionOf(fields, changed);
    if (!isEmptySet(common)) conflicts.set(key, common);
  }
  return conflicts;
}

/** Takes fields away from everybody else; who owns nothing any more disappears. */
export function takeFromOthers(owners: Map<string, Owner>, self: string, comparisonAt: ComparisonAt): void {
  for (const [key, owner] of owners) {
    if (key === self) continue;
    const { changed, removed } = comparisonAt(owner.apiVersion);
    const fields = differenceOf(differenceOf(owner.fields, changed), removed);
    if (fields === owner.fields) continue;
    if (isEmptySet(fields)) owners.delete(key);
    else owners.set(key, { ...owner, fields });
  }
}

/** Gives fields to a manager that updates, in addition to what it has. */
export function giveToUpdater(
  owners: Map<string, Owner>,
  who: Omit<Owner, 'fields' | 'time' | 'operation'>,
  fields: FieldSet,
  nowMs: number,
): void {
  if (isEmptySet(fields)) return;
  const owner: Owner = {
    ...who,
    manager: who.manager || 'unknown',
    operation: 'Update',
    time: formatTime(nowMs),
    fields,
  };
  const key = ownerKey(owner);
  const previous = owners.get(key)?.fields ?? emptySet;
  owners.set(key, { ...owner, fields: unionOf(previous, fields) });
}

/** Folds the oldest managers that update into one for each version, until there are few enough. */
export function capUpdateManagers(owners: Map<string, Owner>): void {
  const updaters = [...owners].filter(([, { operation }]) => operation === 'Update');
  let count = updaters.length;
  if (count <= updateManagersMax) return;
  updaters.sort(([oneKey, one], [otherKey, other]) => timeOf(one) - timeOf(other) || compareText(oneKey, otherKey));
  const firstOfVersion = new Map<string, string>();
  for (const [key, owner] of updaters) {
    if (count <= updateManagersMax) return;
    const first = firstOfVersion.get(owner.apiVersion);
    if (first === undefined) {
      firstOfVersion.set(owner.apiVersion, key);
      continue;
    }
    const bucket: Owner = { ...owner, manager: oldUpdatesManager, subresource: '' };
    const bucketKey = ownerKey(bucket);
    const gathered = owners.get(bucketKey) ?? owners.get(first);
    if (!owners.has(bucketKey)) owners.delete(first);
    owners.delete(key);
    owners.set(bucketKey, { ...bucket, fields: unionOf(owner.fields, gathered?.fields ?? emptySet) });
    count--;
  }
}
