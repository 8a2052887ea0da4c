import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { map, string, struct, types } from '../../machinery/schema.ts';
import { sameValue } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { validateParameters, validateProvisioner } from './class-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const VolumeAttributesClass = defineKind({
  group: 'storage.k8s.io',
  version: 'v1',
  kind: 'VolumeAttributesClass',
  plural: 'volumeattributesclasses',
  namespaced: false,
  returnsDeleted: true,
  doc: 'Settings of volumes that can be changed while they are in use.',
  shortNames: ['vac'],
  type: 'io.k8s.api.storage.v1.VolumeAttributesClass',
  fields: {
    driverName: string(2, { required: true, always: true }),
    metadata: struct(1, ObjectMeta, { required: true }),
    parameters: map(3, types.string),
  },
  columns: [
    nameColumn,
    text('DriverName', 'Driver they are for.', (item: { readonly driverName: string }) => item.driverName),
    ageColumn,
  ],
  validate({ driverName, parameters }, report) {
    validateProvisioner(driverName ?? '', report.at('driverName'));
    validateParameters(parameters ?? {}, false, report.at('parameters'));
  },
  changeRules: 'first',
  validateUpdate(item, old, report) {
    if (item.driverName !== old.driverName) report.at('driverName').forbidden('updates to driverName are forbidden.');
    if (!sameValue(item.parameters, old.parameters))
      report.at('parameters').forbidden('updates to parameters are forbidden.');
  },
});
export type VolumeAttributesClass = ObjectOf<typeof VolumeAttributesClass>;
