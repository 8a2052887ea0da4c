import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, microTime, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { checkNonNegative, checkOneOf, checkQualifiedName } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import type { Report } from '../../machinery/validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const LeaseSpec = object('io.k8s.api.coordination.v1.LeaseSpec', {
  acquireTime: microTime(3),
  holderIdentity: string(1, { pointer: true }),
  leaseDurationSeconds: int32(2, { pointer: true }),
  leaseTransitions: int32(5, { pointer: true }),
  preferredHolder: string(7, { pointer: true }),
  renewTime: microTime(4),
  strategy: string(6, { pointer: true }),
});
export type LeaseSpec = TypeOf<typeof LeaseSpec>;

export const Lease = defineKind({
  group: 'coordination.k8s.io',
  version: 'v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
  doc: 'A lock that has to be renewed, as a sign of life.',
  type: 'io.k8s.api.coordination.v1.Lease',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, LeaseSpec, { always: true }),
  },
  metadataChecks: { update: ['changed'], standardFinalizers: false },
  columns: [nameColumn, text('Holder', 'Who holds it.', ({ spec }) => spec.holderIdentity ?? ''), ageColumn],
  createOnUpdate: true,
  requiresResourceVersion: true,
  hasGeneration: false,
  // Behind the feature gate CoordinatedLeaderElection, which is off.
  prepareForCreate({ spec }) {
    delete spec.strategy;
    delete spec.preferredHolder;
  },
  prepareForUpdate({ spec }, old) {
    for (const name of ['strategy', 'preferredHolder'] as const) if (old.spec[name] === undefined) delete spec[name];
  },
  validate({ spec }, report) {
    validateLeaseSpec(spec, report.at('spec'));
  },
});
export type Lease = ObjectOf<typeof Lease>;

function validateLeaseSpec(spec: LeaseSpec, report: Report): void {
  const { leaseDurationSeconds, leaseTransitions, strategy, preferredHolder } = spec;
  if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0)
    report.at('leaseDurationSeconds').invalid(leaseDurationSeconds, 'must be greater than 0');
  checkNonNegative(leaseTransitions, report.at('leaseTransitions'));
  if (strategy !== undefined) {
    // Upstream names the field twice.
    const at = report.at('strategy', 'strategy');
    if (strategy.includes('/')) checkQualifiedName(strategy, at);
    else checkOneOf(strategy, ['OldestEmulationVersion'], at);
  }
  if (preferredHolder && !strategy)
    report.at('preferredHolder').forbidden('may only be specified if `strategy` is defined');
}
