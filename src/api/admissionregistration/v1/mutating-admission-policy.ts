import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { MatchCondition } from './match-condition.ts';
import { MatchResources } from './match-resources.ts';
import { ParamKind } from './param-kind.ts';
import { Variable } from './variable.ts';
import { ageColumn, integer, nameColumn } from '../../machinery/columns.ts';
import { paramKindColumn } from './policy-columns.ts';
import { validateMutatingPolicy } from './policy-validation.ts';
import { expressionsOnDemand } from './webhook-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ApplyConfiguration = object('io.k8s.api.admissionregistration.v1.ApplyConfiguration', {
  expression: string(1),
});
export type ApplyConfiguration = TypeOf<typeof ApplyConfiguration>;

export const JSONPatch = object('io.k8s.api.admissionregistration.v1.JSONPatch', {
  expression: string(1),
});
export type JSONPatch = TypeOf<typeof JSONPatch>;

export const Mutation = object('io.k8s.api.admissionregistration.v1.Mutation', {
  applyConfiguration: struct(3, ApplyConfiguration),
  jsonPatch: struct(4, JSONPatch),
  patchType: string(2, { required: true, always: true, enum: ['ApplyConfiguration', 'JSONPatch'] }),
});
export type Mutation = TypeOf<typeof Mutation>;

export const MutatingAdmissionPolicySpec = object('io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicySpec', {
  failurePolicy: string(5, { pointer: true, enum: ['Fail', 'Ignore'], default: 'Fail' }),
  matchConditions: list(6, MatchCondition, {
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
  }),
  matchConstraints: struct(2, MatchResources),
  mutations: list(4, Mutation, { listType: 'atomic' }),
  paramKind: struct(1, ParamKind),
  reinvocationPolicy: string(7, { enum: ['IfNeeded', 'Never'] }),
  variables: list(3, Variable, { listType: 'atomic' }),
});
export type MutatingAdmissionPolicySpec = TypeOf<typeof MutatingAdmissionPolicySpec>;

export const MutatingAdmissionPolicy = defineKind({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  kind: 'MutatingAdmissionPolicy',
  plural: 'mutatingadmissionpolicies',
  namespaced: false,
  doc: 'Changes in CEL that objects get on their way in.',
  categories: ['api-extensions'],
  type: 'io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, MutatingAdmissionPolicySpec, { always: true }),
  },
  metadataChecks: { update: ['new'], standardFinalizers: false },
  requiresResourceVersion: true,
  columns: [
    nameColumn,
    integer('Mutations', 'How many changes it makes.', ({ spec }) => (spec.mutations ?? []).length),
    paramKindColumn,
    ageColumn,
  ],
  beforeValidation: () => expressionsOnDemand.load(),
  validate({ spec }, report) {
    validateMutatingPolicy(spec, report.at('spec'));
  },
});
export type MutatingAdmissionPolicy = ObjectOf<typeof MutatingAdmissionPolicy>;
