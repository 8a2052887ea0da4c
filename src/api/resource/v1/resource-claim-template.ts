import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { validateTemplateMetadata } from '../../machinery/object-meta-validation.ts';
import { object, struct, type TypeOf } from '../../machinery/schema.ts';
import { ageColumn, nameColumn } from '../../machinery/columns.ts';
import { checkFixedSpec, defaultRequests, validateClaim } from './claim-rules.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { ResourceClaimSpec } from './resource-claim-spec.ts';

export const ResourceClaimTemplateSpec = object('io.k8s.api.resource.v1.ResourceClaimTemplateSpec', {
  metadata: struct(1, ObjectMeta),
  spec: struct(2, ResourceClaimSpec, { required: true, always: true }),
});
export type ResourceClaimTemplateSpec = TypeOf<typeof ResourceClaimTemplateSpec>;

export const ResourceClaimTemplate = defineKind({
  group: 'resource.k8s.io',
  version: 'v1',
  kind: 'ResourceClaimTemplate',
  plural: 'resourceclaimtemplates',
  namespaced: true,
  doc: 'Makes a claim of its own for each pod.',
  returnsDeleted: true,
  type: 'io.k8s.api.resource.v1.ResourceClaimTemplate',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ResourceClaimTemplateSpec, { required: true, always: true }),
  },
  columns: [nameColumn, ageColumn],
  default({ spec }) {
    defaultRequests(spec.spec);
  },
  validate({ spec }, report) {
    validateTemplateMetadata(spec.metadata, report.at('spec', 'metadata'));
    validateClaim(spec.spec, report.at('spec', 'spec'));
  },
  hasGeneration: false,
  validateUpdate({ spec }, old, report) {
    checkFixedSpec(ResourceClaimTemplateSpec, spec, old.spec, report.at('spec'));
  },
});
export type ResourceClaimTemplate = ObjectOf<typeof ResourceClaimTemplate>;
