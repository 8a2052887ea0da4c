import type { ApiObject } from '#api/machinery/kind.ts';
import type { ObjectMeta } from '#api/meta/v1/object-meta.ts';

export interface PartialObjectMetadata {
  readonly kind: 'PartialObjectMetadata';
  readonly apiVersion: string;
  readonly metadata: ObjectMeta;
}

export function partialOf({ metadata }: ApiObject, version: 'v1' | 'v1beta1'): PartialObjectMetadata {
  return { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${version}`, metadata };
}
