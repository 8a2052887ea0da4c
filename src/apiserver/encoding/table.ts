import { nameColumn } from '#api/machinery/columns.ts';
import { errors } from '#api/machinery/errors.ts';
import type { ApiObject, Column, Kind } from '#api/machinery/kind.ts';
import { partialOf } from './partial.ts';

/** Whether rows carry the object: not at all, its metadata, or the whole of it. */
export type IncludeObject = 'None' | 'Metadata' | 'Object';

export function includeObjectOf(query: URLSearchParams): IncludeObject {
  const asked = query.get('includeObject') ?? '';
  if (asked === '' || asked === 'Metadata') return 'Metadata';
  if (asked === 'None' || asked === 'Object') return asked;
  const must = "must be 'Metadata', 'Object', 'None', or empty";
  throw errors.badRequest(
    `Unable to convert to Table as requested: includeObject: Invalid value: ${JSON.stringify(asked)}: ${must}`,
  );
}

export interface TableForm {
  readonly version: 'v1' | 'v1beta1';
  readonly include: IncludeObject;
  readonly nowMs: number;
}

/** The answer as a metav1.Table. Watch events after the first leave the column definitions out. */
export function tableOf(
  kind: Kind,
  objects: readonly ApiObject[],
  metadata: Readonly<Record<string, unknown>>,
  form: TableForm,
  headers = true,
) {
  const columns = columnsOf(kind);
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${form.version}`,
    metadata,
    columnDefinitions: headers ? columns.map(definitionOf) : null,
    rows: objects.map(object => ({
      cells: columns.map(column => column.cell(object, form.nowMs)),
      object: included(object, form),
    })),
  };
}

function included(object: ApiObject, { include, version }: TableForm): unknown {
  if (include === 'None') return null;
  return include === 'Object' ? object : partialOf(object, version);
}

function columnsOf(kind: Kind): readonly Column[] {
  return kind.columns.length > 0 ? kind.columns : kind.custom ? customColumns : defaultColumns;
}

const createdAtColumn: Column = {
  name: 'Created At',
  type: 'date',
  description: 'When it was created, as the server saw it. RFC 3339, in UTC.',
  cell: item => item.metadata.creationTimestamp ?? null,
};

const defaultColumns = [nameColumn, createdAtColumn];
const customColumns = [nameColumn, { ...createdAtColumn, name: 'Age' }];

function definitionOf({ name, type, format = '', description = '', priority = 0 }: Column) {
  return { name, type, format, description, priority };
}
