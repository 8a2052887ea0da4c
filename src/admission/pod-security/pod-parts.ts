import type { ObjectMeta } from '#api/meta/v1/object-meta.ts';
import type { PodSpec } from '#api/core/v1/pod-spec.ts';

/** A pod, or the template of one. */
export interface PodLike {
  readonly metadata: Pick<ObjectMeta, 'annotations'>;
  readonly spec: PodSpec;
}

/** What a check finds wrong. */
export interface Violation {
  readonly reason: string;
  readonly detail: string;
}

export type Container = PodSpec['containers'][number] | NonNullable<PodSpec['ephemeralContainers']>[number];

/** Init containers, containers and ephemeral containers alike. */
export function containersOf({ spec }: PodLike): readonly Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])];
}

/** Names of the containers of which something is true. */
export function namesWhere(pod: PodLike, is: (container: Container) => boolean): string[] {
  return containersOf(pod)
    .filter(is)
    .map(each => each.name);
}

/** `container "a"`, `containers "a", "b"` */
export function containers(names: readonly string[]): string {
  return counted('container', 'containers', names);
}

/** The word for as many as there are, and what they are, in quotation marks. */
export function counted(singular: string, plural: string, items: readonly string[]): string {
  return `${items.length === 1 ? singular : plural} ${quoted(items)}`;
}

export function quoted(items: readonly string[]): string {
  return items.map(each => `"${each}"`).join(', ');
}

export function sortedSet(items: Iterable<string>): string[] {
  return [...new Set(items)].sort();
}

/** `pod`, containers, or both: who set something. */
export function setters(byPod: boolean, names: readonly string[]): string[] {
  return [...(byPod ? ['pod'] : []), ...(names.length > 0 ? [containers(names)] : [])];
}

/** The pod's root is not the node's: what it may do there is relaxed since v1.35 (KEP-127). */
export function inUserNamespace({ spec }: PodLike): boolean {
  return spec.hostUsers === false;
}

export function isWindows({ spec }: PodLike): boolean {
  return spec.os?.name === 'windows';
}
