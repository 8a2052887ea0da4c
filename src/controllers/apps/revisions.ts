import { ControllerRevision } from '#api/apps/v1/controller-revision.ts';
import type { PodTemplateSpec } from '#api/core/v1/pod-template-spec.ts';
import { withSortedKeys } from '#api/machinery/json.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import type { Json } from '#api/machinery/schema.ts';
import { create, remove, update, type Action } from '../actions.ts';
import { canonicalJson } from '../canonical-json.ts';
import { controllerReference } from '../core/pod-from-template.ts';
import { fnv1a, safeText } from './template-hash.ts';

/** On pods: which revision they were made from. */
export const revisionLabel = 'controller-revision-hash';

/** The revisions of an owner, and the one that its template is now. */
export interface Revisions {
  /** Oldest first, the current one last. */
  readonly history: readonly ControllerRevision[];
  readonly current: ControllerRevision;
  /** The writes that make it so. `collision` asks for another name. */
  readonly actions: readonly Action[];
}

/** Finds the revision of a template, or makes it; a template that comes back gets the highest number again. */
export function reviseTemplate(
  kind: Kind,
  owner: ApiObject,
  template: PodTemplateSpec,
  labels: Readonly<Record<string, string>>,
  known: readonly ControllerRevision[],
  collisionCount: number | undefined,
): Revisions {
  const history = known.toSorted((a, b) => a.revision - b.revision);
  const data = dataOf(template);
  const text = canonicalJson(data);
  const same = history.findLast(each => canonicalJson(each.data) === text);
  const newest = history.at(-1);
  if (same && same === newest) return { history, current: same, actions: [] };
  const revision = (newest?.revision ?? 0) + 1;
  if (same) {
    const current = { ...same, revision };
    const rest = history.filter(each => each !== same);
    return { history: [...rest, current], current, actions: [update(ControllerRevision, current)] };
  }
  const hash = safeText(fnv1a(`${text}${collisionCount === undefined ? '' : `#${collisionCount}`}`));
  const current: ControllerRevision = {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name: `${owner.metadata.name}-${hash}`,
      ...(owner.metadata.namespace !== undefined && { namespace: owner.metadata.namespace }),
      labels: { ...labels, [revisionLabel]: hash },
      ownerReferences: [controllerReference(kind, owner)],
    },
    // In the order in which Go writes maps: clients compare the bytes.
    data: withSortedKeys(data as unknown as Json) as unknown as ControllerRevision['data'],
    revision,
  };
  return { history: [...history, current], current, actions: [create(ControllerRevision, current)] };
}

export function hashOf({ metadata }: ControllerRevision): string {
  return metadata.labels?.[revisionLabel] ?? '';
}

/** The template that a revision keeps. */
export function templateOf({ data }: ControllerRevision): PodTemplateSpec {
  const { $patch: _, ...template } = (data as unknown as { spec: { template: { $patch?: string } & PodTemplateSpec } })
    .spec.template;
  return template;
}

/** Old revisions beyond the limit, except those that pods are still made from. */
export function dropOldRevisions(
  history: readonly ControllerRevision[],
  inUse: ReadonlySet<string>,
  limit: number,
): readonly Action[] {
  const unused = history.filter(each => !inUse.has(hashOf(each)));
  return unused.slice(0, Math.max(0, unused.length - limit)).map(each => remove(ControllerRevision, each));
}

/** What kubectl applies to go back. */
function dataOf(template: PodTemplateSpec): ControllerRevision['data'] {
  return { spec: { template: { ...template, $patch: 'replace' } } } as unknown as ControllerRevision['data'];
}
