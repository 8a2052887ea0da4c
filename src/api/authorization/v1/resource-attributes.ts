import { list, object, string, struct, type TypeOf } from '../../machinery/schema.ts';
import { FieldSelectorRequirement } from '../../meta/v1/field-selector-requirement.ts';
import { LabelSelectorRequirement } from '../../meta/v1/label-selector-requirement.ts';

export const FieldSelectorAttributes = object('io.k8s.api.authorization.v1.FieldSelectorAttributes', {
  rawSelector: string(1),
  requirements: list(2, FieldSelectorRequirement, { listType: 'atomic' }),
});
export type FieldSelectorAttributes = TypeOf<typeof FieldSelectorAttributes>;

export const LabelSelectorAttributes = object('io.k8s.api.authorization.v1.LabelSelectorAttributes', {
  rawSelector: string(1),
  requirements: list(2, LabelSelectorRequirement, { listType: 'atomic' }),
});
export type LabelSelectorAttributes = TypeOf<typeof LabelSelectorAttributes>;

export const ResourceAttributes = object('io.k8s.api.authorization.v1.ResourceAttributes', {
  fieldSelector: struct(8, FieldSelectorAttributes),
  group: string(3),
  labelSelector: struct(9, LabelSelectorAttributes),
  name: string(7),
  namespace: string(1),
  resource: string(5),
  subresource: string(6),
  verb: string(2),
  version: string(4),
});
export type ResourceAttributes = TypeOf<typeof ResourceAttributes>;
