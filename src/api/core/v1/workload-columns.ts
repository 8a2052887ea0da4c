import { joined, text, wide } from '../../machinery/columns.ts';
import type { Column } from '../../machinery/kind.ts';
import { formatLabelSelector } from '../../machinery/selector.ts';
import type { LabelSelector } from '../../meta/v1/label-selector.ts';
import type { PodTemplateSpec } from './pod-template-spec.ts';

type WithTemplate = { readonly spec: { readonly template: PodTemplateSpec } };
type WithSelector = { readonly spec: { readonly selector?: LabelSelector | undefined } };

/** Columns that controllers of pods show with `-o wide`. */
export const containersColumn: Column<WithTemplate> = wide(
  text('Containers', 'Names of the containers in the template.', ({ spec }) =>
    joined(spec.template.spec.containers, 'name'),
  ),
);

export const imagesColumn: Column<WithTemplate> = wide(
  text('Images', 'Images of the containers in the template.', ({ spec }) =>
    joined(spec.template.spec.containers, 'image'),
  ),
);

export const selectorColumn: Column<WithSelector> = wide(
  text('Selector', 'Which pods belong to it.', ({ spec }) => formatLabelSelector(spec.selector)),
);
