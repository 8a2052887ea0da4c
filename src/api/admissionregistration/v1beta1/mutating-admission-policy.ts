import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { MatchResources } from './match-resources.ts';
import { ageColumn, integer, nameColumn } from '../../machinery/columns.ts';
import { paramKindColumn } from '../v1/policy-columns.ts';
import { validateMutatingPolicy } from '../v1/policy-validation.ts';
import { expressionsOnDemand } from '../v1/webhook-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ApplyConfiguration = object('io.k8s.api.admissionregistration.v1beta1.ApplyConfiguration', {
  expression: string(1),
});
export type ApplyConfiguration = TypeOf<typeof ApplyConfiguration>;

export const JSONPatch = object('io.k8s.api.admissionregistration.v1beta1.JSONPatch', {
  expression: string(1),
});
export type JSONPatch = TypeOf<typeof JSONPatch>;

export const MatchCondition = object('io.k8s.api.admissionregistration.v1beta1.MatchCondition', {
  expression: string(2, { required: true, always: true }),
  name: string(1, { required: true, always: true }),
});
export type MatchCondition = TypeOf<typeof MatchCondition>;

export const Mutation = object('io.k8s.api.admissionregistration.v1beta1.Mutation', {
  applyConfiguration: struct(3, ApplyConfiguration),
  jsonPatch: struct(4, JSONPatch),
  patchType: string(2, { required: true, always: true, enum: ['ApplyConfiguration', 'JSONPatch'] }),
});
export type Mutation = TypeOf<typeof Mutation>;

export const ParamKind = object(
  'io.k8s.api.admissionregistration.v1beta1.ParamKind',
  {
    apiVersion: string(1),
    kind: string(2),
  },
  { mapType: 'atomic' },
);
export type ParamKind = TypeOf<typeof ParamKind>;

export const Variable = object(
  'io.k8s.api.admissionregistration.v1beta1.Variable',
  {
    expression: string(2, { required: true, always: true }),
    name: string(1, { required: true, always: true }),
  },
  { mapType: 'atomic' },
);
export type Variable = TypeOf<typeof Variable>;

export const MutatingAdmissionPolicySpec = object(
  'io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicySpec',
  {
    failurePolicy: string(5, { pointer: true, default: 'Fail' }),
    matchConditions: list(6, MatchCondition, {
      listType: 'map',
      mapKeys: ['name'],
      patchStrategy: 'merge',
      patchMergeKey: 'name',
    }),
    matchConstraints: struct(2, MatchResources),
    mutations: list(4, Mutation, { listType: 'atomic' }),
    paramKind: struct(1, ParamKind),
    reinvocationPolicy: string(7),
    variables: list(3, Variable, { listType: 'atomic' }),
  },
);
export type MutatingAdmissionPolicySpec = TypeOf<typeof MutatingAdmissionPolicySpec>;

export const MutatingAdmissionPolicy = defineKind({
  group: 'admissionregistration.k8s.io',
  version: 'v1beta1',
  kind: 'MutatingAdmissionPolicy',
  plural: 'mutatingadmissionpolicies',
  namespaced: false,
  doc: 'Changes in CEL that objects get on their way in.',
  categories: ['api-extensions'],
  served: false,
  storedAs: { group: 'admissionregistration.k8s.io', version: 'v1' },
  type: 'io.k8s.api.admissionregistration.v1beta1.MutatingAdmissionPolicy',
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
