import { goForm } from '../../machinery/go-form.ts';
import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, list, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { checkNonNegative, checkQualifiedName, immutableMessage, sameValue } from '../../machinery/checks.ts';
import { ageColumn, integer, nameColumn } from '../../machinery/columns.ts';
import { byteLength } from '../../machinery/names.ts';
import { checkCsiDriverName } from '../../core/v1/volume-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const VolumeNodeResources = object('io.k8s.api.storage.v1.VolumeNodeResources', {
  count: int32(1, { pointer: true }),
});
export type VolumeNodeResources = TypeOf<typeof VolumeNodeResources>;

export const CSINodeDriver = object('io.k8s.api.storage.v1.CSINodeDriver', {
  allocatable: struct(4, VolumeNodeResources),
  name: string(1, { required: true, always: true }),
  nodeID: string(2, { required: true, always: true }),
  topologyKeys: list(3, types.string, { always: true, listType: 'atomic' }),
});
export type CSINodeDriver = TypeOf<typeof CSINodeDriver>;

export const CSINodeSpec = object('io.k8s.api.storage.v1.CSINodeSpec', {
  drivers: list(1, CSINodeDriver, {
    required: true,
    always: true,
    listType: 'map',
    mapKeys: ['name'],
    patchStrategy: 'merge',
    patchMergeKey: 'name',
  }),
});
export type CSINodeSpec = TypeOf<typeof CSINodeSpec>;

export const CSINode = defineKind({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'CSINode',
  plural: 'csinodes',
  namespaced: false,
  returnsDeleted: true,
  doc: 'The storage drivers of a node.',
  type: 'io.k8s.api.storage.v1.CSINode',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, CSINodeSpec, { required: true, always: true }),
  },
  metadataChecks: { update: ['new'] },
  columns: [nameColumn, integer('Drivers', 'Number of drivers.', ({ spec }) => (spec.drivers ?? []).length), ageColumn],
  hasGeneration: false,
  requiresResourceVersion: true,
  validate({ spec }, report) {
    const names = new Set<string>();
    for (const [index, driver] of (spec.drivers ?? []).entries()) {
      const at = report.at('spec', 'drivers').index(index);
      checkCsiDriverName(driver.name ?? '', at.at('name'));
      if (!driver.nodeID) at.at('nodeID').required();
      if (byteLength(driver.nodeID ?? '') > nodeIdBytesMax)
        at.at('nodeID').invalid(driver.nodeID, `must be ${nodeIdBytesMax} characters or less`);
      checkNonNegative(driver.allocatable?.count, at.at('allocatable', 'count'));
      if (names.has(driver.name)) at.at('name').duplicate(driver.name);
      names.add(driver.name);
      const keys = new Set<string>();
      // Upstream reports keys at the driver.
      for (const key of driver.topologyKeys ?? []) {
        if (key === '') at.required();
        if (keys.has(key)) at.duplicate(key);
        keys.add(key);
        checkQualifiedName(key, at);
      }
    }
  },
  validateUpdate({ spec }, old, report) {
    for (const before of old.spec.drivers ?? [])
      for (const driver of spec.drivers ?? [])
        if (driver.name === before.name && !sameValue({ ...driver, allocatable: before.allocatable }, before))
          report
            .at('spec', 'drivers')
            .invalid(goForm(CSINodeDriver, { ...driver, allocatable: undefined }), immutableMessage);
  },
});
export type CSINode = ObjectOf<typeof CSINode>;

const nodeIdBytesMax = 256;
