import { sameValue } from '../../machinery/checks.ts';
import type { Report } from '../../machinery/validation.ts';
import type { JSONSchemaProps, SelectableField } from './custom-resource-definition.ts';

const fieldsMax = 8;
const selectableTypes = new Set(['string', 'boolean', 'integer']);

export function validateSelectableFields(
  fields: readonly SelectableField[] | undefined,
  schema: JSONSchemaProps | undefined,
  report: Report,
): void {
  if (fields === undefined || fields.length === 0) return;
  if (schema === undefined) {
    report.invalid('', 'may only be set when `version.schema.openAPIV3Schema` is not included');
    return;
  }
  const seen: string[][] = [];
  for (const [position, { jsonPath }] of fields.entries()) {
    const at = report.index(position).at('jsonPath');
    if (jsonPath === '') {
      at.required();
      continue;
    }
    const names = stepsOf(jsonPath);
    const found = names === undefined ? undefined : schemaAt(schema, names);
    if (names === undefined || found === undefined) {
      const [start] = /^[^.[\]']+/.exec(jsonPath) ?? [];
      const problem = start === undefined ? 'does not refer to a valid field' : `expected [ or . but got: ${start}`;
      at.invalid(jsonPath, `is an invalid path: ${problem}`);
      continue;
    }
    if (names[0] === 'metadata') at.invalid(jsonPath, 'must not point to fields in metadata');
    if (!selectableTypes.has(found.type ?? '')) {
      const allowed = 'Enum string fields and strings with formats are allowed.';
      at.invalid(jsonPath, `must point to a field of type string, boolean or integer. ${allowed}`);
    }
    if (seen.some(other => sameValue(other, names))) at.duplicate(jsonPath);
    else seen.push(names);
  }
  if (seen.length > fieldsMax) report.tooMany(seen.length, fieldsMax);
}

/** `.spec.color` or `.spec['my-color']` as its steps. */
function stepsOf(path: string): string[] | undefined {
  const step = /(?:\.([A-Za-z_][\w-]*)|\['([^']+)'\])/gy;
  const names: string[] = [];
  let end = 0;
  for (const match of path.matchAll(step)) {
    names.push(match[1] ?? match[2] ?? '');
    end = match.index + match[0].length;
  }
  return end === path.length && names.length > 0 ? names : undefined;
}

function schemaAt(root: JSONSchemaProps, names: readonly string[]): JSONSchemaProps | undefined {
  let schema: JSONSchemaProps | undefined = root;
  for (const name of names) schema = schema?.properties?.[name];
  return schema;
}
