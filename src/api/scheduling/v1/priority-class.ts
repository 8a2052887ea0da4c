import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, int32, string, struct } from '../../machinery/schema.ts';
import { errors } from '../../machinery/errors.ts';
import { checkImmutable, checkRequiredOneOf } from '../../machinery/checks.ts';
import { ageColumn, boolean as booleanColumn, integer, nameColumn, text } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PriorityClass = defineKind({
  group: 'scheduling.k8s.io',
  version: 'v1',
  kind: 'PriorityClass',
  plural: 'priorityclasses',
  namespaced: false,
  doc: 'A name for how important a pod is.',
  shortNames: ['pc'],
  type: 'io.k8s.api.scheduling.v1.PriorityClass',
  fields: {
    description: string(4),
    globalDefault: boolean(3),
    metadata: struct(1, ObjectMeta, { required: true }),
    preemptionPolicy: string(5, { pointer: true, default: 'PreemptLowerPriority' }),
    value: int32(2, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: [
    nameColumn,
    integer('Value', 'The priority: higher goes first.', (item: PriorityClassView) => item.value ?? 0),
    booleanColumn(
      'Global-Default',
      'Whether pods without a class have it.',
      (item: PriorityClassView) => item.globalDefault ?? false,
    ),
    ageColumn,
    text(
      'PreemptionPolicy',
      'Whether its pods push out others.',
      (item: PriorityClassView) => item.preemptionPolicy ?? '',
    ),
  ],
  hasGeneration: false,
  prepareForCreate({ metadata }) {
    // It stays so: upstream counts no changes.
    metadata.generation = 1;
  },
  validate({ metadata, value, globalDefault, preemptionPolicy }, report) {
    const name = metadata.name ?? '';
    // The system's own classes have fixed values.
    if (name.startsWith('system-')) {
      const system = systemClasses[name];
      const why = `priority class names with 'system-' prefix are reserved for system use only. error: `;
      if (system === undefined)
        report.at('metadata', 'name').forbidden(`${why}${name} is not a known system priority class`);
      else if (value !== system)
        report.at('metadata', 'name').forbidden(`${why}value of ${name} PriorityClass must be ${system}`);
      else if (globalDefault)
        report.at('metadata', 'name').forbidden(`${why}globalDefault of ${name} PriorityClass must be false`);
    } else if ((value ?? 0) > 1_000_000_000)
      report.at('value').forbidden('maximum allowed value of a user defined priority is 1000000000');
    checkRequiredOneOf(preemptionPolicy, ['PreemptLowerPriority', 'Never'], report.at('preemptionPolicy'));
  },
  prepareForDelete({ metadata: { name = '' } }) {
    if (Object.hasOwn(systemClasses, name))
      throw errors.forbidden(
        { group: 'scheduling.k8s.io', plural: 'priorityclasses' },
        name,
        'this is a system priority class and cannot be deleted',
      );
  },
  changeRules: 'alone',
  validateUpdate({ value, preemptionPolicy }, old, report) {
    if (value !== old.value) report.at('value').forbidden('may not be changed in an update.');
    checkImmutable(preemptionPolicy, old.preemptionPolicy, report.at('preemptionPolicy'));
  },
});
export type PriorityClass = ObjectOf<typeof PriorityClass>;

interface PriorityClassView {
  readonly value?: number | undefined;
  readonly globalDefault?: boolean | undefined;
  readonly preemptionPolicy?: string | undefined;
}

const systemClasses: Readonly<Record<string, number>> = {
  'system-cluster-critical': 2_000_000_000,
  'system-node-critical': 2_000_001_000,
};
