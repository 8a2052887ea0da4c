import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { MatchResources } from './match-resources.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { bindingColumns } from '../v1/policy-columns.ts';
import { validateMutatingBinding } from '../v1/policy-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ParamRef = object(
  'io.k8s.api.admissionregistration.v1alpha1.ParamRef',
  {
    name: string(1),
    namespace: string(2),
    parameterNotFoundAction: string(4, { pointer: true, enum: ['Allow', 'Deny'] }),
    selector: struct(3, LabelSelector),
  },
  { mapType: 'atomic' },
);
export type ParamRef = TypeOf<typeof ParamRef>;

export const MutatingAdmissionPolicyBindingSpec = object(
  'io.k8s.api.admissionregistration.v1alpha1.MutatingAdmissionPolicyBindingSpec',
  {
    matchResources: struct(3, MatchResources),
    paramRef: struct(2, ParamRef),
    policyName: string(1),
  },
);
export type MutatingAdmissionPolicyBindingSpec = TypeOf<typeof MutatingAdmissionPolicyBindingSpec>;

export const MutatingAdmissionPolicyBinding = defineKind({
  group: 'admissionregistration.k8s.io',
  version: 'v1alpha1',
  kind: 'MutatingAdmissionPolicyBinding',
  plural: 'mutatingadmissionpolicybindings',
  namespaced: false,
  doc: 'Puts a mutating policy into force.',
  categories: ['api-extensions'],
  served: false,
  storedAs: { group: 'admissionregistration.k8s.io', version: 'v1' },
  type: 'io.k8s.api.admissionregistration.v1alpha1.MutatingAdmissionPolicyBinding',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, MutatingAdmissionPolicyBindingSpec, { always: true }),
  },
  metadataChecks: { update: ['new'], standardFinalizers: false },
  requiresResourceVersion: true,
  columns: bindingColumns,
  validate({ spec }, report) {
    validateMutatingBinding(spec, report.at('spec'));
  },
});
export type MutatingAdmissionPolicyBinding = ObjectOf<typeof MutatingAdmissionPolicyBinding>;
