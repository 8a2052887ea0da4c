import { childOf, differenceOf, isEmptySet, isMember, leaf, type FieldSet } from '#api/machinery/apply/field-set.ts';
import type { ManagedFieldsEntry } from '#api/meta/v1/object-meta.ts';

const scaleVersion = 'autoscaling/v1';
const replicasInScale: FieldSet = { 'f:spec': { 'f:replicas': leaf } };

/** Who owns the number of replicas of a workload, as managedFields of its Scale. `path` is where the workload has it. */
export function scaleEntries(
  parent: readonly ManagedFieldsEntry[],
  path: readonly string[],
): readonly ManagedFieldsEntry[] {
  return parent.filter(entry => owns(entry, path)).map(entry => asScale(entry));
}

/** managedFields of the workload after those of its Scale have changed. */
export function parentEntries(
  before: readonly ManagedFieldsEntry[],
  scale: readonly ManagedFieldsEntry[],
  path: readonly string[],
  apiVersion: string,
): readonly ManagedFieldsEntry[] {
  const left = new Map(scale.map(entry => [identity(entry), entry]));
  const replicas = path.reduceRight<FieldSet>((below, element) => ({ [element]: below }), leaf);
  const entries: ManagedFieldsEntry[] = [];
  for (const entry of before) {
    if (!owns(entry, path)) {
      entries.push(entry);
      continue;
    }
    const kept = left.get(identity(asScale(entry)));
    if (kept) {
      left.delete(identity(kept));
      entries.push(kept.time === undefined ? entry : { ...entry, time: kept.time });
      continue;
    }
    // Somebody else has taken it.
    const fields = differenceOf(entry.fieldsV1 as FieldSet, replicas);
    if (!isEmptySet(fields)) entries.push({ ...entry, fieldsV1: fields });
  }
  for (const entry of left.values()) entries.push({ ...entry, apiVersion, fieldsV1: replicas });
  return entries;
}

function owns({ fieldsV1 }: ManagedFieldsEntry, path: readonly string[]): boolean {
  let node: FieldSet | undefined = fieldsV1 as FieldSet | undefined;
  for (const element of path) node = node && childOf(node, element);
  return node !== undefined && isMember(node);
}

function asScale(entry: ManagedFieldsEntry): ManagedFieldsEntry {
  return { ...entry, apiVersion: scaleVersion, fieldsV1: replicasInScale };
}

function identity({ manager, operation, subresource }: ManagedFieldsEntry): string {
  return JSON.stringify([manager, operation, subresource]);
}
