import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { Condition } from '../../meta/v1/condition.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { formatAge } from '../../machinery/duration.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { DeviceTaint } from './device-taint.ts';

export const DeviceTaintSelector = object('io.k8s.api.resource.v1beta2.DeviceTaintSelector', {
  device: string(4, { pointer: true }),
  driver: string(2, { pointer: true }),
  pool: string(3, { pointer: true }),
});
export type DeviceTaintSelector = TypeOf<typeof DeviceTaintSelector>;

export const DeviceTaintRuleSpec = object('io.k8s.api.resource.v1beta2.DeviceTaintRuleSpec', {
  deviceSelector: struct(1, DeviceTaintSelector),
  taint: struct(2, DeviceTaint, { required: true, always: true }),
});
export type DeviceTaintRuleSpec = TypeOf<typeof DeviceTaintRuleSpec>;

export const DeviceTaintRuleStatus = object('io.k8s.api.resource.v1beta2.DeviceTaintRuleStatus', {
  conditions: list(1, Condition, { listType: 'map', mapKeys: ['type'], patchStrategy: 'merge', patchMergeKey: 'type' }),
});
export type DeviceTaintRuleStatus = TypeOf<typeof DeviceTaintRuleStatus>;

export const DeviceTaintRule = defineKind({
  group: 'resource.k8s.io',
  version: 'v1beta2',
  kind: 'DeviceTaintRule',
  plural: 'devicetaintrules',
  namespaced: false,
  doc: 'Marks devices that pods must not use.',
  returnsDeleted: true,
  served: false,
  subresources: { status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.resource.v1beta2.DeviceTaintRule',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, DeviceTaintRuleSpec, { required: true, always: true }),
    status: struct(3, DeviceTaintRuleStatus, { always: true }),
  },
  columns: [
    nameColumn,
    text('Key', 'Key of the taint.', ({ spec }) => spec.taint.key),
    text('Value', 'Value of the taint.', ({ spec }) => spec.taint.value ?? ''),
    text('Effect', 'What the taint does.', ({ spec }) => spec.taint.effect),
    text('TimeAdded', 'Time since it was added.', ({ spec }, nowMs) => formatAge(spec.taint.timeAdded, nowMs)),
    ageColumn,
  ],
  prepareForCreate({ metadata, spec }) {
    spec.taint.timeAdded ??= metadata.creationTimestamp;
  },
});
export type DeviceTaintRule = ObjectOf<typeof DeviceTaintRule>;
