import type { CustomResourceColumnDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';
import { nameColumn } from '#api/machinery/columns.ts';
import { formatAge } from '#api/machinery/duration.ts';
import { parseJsonPath } from '#api/machinery/json-path.ts';
import { encodeJson } from '#api/machinery/json.ts';
import type { Column } from '#api/machinery/kind.ts';

/** The columns of `kubectl get`: the name, then what the definition lists, or the age. */
export function columnsOf(listed: readonly CustomResourceColumnDefinition[] | undefined): readonly Column[] {
  return [nameColumn, ...(listed && listed.length > 0 ? listed : ageOnly).map(columnOf)];
}

const ageOnly: readonly CustomResourceColumnDefinition[] = [
  {
    name: 'Age',
    type: 'date',
    description: 'When it was created, as the server saw it. RFC 3339, in UTC.',
    jsonPath: '.metadata.creationTimestamp',
  },
];

function columnOf(definition: CustomResourceColumnDefinition): Column {
  const { name, type, format, description, priority, jsonPath } = definition;
  const path = parseJsonPath(jsonPath);
  return {
    name,
    type: type as Column['type'],
    ...(format !== undefined && { format }),
    description: description ?? `Custom resource definition column (in JSONPath format): ${jsonPath}`,
    ...(priority !== undefined && { priority: priority as 0 | 1 }),
    cell: (item, nowMs) => cellOf(type, path(item)[0], nowMs),
  };
}

/** Values that are not of the column's type are no cells. */
function cellOf(type: string, value: unknown, nowMs: number): string | number | boolean | null {
  if (value === undefined || (value === null && type !== 'string')) return null;
  switch (type) {
    case 'integer':
      return isNumber(value) ? Math.trunc(Number(value)) : null;
    case 'number':
      return isNumber(value) ? Number(value) : null;
    case 'boolean':
      return typeof value === 'boolean' ? value : null;
    case 'date':
      if (typeof value !== 'string') return null;
      return Number.isNaN(Date.parse(value)) ? '<invalid>' : formatAge(value, nowMs);
    default:
      return textOf(value);
  }
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number' || typeof value === 'bigint';
}

function textOf(value: unknown): string {
  if (value === null) return '<nil>';
  return typeof value === 'object' ? encodeJson(value) : String(value as string | number | boolean);
}
