import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { microTime, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { checkImmutable } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const LeaseCandidateSpec = object('io.k8s.api.coordination.v1beta1.LeaseCandidateSpec', {
  binaryVersion: string(4, { required: true, always: true }),
  emulationVersion: string(5),
  leaseName: string(1, { required: true, always: true }),
  pingTime: microTime(2),
  renewTime: microTime(3),
  strategy: string(6, { required: true }),
});
export type LeaseCandidateSpec = TypeOf<typeof LeaseCandidateSpec>;

export const LeaseCandidate = defineKind({
  group: 'coordination.k8s.io',
  version: 'v1beta1',
  kind: 'LeaseCandidate',
  plural: 'leasecandidates',
  namespaced: true,
  doc: 'One that stands for election to a lease.',
  served: false,
  type: 'io.k8s.api.coordination.v1beta1.LeaseCandidate',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, LeaseCandidateSpec, { required: true, always: true }),
  },
  columns: [
    nameColumn,
    text('LeaseName', 'Lease it stands for.', ({ spec }) => spec.leaseName),
    text('BinaryVersion', 'Version of its program.', ({ spec }) => spec.binaryVersion),
    text('EmulationVersion', 'Version it behaves as.', ({ spec }) => spec.emulationVersion ?? ''),
    ageColumn,
  ],
  fieldSelectors: { 'spec.leaseName': ({ spec }) => spec.leaseName },
  createOnUpdate: true,
  requiresResourceVersion: true,
  validate({ spec }, report) {
    const at = report.at('spec');
    if (spec.leaseName === '') at.at('leaseName').required();
    if (spec.binaryVersion === '') at.at('binaryVersion').required();
    if ((spec.strategy ?? '') === '') at.at('strategy').required();
  },
  validateUpdate({ spec }, old, report) {
    checkImmutable(spec.leaseName, old.spec.leaseName, report.at('spec', 'leaseName'));
  },
});
export type LeaseCandidate = ObjectOf<typeof LeaseCandidate>;
