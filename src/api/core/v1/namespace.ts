import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, object, string, struct, time, types, type TypeOf } from '../../machinery/schema.ts';
import { checkFinalizerName } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { isDNS1123Label } from '../../machinery/names.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const NamespaceSpec = object('io.k8s.api.core.v1.NamespaceSpec', {
  finalizers: list(1, types.string, { listType: 'atomic' }),
});
export type NamespaceSpec = TypeOf<typeof NamespaceSpec>;

export const NamespaceCondition = object('io.k8s.api.core.v1.NamespaceCondition', {
  lastTransitionTime: time(4, { always: true }),
  message: string(6),
  reason: string(5),
  status: string(2, { required: true, always: true }),
  type: string(1, { required: true, always: true }),
});
export type NamespaceCondition = TypeOf<typeof NamespaceCondition>;

export const NamespaceStatus = object('io.k8s.api.core.v1.NamespaceStatus', {
  conditions: list(2, NamespaceCondition, {
    listType: 'map',
    mapKeys: ['type'],
    patchStrategy: 'merge',
    patchMergeKey: 'type',
  }),
  phase: string(1, { enum: ['Active', 'Terminating'], default: 'Active' }),
});
export type NamespaceStatus = TypeOf<typeof NamespaceStatus>;

export const Namespace = defineKind({
  group: '',
  version: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  namespaced: false,
  doc: 'A room for names, permissions and quotas.',
  shortNames: ['ns'],
  verbs: ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'],
  subresources: { finalize: { verbs: ['update'] }, status: { verbs: ['get', 'patch', 'update'] } },
  type: 'io.k8s.api.core.v1.Namespace',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    spec: struct(2, NamespaceSpec, { always: true }),
    status: struct(3, NamespaceStatus, { always: true }),
  },
  columns: [nameColumn, text('Status', 'Whether it is going away.', ({ status }) => status.phase), ageColumn],
  fieldSelectors: { 'status.phase': ({ status }) => status.phase },
  validateName: isDNS1123Label,
  hasGeneration: false,
  default({ metadata }) {
    labelWithName(metadata);
  },
  prepareForCreate({ metadata, spec, status }) {
    labelWithName(metadata);
    if (!spec.finalizers?.includes('kubernetes')) spec.finalizers = [...(spec.finalizers ?? []), 'kubernetes'];
    status.phase = 'Active';
  },
  prepareForUpdate(namespace, old) {
    // Finalizers change through their own subresource only.
    namespace.spec = { ...old.spec } as typeof namespace.spec;
  },
  validate({ spec }, report) {
    for (const name of spec.finalizers ?? []) checkFinalizerName(name, report.at('spec', 'finalizers'));
  },
  validateStatusUpdate({ metadata, status }, _, report) {
    const at = report.at('status', 'Phase');
    if (!metadata.deletionTimestamp && status.phase !== 'Active')
      at.invalid(status.phase, "may only be 'Active' if `deletionTimestamp` is empty");
    if (metadata.deletionTimestamp && status.phase !== 'Terminating')
      at.invalid(status.phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
  },
});
export type Namespace = ObjectOf<typeof Namespace>;

/** So that selectors can name a namespace. */
function labelWithName(metadata: { name?: string | undefined; labels?: Record<string, string> | undefined }): void {
  const label = 'kubernetes.io/metadata.name';
  if (metadata.name && metadata.labels?.[label] !== metadata.name)
    metadata.labels = { ...metadata.labels, [label]: metadata.name };
}
