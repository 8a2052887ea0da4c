import { goForm } from '../../machinery/go-form.ts';
import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { list, map, object, string, struct, types, type TypeOf } from '../../machinery/schema.ts';
import { Toleration } from '../../core/v1/toleration.ts';
import { validateOverhead } from '../../core/v1/pod-resources.ts';
import { validateTolerations } from '../../core/v1/scheduling-validation.ts';
import { checkDnsLabel, checkImmutable, sameValue } from '../../machinery/checks.ts';
import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import { validateLabels } from '../../machinery/object-meta-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const Overhead = object('io.k8s.api.node.v1.Overhead', {
  podFixed: map(1, types.quantity),
});
export type Overhead = TypeOf<typeof Overhead>;

export const Scheduling = object('io.k8s.api.node.v1.Scheduling', {
  nodeSelector: map(1, types.string, { mapType: 'atomic' }),
  tolerations: list(2, Toleration, { listType: 'atomic' }),
});
export type Scheduling = TypeOf<typeof Scheduling>;

export const RuntimeClass = defineKind({
  group: 'node.k8s.io',
  version: 'v1',
  kind: 'RuntimeClass',
  plural: 'runtimeclasses',
  namespaced: false,
  doc: 'A way to run containers, with its costs.',
  type: 'io.k8s.api.node.v1.RuntimeClass',
  fields: {
    handler: string(2, { required: true, always: true, doc: 'Name that the container runtime knows.' }),
    metadata: struct(1, ObjectMeta, { required: true }),
    overhead: struct(3, Overhead),
    scheduling: struct(4, Scheduling),
  },
  metadataChecks: { standardFinalizers: false },
  columns: [
    nameColumn,
    text('Handler', 'Name that the container runtime knows.', (item: { readonly handler: string }) => item.handler),
    ageColumn,
  ],
  requiresResourceVersion: true,
  validate({ handler, overhead, scheduling }, report) {
    if (!handler) report.at('handler').required();
    else checkDnsLabel(handler, report.at('handler'));
    if (overhead) validateOverhead(overhead.podFixed ?? {}, report.at('overhead'));
    if (!scheduling) return;
    const at = report.at('scheduling');
    validateLabels(scheduling.nodeSelector, at.at('nodeSelector'));
    validateTolerations(scheduling.tolerations ?? [], at.at('tolerations'));
    for (const [index, toleration] of (scheduling.tolerations ?? []).entries())
      if ((scheduling.tolerations ?? []).findIndex(other => sameValue(other, toleration)) < index)
        at.at('tolerations').index(index).duplicate(goForm(Toleration, toleration));
  },
  validateUpdate({ handler }, old, report) {
    checkImmutable(handler, old.handler, report.at('handler'));
  },
});
export type RuntimeClass = ObjectOf<typeof RuntimeClass>;
