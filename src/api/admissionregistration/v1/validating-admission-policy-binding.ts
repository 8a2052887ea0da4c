import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { MatchResources } from './match-resources.ts';
import { ParamRef } from './param-ref.ts';
import { bindingColumns } from './policy-columns.ts';
import { validateActions, validateBinding } from './policy-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ValidatingAdmissionPolicyBindingSpec = object(
  'io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec',
  {
    matchResources: struct(3, MatchResources),
    paramRef: struct(2, ParamRef),
    policyName: string(1, { required: true }),
    validationActions: list(4, types.string, { required: true, listType: 'set' }),
  },
);
export type ValidatingAdmissionPolicyBindingSpec = TypeOf<typeof ValidatingAdmissionPolicyBindingSpec>;

export const ValidatingAdmissionPolicyBinding = defineKind({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  kind: 'ValidatingAdmissionPolicyBinding',
  plural: 'validatingadmissionpolicybindings',
  namespaced: false,
  doc: 'Puts a validating policy into force.',
  categories: ['api-extensions'],
  type: 'io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ValidatingAdmissionPolicyBindingSpec, { required: true, always: true }),
  },
  metadataChecks: { update: ['new'], standardFinalizers: false },
  requiresResourceVersion: true,
  columns: bindingColumns,
  validate({ spec }, report) {
    validateBinding(spec, report.at('spec'));
    validateActions(spec.validationActions, report.at('spec', 'validationActions'));
  },
});
export type ValidatingAdmissionPolicyBinding = ObjectOf<typeof ValidatingAdmissionPolicyBinding>;
