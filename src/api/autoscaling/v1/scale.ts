import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { checkNonNegative } from '../../machinery/checks.ts';
import { ageColumn, integer, nameColumn } from '../../machinery/columns.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const ScaleSpec = object('io.k8s.api.autoscaling.v1.ScaleSpec', {
  replicas: int32(1, { default: 0 }),
});
export type ScaleSpec = TypeOf<typeof ScaleSpec>;

export const ScaleStatus = object('io.k8s.api.autoscaling.v1.ScaleStatus', {
  replicas: int32(1, { required: true, always: true }),
  selector: string(2),
});
export type ScaleStatus = TypeOf<typeof ScaleStatus>;

export const Scale = defineKind({
  group: 'autoscaling',
  version: 'v1',
  kind: 'Scale',
  plural: '',
  namespaced: true,
  doc: 'How many replicas something wants and has.',
  verbs: [],
  type: 'io.k8s.api.autoscaling.v1.Scale',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, ScaleSpec, { always: true }),
    status: struct(3, ScaleStatus, { always: true }),
  },
  columns: [
    nameColumn,
    integer('Desired', 'Wanted replicas.', ({ spec }) => spec.replicas),
    integer('Available', 'Present replicas.', ({ status }) => status.replicas),
    ageColumn,
  ],
  hasGeneration: false,
  validate({ spec }, report) {
    checkNonNegative(spec.replicas, report.at('spec', 'replicas'));
  },
});
export type Scale = ObjectOf<typeof Scale>;
