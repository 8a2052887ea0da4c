import { goForm } from '../../machinery/go-form.ts';
import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { quantity, string, struct } from '../../machinery/schema.ts';
import { LabelSelector } from '../../meta/v1/label-selector.ts';
import { checkDnsSubdomain, checkImmutable, negativeMessage } from '../../machinery/checks.ts';
import { nameColumn, text } from '../../machinery/columns.ts';
import { validateLabelSelector } from '../../machinery/object-meta-validation.ts';
import { compareTexts } from '../../core/v1/pod-resources.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const CSIStorageCapacity = defineKind({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'CSIStorageCapacity',
  plural: 'csistoragecapacities',
  namespaced: true,
  doc: 'Free space that a driver reports.',
  type: 'io.k8s.api.storage.v1.CSIStorageCapacity',
  fields: {
    capacity: quantity(4, { pointer: true }),
    maximumVolumeSize: quantity(5, { pointer: true }),
    metadata: struct(1, ObjectMeta, { required: true }),
    nodeTopology: struct(2, LabelSelector),
    storageClassName: string(3, { required: true, always: true }),
  },
  columns: [
    nameColumn,
    text('StorageClassName', 'Class it is for.', (item: CapacityView) => item.storageClassName),
    text('Capacity', 'Free space.', (item: CapacityView) => item.capacity ?? '<unset>'),
  ],
  requiresResourceVersion: true,
  validate(item, report) {
    checkDnsSubdomain(item.storageClassName ?? '', report.at('storageClassName'));
    const { capacity } = item;
    if (capacity !== undefined && compareTexts(capacity, '0') < 0)
      report.at('capacity').invalid(capacity, negativeMessage);
    validateLabelSelector(item.nodeTopology, report.at('nodeTopology'));
  },
  validateUpdate(item, old, report) {
    checkImmutable(
      goForm(LabelSelector, item.nodeTopology),
      goForm(LabelSelector, old.nodeTopology),
      report.at('nodeTopology'),
    );
    checkImmutable(item.storageClassName, old.storageClassName, report.at('storageClassName'));
  },
});
export type CSIStorageCapacity = ObjectOf<typeof CSIStorageCapacity>;

interface CapacityView {
  readonly storageClassName: string;
  readonly capacity?: string | undefined;
}
