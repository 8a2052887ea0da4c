import type { Draft } from '#api/machinery/kind.ts';
import type { ObjectMeta } from '#api/meta/v1/object-meta.ts';
import { errors } from '#api/machinery/errors.ts';
import type { Call } from './call.ts';

/** The namespace of an object is the path's: filled in when absent, refused when another. */
export function matchNamespace(metadata: Draft<ObjectMeta>, namespace: string): void {
  const own = metadata.namespace ?? '';
  if (own === namespace) return;
  if (own === '') metadata.namespace = namespace;
  else if (namespace === '') delete metadata.namespace;
  else throw errors.badRequest('the namespace of the provided object does not match the namespace sent on the request');
}

/** The name of an object is the path's, and has to stand in the object. */
export function matchName(metadata: Draft<ObjectMeta>, name: string): void {
  if (metadata.name === name) return;
  throw errors.badRequest(
    (metadata.name ?? '') === ''
      ? `the name of the object (${name} based on URL) was undeterminable: name must be provided`
      : `the name of the object (${metadata.name}) does not match the name on the URL (${name})`,
  );
}

/** Drops owner references that stand twice, with upstream's warning. */
export function dedupeOwnerReferences(call: Call, metadata: Draft<ObjectMeta>, afterAdmission: boolean): void {
  const references = metadata.ownerReferences;
  if (!references || references.length < 2) return;
  const seen = new Set<string>();
  const duplicates = new Set<string>();
  const kept = references.filter(reference => {
    const same = JSON.stringify([
      reference.apiVersion,
      reference.kind,
      reference.name,
      reference.uid,
      reference.controller ?? false,
      reference.blockOwnerDeletion ?? false,
    ]);
    if (!seen.has(same)) return seen.add(same);
    duplicates.add(reference.uid);
    return false;
  });
  if (duplicates.size === 0) return;
  metadata.ownerReferences = kept;
  const when = afterAdmission ? ' after mutating admission happens' : '';
  call.warn(
    `.metadata.ownerReferences contains duplicate entries${when}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${[...duplicates].join(', ')}`,
  );
}
