import { goForm } from '../../machinery/go-form.ts';
import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import {
  int32,
  int64,
  intOrString,
  list,
  map,
  object,
  string,
  struct,
  types,
  type TypeOf,
} from '../../machinery/schema.ts';
import { Condition, validateConditions } from '../../meta/v1/condition.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { checkAtMostAll, checkIntOrPercent } from '../../core/v1/workload-validation.ts';
import { checkNonNegative, checkOneOf } from '../../machinery/checks.ts';
import { ageColumn, integer, nameColumn, text } from '../../machinery/columns.ts';
import { validateLabelSelector } from '../../machinery/object-meta-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PodDisruptionBudgetSpec = object('io.k8s.api.policy.v1.PodDisruptionBudgetSpec', {
  maxUnavailable: intOrString(3, { pointer: true, doc: 'How many pods may be away, as number or percentage.' }),
  minAvailable: intOrString(1, { pointer: true, doc: 'How many pods must stay, as number or percentage.' }),
  selector: struct(2, LabelSelector, { patchStrategy: 'replace', doc: 'The pods it protects.' }),
  unhealthyPodEvictionPolicy: string(4, { pointer: true, enum: ['AlwaysAllow', 'IfHealthyBudget'] }),
});
export type PodDisruptionBudgetSpec = TypeOf<typeof PodDisruptionBudgetSpec>;

export const PodDisruptionBudgetStatus = object('io.k8s.api.policy.v1.PodDisruptionBudgetStatus', {
  conditions: list(7, Condition, { listType: 'map', mapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' }),
  currentHealthy: int32(4, { always: true }),
  desiredHealthy: int32(5, { always: true }),
  disruptedPods: map(2, types.time),
  disruptionsAllowed: int32(3, { always: true }),
  expectedPods: int32(6, { always: true }),
  observedGeneration: int64(1),
});
export type PodDisruptionBudgetStatus = TypeOf<typeof PodDisruptionBudgetStatus>;

export const PodDisruptionBudget = defineKind({
  group: 'policy',
  version: 'v1',
  kind: 'PodDisruptionBudget',
  plural: 'poddisruptionbudgets',
  namespaced: true,
  doc: 'How many pods of a set may be taken away at the same time.',
  shortNames: ['pdb'],
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.policy.v1.PodDisruptionBudget',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, PodDisruptionBudgetSpec, { always: true }),
    status: struct(3, PodDisruptionBudgetStatus, { always: true }),
  },
  metadataChecks: { update: [], status: [], standardFinalizers: false },
  columns: [
    nameColumn,
    text('Min Available', 'Pods that must stay.', ({ spec }) => String(spec.minAvailable ?? 'N/A')),
    text('Max Unavailable', 'Pods that may be away.', ({ spec }) => String(spec.maxUnavailable ?? 'N/A')),
    integer('Allowed Disruptions', 'Pods that may be taken away now.', ({ status }) => status.disruptionsAllowed ?? 0),
    ageColumn,
  ],
  requiresResourceVersion: true,
  validate({ spec }, report) {
    const at = report.at('spec');
    const { minAvailable, maxUnavailable, unhealthyPodEvictionPolicy } = spec;
    if (minAvailable !== undefined && maxUnavailable !== undefined)
      at.invalid(goForm(PodDisruptionBudgetSpec, spec), 'minAvailable and maxUnavailable cannot be both set');
    for (const [name, value] of Object.entries({ minAvailable, maxUnavailable })) {
      if (value === undefined) continue;
      checkIntOrPercent(value, at.at(name));
      checkAtMostAll(value, at.at(name));
    }
    validateLabelSelector(spec.selector, at.at('selector'));
    if (unhealthyPodEvictionPolicy !== undefined)
      checkOneOf(unhealthyPodEvictionPolicy, ['AlwaysAllow', 'IfHealthyBudget'], at.at('unhealthyPodEvictionPolicy'));
  },
  validateStatusUpdate({ status }, _, report) {
    validateConditions(status.conditions, report.at('status', 'conditions'));
    for (const name of ['disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods'] as const)
      checkNonNegative(status[name], report.at('status', name));
  },
});
export type PodDisruptionBudget = ObjectOf<typeof PodDisruptionBudget>;
