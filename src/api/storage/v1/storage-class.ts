import { goForm } from '../../machinery/go-form.ts';
import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { boolean, list, map, string, struct, types } from '../../machinery/schema.ts';
import { TopologySelectorTerm } from '../../core/v1/topology-selector-term.ts';
import { checkImmutable, checkOneOf, immutableMessage, sameValue } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { validateTopologySelectorTerm } from '../../core/v1/scheduling-validation.ts';
import { isDefaultClass, validateParameters, validateProvisioner } from './class-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

const parameters = map(3, types.string);

export const StorageClass = defineKind({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'StorageClass',
  plural: 'storageclasses',
  namespaced: false,
  returnsDeleted: true,
  doc: 'A kind of storage and how it is made.',
  shortNames: ['sc'],
  type: 'io.k8s.api.storage.v1.StorageClass',
  fields: {
    allowVolumeExpansion: boolean(6, { pointer: true }),
    allowedTopologies: list(8, TopologySelectorTerm, { listType: 'atomic' }),
    metadata: struct(1, ObjectMeta, { required: true }),
    mountOptions: list(5, types.string, { listType: 'atomic' }),
    parameters,
    provisioner: string(2, { required: true, always: true, doc: 'Who makes the volumes.' }),
    reclaimPolicy: string(4, {
      pointer: true,
      default: 'Delete',
      doc: 'What becomes of a volume when its claim goes.',
    }),
    volumeBindingMode: string(7, {
      pointer: true,
      enum: ['Immediate', 'WaitForFirstConsumer'],
      default: 'Immediate',
      doc: 'Whether a volume is made at once or for its first pod.',
    }),
  },
  columns: [
    {
      ...nameColumn,
      cell: ({ metadata }) => `${metadata.name ?? ''}${isDefaultClass(metadata) ? ' (default)' : ''}`,
    },
    text('Provisioner', 'Who makes it.', (item: ClassView) => item.provisioner),
    text('ReclaimPolicy', 'What becomes of it when its claim goes.', (item: ClassView) => item.reclaimPolicy),
    text('VolumeBindingMode', 'When it is made.', (item: ClassView) => item.volumeBindingMode),
    text('AllowVolumeExpansion', 'Whether it can grow.', (item: ClassView) => item.allowVolumeExpansion ?? false),
    ageColumn,
  ],
  validate(item, report) {
    const { provisioner, reclaimPolicy, volumeBindingMode, allowedTopologies } = item;
    validateProvisioner(provisioner ?? '', report.at('provisioner'));
    validateParameters(item.parameters ?? {}, true, report.at('parameters'));
    if (reclaimPolicy) checkOneOf(reclaimPolicy, ['Delete', 'Retain'], report.at('reclaimPolicy'));
    checkOneOf(volumeBindingMode, ['Immediate', 'WaitForFirstConsumer'], report.at('volumeBindingMode'));
    for (const [index, term] of (allowedTopologies ?? []).entries()) {
      const at = report.at('allowedTopologies').index(index);
      validateTopologySelectorTerm(term, at);
      // Upstream compares with one empty term for each as well.
      const others = [...(allowedTopologies ?? []).map(() => ({})), ...(allowedTopologies ?? []).slice(0, index)];
      for (const other of others) if (sameValue(other, term)) at.at('matchLabelExpressions').duplicate('');
    }
  },
  validateUpdate(item, old, report) {
    if (!sameValue(item.parameters, old.parameters))
      report.at('parameters').invalid(goForm(parameters.schema, item.parameters), immutableMessage);
    for (const field of ['provisioner', 'reclaimPolicy', 'volumeBindingMode'] as const)
      checkImmutable(item[field], old[field], report.at(field));
  },
});
export type StorageClass = ObjectOf<typeof StorageClass>;

interface ClassView {
  readonly provisioner: string;
  readonly reclaimPolicy: string;
  readonly volumeBindingMode: string;
  readonly allowVolumeExpansion?: boolean | undefined;
}
