import { goForm } from '../../machinery/go-form.ts';
import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { immutableMessage, sameValue } from '../../machinery/checks.ts';
import { nameColumn, text } from '../../machinery/columns.ts';
import { isCanonicalIP } from '../../machinery/names.ts';
import { parentOf, validateParent } from './address-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ParentReference = object('io.k8s.api.networking.v1.ParentReference', {
  group: string(1),
  name: string(4, { required: true }),
  namespace: string(3),
  resource: string(2, { required: true }),
});
export type ParentReference = TypeOf<typeof ParentReference>;

export const IPAddressSpec = object('io.k8s.api.networking.v1.IPAddressSpec', {
  parentRef: struct(1, ParentReference, { required: true }),
});
export type IPAddressSpec = TypeOf<typeof IPAddressSpec>;

export const IPAddress = defineKind({
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'IPAddress',
  plural: 'ipaddresses',
  namespaced: false,
  doc: 'An address that is given to something.',
  shortNames: ['ip'],
  type: 'io.k8s.api.networking.v1.IPAddress',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, IPAddressSpec, { required: true, always: true }),
  },
  columns: [nameColumn, text('ParentRef', 'What has it.', ({ spec }) => parentOf(spec.parentRef))],
  hasGeneration: false,
  validateName: isCanonicalIP,
  validate({ spec }, report) {
    validateParent(spec.parentRef, report.at('spec', 'parentRef'));
  },
  validateUpdate({ spec }, old, report) {
    if (!sameValue(spec.parentRef, old.spec.parentRef))
      report.at('spec', 'parentRef').invalid(goForm(ParentReference, spec.parentRef), immutableMessage);
  },
});
export type IPAddress = ObjectOf<typeof IPAddress>;
