import { defineKind, type ObjectOf, statusMetadata } from '../../machinery/kind.ts';
import { int64, list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { MatchCondition } from './match-condition.ts';
import { MatchResources } from './match-resources.ts';
import { ParamKind } from './param-kind.ts';
import { Variable } from './variable.ts';
import { Condition } from '../../meta/v1/condition.ts';
import { ageColumn, integer, nameColumn } from '../../machinery/columns.ts';
import { paramKindColumn } from './policy-columns.ts';
import { validatePolicyStatus, validateValidatingPolicy } from './policy-validation.ts';
import { expressionsOnDemand } from './webhook-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const AuditAnnotation = object('io.k8s.api.admissionregistration.v1.AuditAnnotation', {
  key: string(1, { required: true, always: true }),
  valueExpression: string(2, { required: true, always: true }),
});
export type AuditAnnotation = TypeOf<typeof AuditAnnotation>;

export const ExpressionWarning = object('io.k8s.api.admissionregistration.v1.ExpressionWarning', {
  fieldRef: string(2, { required: true, always: true }),
  warning: string(3, { required: true, always: true }),
});
export type ExpressionWarning = TypeOf<typeof ExpressionWarning>;

export const TypeChecking = object('io.k8s.api.admissionregistration.v1.TypeChecking', {
  expressionWarnings: list(1, ExpressionWarning, { listType: 'atomic' }),
});
export type TypeChecking = TypeOf<typeof TypeChecking>;

export const Validation = object('io.k8s.api.admissionregistration.v1.Validation', {
  expression: string(1, { required: true, always: true }),
  message: string(2),
  messageExpression: string(4),
  reason: string(3, { pointer: true }),
});
export type Validation = TypeOf<typeof Validation>;

export const ValidatingAdmissionPolicySpec = object(
  'io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicySpec',
  {
    auditAnnotations: list(5, AuditAnnotation, { listType: 'atomic' }),
    failurePolicy: string(4, { pointer: true, enum: ['Fail', 'Ignore'], default: 'Fail' }),
    matchConditions: list(6, MatchCondition, {
      listType: 'map',
      mapKeys: ['name'],
      patchStrategy: 'merge',
      patchMergeKey: 'name',
    }),
    matchConstraints: struct(2, MatchResources),
    paramKind: struct(1, ParamKind),
    validations: list(3, Validation, { listType: 'atomic' }),
    variables: list(7, Variable, { listType: 'map', mapKeys: ['name'], patchStrategy: 'merge', patchMergeKey: 'name' }),
  },
);
export type ValidatingAdmissionPolicySpec = TypeOf<typeof ValidatingAdmissionPolicySpec>;

export const ValidatingAdmissionPolicyStatus = object(
  'io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyStatus',
  {
    conditions: list(3, Condition, { listType: 'map', mapKeys: ['type'] }),
    observedGeneration: int64(1),
    typeChecking: struct(2, TypeChecking),
  },
);
export type ValidatingAdmissionPolicyStatus = TypeOf<typeof ValidatingAdmissionPolicyStatus>;

export const ValidatingAdmissionPolicy = defineKind({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  kind: 'ValidatingAdmissionPolicy',
  plural: 'validatingadmissionpolicies',
  namespaced: false,
  doc: 'Rules in CEL that requests must satisfy.',
  categories: ['api-extensions'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ValidatingAdmissionPolicySpec, { always: true }),
    status: struct(3, ValidatingAdmissionPolicyStatus, { always: true }),
  },
  metadataChecks: { update: ['new'], standardFinalizers: false },
  statusKeeps: statusMetadata,
  requiresResourceVersion: true,
  columns: [
    nameColumn,
    integer('Validations', 'How many rules it holds.', ({ spec }) => (spec.validations ?? []).length),
    paramKindColumn,
    ageColumn,
  ],
  beforeValidation: () => expressionsOnDemand.load(),
  validate({ metadata, spec }, report) {
    validateValidatingPolicy(spec, metadata.name ?? '', report.at('spec'));
  },
  validateStatusUpdate({ status }, _, report) {
    validatePolicyStatus(status, report.at('status'));
  },
});
export type ValidatingAdmissionPolicy = ObjectOf<typeof ValidatingAdmissionPolicy>;
