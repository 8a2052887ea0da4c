import { defineKind, type ObjectOf, statusMetadata } from '../../machinery/kind.ts';
import { list, object, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { Condition } from '../../meta/v1/condition.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { validateServiceCidrs, validateServiceCidrsUpdate } from './address-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ServiceCIDRSpec = object('io.k8s.api.networking.v1.ServiceCIDRSpec', {
  cidrs: list(1, types.string, { listType: 'atomic' }),
});
export type ServiceCIDRSpec = TypeOf<typeof ServiceCIDRSpec>;

export const ServiceCIDRStatus = object('io.k8s.api.networking.v1.ServiceCIDRStatus', {
  conditions: list(1, Condition, { listType: 'map', mapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' }),
});
export type ServiceCIDRStatus = TypeOf<typeof ServiceCIDRStatus>;

export const ServiceCIDR = defineKind({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'ServiceCIDR',
  plural: 'servicecidrs',
  namespaced: false,
  doc: 'Addresses for Services.',
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.networking.v1.ServiceCIDR',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ServiceCIDRSpec, { always: true }),
    status: struct(3, ServiceCIDRStatus, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  statusKeeps: statusMetadata,
  columns: [nameColumn, text('CIDRs', 'The networks.', ({ spec }) => (spec.cidrs ?? []).join(',')), ageColumn],
  hasGeneration: false,
  validate({ spec }, report) {
    validateServiceCidrs(spec.cidrs ?? [], report.at('spec', 'cidrs'));
  },
  changeRules: 'alone',
  validateUpdate({ spec }, old, report) {
    validateServiceCidrsUpdate(spec.cidrs, old.spec.cidrs ?? [], report.at('spec', 'cidrs'));
  },
});
export type ServiceCIDR = ObjectOf<typeof ServiceCIDR>;
