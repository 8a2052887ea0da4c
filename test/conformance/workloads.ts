import type { Partly } from '#api/machinery/kind.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { Trial } from './conformance.ts';
import { podOf, type PodWish } from './pods.ts';
import type { Stored } from './waiting.ts';

export interface TemplateWish extends Omit<PodWish, 'name' | 'labels'> {
  readonly labels?: Readonly<Record<string, string>>;
}

/** A template of pods with the given labels. */
export function templateOf(t: Trial, labels: Readonly<Record<string, string>>, wish: TemplateWish = {}) {
  const { spec } = podOf(t, wish);
  return { metadata: { labels: { ...labels, ...wish.labels } }, spec } as {
    readonly metadata: { readonly labels: Readonly<Record<string, string>> };
    readonly spec: NonNullable<Partly<Pod>['spec']> & { readonly containers: never };
  };
}

/** The pods of the test's namespace that are not being deleted. */
export async function podsOf(t: Trial, labelSelector?: string): Promise<readonly Stored<Pod>[]> {
  const { items } = await t.client.list(Pod, { namespace: t.namespace, ...(labelSelector && { labelSelector }) });
  return (items as readonly Stored<Pod>[]).filter(({ metadata }) => !metadata.deletionTimestamp);
}

export function ownerOf({ metadata }: Pod): string | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller)?.uid;
}

export function imageOf({ spec }: Pod): string {
  return spec?.containers[0]?.image ?? '';
}

export function relabel(t: Trial, name: string, labels: Readonly<Record<string, string | null>>): Promise<Pod> {
  return t.client.patch(Pod, name, { type: 'merge', patch: { metadata: { labels } } }, { namespace: t.namespace });
}
