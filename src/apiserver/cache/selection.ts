import { errors } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import {
  compileRequirements,
  type FieldRequirement,
  type LabelRequirement,
  parseFieldSelector,
  parseLabelSelector,
} from '#api/machinery/selector.ts';

/** Which objects a list or watch wants. */
export interface Selection {
  readonly labels: readonly LabelRequirement[];
  readonly fields: readonly FieldRequirement[];
  /** Undefined: everything. */
  readonly matches: ((object: ApiObject) => boolean) | undefined;
}

export const everything: Selection = { labels: [], fields: [], matches: undefined };

/** Throws ApiError BadRequest in upstream's words for selectors that cannot be understood. */
export function selectionOf(kind: Kind, labelSelector: string, fieldSelector: string): Selection {
  if (labelSelector === '' && fieldSelector === '') return everything;
  const labels = parsed(() => parseLabelSelector(labelSelector));
  const fields = parsed(() => parseFieldSelector(fieldSelector));
  const tests = fields.map(requirement => fieldTest(kind, requirement));
  if (labels.length > 0) {
    const predicate = compileRequirements(labels);
    tests.push(object => predicate(object.metadata.labels));
  }
  if (tests.length === 0) return everything;
  const matches = tests.length === 1 ? tests[0] : (object: ApiObject) => tests.every(test => test(object));
  return { labels, fields, matches };
}

/** The value of a selectable field; undefined when the kind has no such field. */
export function fieldReader(kind: Kind, field: string): ((object: ApiObject) => string) | undefined {
  if (field === 'metadata.name') return object => object.metadata.name ?? '';
  if (field === 'metadata.namespace' && kind.namespaced) return object => object.metadata.namespace ?? '';
  if (field === 'metadata.namespace' && Object.keys(kind.fieldSelectors).length === 0) return () => '';
  return Object.hasOwn(kind.fieldSelectors, field) ? kind.fieldSelectors[field] : undefined;
}

function fieldTest(kind: Kind, { field, operator, value }: FieldRequirement): (object: ApiObject) => boolean {
  const read = fieldReader(kind, field);
  if (!read) throw errors.badRequest(unknownField(kind, field));
  return operator === '=' ? object => read(object) === value : object => read(object) !== value;
}

function unknownField(kind: Kind, field: string): string {
  if (Object.keys(kind.fieldSelectors).length > 0 && !kind.custom) return `field label not supported: ${field}`;
  if (kind.custom) return `field label not supported: ${field}`;
  return `"${field}" is not a known field selector: only "metadata.name", "metadata.namespace"`;
}

function parsed<Value>(parse: () => Value): Value {
  try {
    return parse();
  } catch (error) {
    throw errors.badRequest((error as Error).message);
  }
}
