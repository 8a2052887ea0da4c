import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, map, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ScopedResourceSelectorRequirement = object('io.k8s.api.core.v1.ScopedResourceSelectorRequirement', {
  operator: string(2, { required: true, always: true, enum: ['DoesNotExist', 'Exists', 'In', 'NotIn'] }),
  scopeName: string(1, {
    required: true,
    always: true,
    enum: [
      'BestEffort',
      'CrossNamespacePodAffinity',
      'NotBestEffort',
      'NotTerminating',
      'PriorityClass',
      'Terminating',
      'VolumeAttributesClass',
    ],
  }),
  values: list(3, types.string, { listType: 'atomic' }),
});
export type ScopedResourceSelectorRequirement = TypeOf<typeof ScopedResourceSelectorRequirement>;

export const ScopeSelector = object(
  'io.k8s.api.core.v1.ScopeSelector',
  {
    matchExpressions: list(1, ScopedResourceSelectorRequirement, { listType: 'atomic' }),
  },
  { mapType: 'atomic' },
);
export type ScopeSelector = TypeOf<typeof ScopeSelector>;

export const ResourceQuotaSpec = object('io.k8s.api.core.v1.ResourceQuotaSpec', {
  hard: map(1, types.quantity),
  scopeSelector: struct(3, ScopeSelector),
  scopes: list(2, types.string, { listType: 'atomic' }),
});
export type ResourceQuotaSpec = TypeOf<typeof ResourceQuotaSpec>;

export const ResourceQuotaStatus = object('io.k8s.api.core.v1.ResourceQuotaStatus', {
  hard: map(1, types.quantity),
  used: map(2, types.quantity),
});
export type ResourceQuotaStatus = TypeOf<typeof ResourceQuotaStatus>;

export const ResourceQuota = defineKind({
  group: '',
  version: 'v1',
  kind: 'ResourceQuota',
  plural: 'resourcequotas',
  namespaced: true,
  shortNames: ['quota'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.core.v1.ResourceQuota',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ResourceQuotaSpec, { always: true }),
    status: struct(3, ResourceQuotaStatus, { always: true }),
  },
});
export type ResourceQuota = ObjectOf<typeof ResourceQuota>;
