import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { struct } from '../../machinery/schema.ts';
import { PodTemplateSpec } from './pod-template-spec.ts';
import { formatLabels, joined, nameColumn, text } from '../../machinery/columns.ts';
import { Report } from '../../machinery/validation.ts';
import { defaultPodTemplate } from './pod-spec-defaults.ts';
import { validatePodTemplate } from './pod-spec-validation.ts';
import { podTemplateWarnings } from './pod-warnings.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const PodTemplate = defineKind({
  group: '',
  version: 'v1',
  kind: 'PodTemplate',
  plural: 'podtemplates',
  namespaced: true,
  doc: 'A template for pods, kept for tools.',
  type: 'io.k8s.api.core.v1.PodTemplate',
  fields: {
    metadata: struct(1, ObjectMeta, { required: true }),
    template: struct(2, PodTemplateSpec, { always: true }),
  },
  metadataChecks: { update: ['changed'] },
  columns: [
    nameColumn,
    text('Containers', 'Names of the containers.', ({ template }) => joined(template.spec.containers, 'name')),
    text('Images', 'Images of the containers.', ({ template }) => joined(template.spec.containers, 'image')),
    text('Pod Labels', 'Labels of the pods.', ({ template }) => formatLabels(template.metadata?.labels)),
  ],
  returnsDeleted: true,
  hasGeneration: true,
  default({ template }) {
    defaultPodTemplate(template);
  },
  validate({ template }, report) {
    validatePodTemplate(template, report.at('template'));
  },
  warnings: ({ template }) => podTemplateWarnings(template, new Report('template')),
});
export type PodTemplate = ObjectOf<typeof PodTemplate>;
