import { apiVersionOf, type ApiObject, type Kind } from '#api/machinery/kind.ts';
import type { LabelPredicate } from '#api/machinery/selector.ts';
import { patch, type Action } from './actions.ts';
import type { Claims } from './reads.ts';

/**
 * Whom an object counts as its own: those it controls and selects, and matching orphans, which it adopts. Those it controls
 * and does not select any more are let go. An object that is being deleted changes no owners.
 */
export function claim<Other extends ApiObject>(
  ownerKind: Kind,
  owner: ApiObject,
  kind: Kind<Other>,
  matches: LabelPredicate,
  { owned, orphans }: Claims<Other>,
): { readonly claimed: Other[]; readonly actions: Action[] } {
  const deleting = owner.metadata.deletionTimestamp !== undefined;
  const claimed: Other[] = [];
  const actions: Action[] = [];
  for (const each of owned) {
    if (matches(each.metadata.labels)) claimed.push(each);
    else if (!deleting) actions.push(release(owner, kind, each));
  }
  if (deleting) return { claimed, actions };
  for (const each of orphans) {
    if (each.metadata.deletionTimestamp !== undefined || !matches(each.metadata.labels)) continue;
    claimed.push(each);
    actions.push(adopt(ownerKind, owner, kind, each));
  }
  return { claimed, actions };
}

function adopt<Other extends ApiObject>(ownerKind: Kind, owner: ApiObject, kind: Kind<Other>, each: Other): Action {
  const reference = {
    apiVersion: apiVersionOf(ownerKind),
    kind: ownerKind.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
  // The uid makes it a conflict when another object has taken the name.
  return patch(kind, each, { metadata: { ownerReferences: [reference], uid: each.metadata.uid } });
}

function release<Other extends ApiObject>(owner: ApiObject, kind: Kind<Other>, each: Other): Action {
  return patch(kind, each, {
    metadata: { ownerReferences: [{ $patch: 'delete', uid: owner.metadata.uid }], uid: each.metadata.uid },
  });
}
