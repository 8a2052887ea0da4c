import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { embedded, list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { ageColumn, nameColumn } from '../../machinery/columns.ts';
import { isExtendedResource } from '../../core/v1/pod-resources.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { validateConfiguration, validateSelectors } from './claim-rules.ts';
import { DeviceSelector } from './device-selector.ts';
import { OpaqueDeviceConfiguration } from './opaque-device-configuration.ts';

export const DeviceClassConfiguration = object('io.k8s.api.resource.v1.DeviceClassConfiguration', {
  ...embedded(1, { opaque: struct(1, OpaqueDeviceConfiguration) }),
});
export type DeviceClassConfiguration = TypeOf<typeof DeviceClassConfiguration>;

export const DeviceClassSpec = object('io.k8s.api.resource.v1.DeviceClassSpec', {
  config: list(2, DeviceClassConfiguration, { listType: 'atomic' }),
  extendedResourceName: string(4, { pointer: true }),
  selectors: list(1, DeviceSelector, { listType: 'atomic' }),
});
export type DeviceClassSpec = TypeOf<typeof DeviceClassSpec>;

export const DeviceClass = defineKind({
  group: 'resource.k8s.io',
  version: 'v1',
  kind: 'DeviceClass',
  plural: 'deviceclasses',
  namespaced: false,
  doc: 'A sort of device that pods can claim.',
  returnsDeleted: true,
  type: 'io.k8s.api.resource.v1.DeviceClass',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, DeviceClassSpec, { required: true, always: true }),
  },
  columns: [nameColumn, ageColumn],
  validate({ spec }, report) {
    validateSelectors(spec.selectors ?? [], report.at('spec', 'selectors'));
    for (const [index, each] of (spec.config ?? []).entries())
      validateConfiguration(each, report.at('spec', 'config').index(index));
    const { extendedResourceName: name } = spec;
    if (name !== undefined && !isExtendedResource(name))
      report.at('spec', 'extendedResourceName').invalid(name, 'must be a valid extended resource name');
  },
});
export type DeviceClass = ObjectOf<typeof DeviceClass>;
