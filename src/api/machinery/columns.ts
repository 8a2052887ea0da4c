import { formatAge } from './duration.ts';
import type { ApiObject, Column } from './kind.ts';

/*
 * Builders for the columns of `kubectl get`. Names, types and priorities are upstream's: clients show them as they are.
 */

type Cell<Type> = { cell(item: Type, nowMs: number): string | number | boolean | null }['cell'];

export const nameColumn: Column<ApiObject> = {
  name: 'Name',
  type: 'string',
  format: 'name',
  description: 'Name of the object.',
  cell: item => item.metadata.name ?? '',
};

export const ageColumn: Column<ApiObject> = {
  name: 'Age',
  type: 'string',
  description: 'Time since it was created.',
  cell: (item, nowMs) => formatAge(item.metadata.creationTimestamp, nowMs),
};

export function text<Type>(name: string, description: string, cell: Cell<Type>): Column<Type> {
  return { name, type: 'string', description, cell };
}

export function integer<Type>(name: string, description: string, cell: Cell<Type>): Column<Type> {
  return { name, type: 'integer', description, cell };
}

export function boolean<Type>(name: string, description: string, cell: Cell<Type>): Column<Type> {
  return { name, type: 'boolean', description, cell };
}

/** Shown with `-o wide` only. */
export function wide<Type>(column: Column<Type>): Column<Type> {
  return { ...column, priority: 1 };
}

/** Names or images of containers, joined. */
export function joined(items: readonly object[] | undefined, field: string): string {
  return (items ?? []).map(item => String((item as Readonly<Record<string, unknown>>)[field] ?? '')).join(',');
}

/** `a=b,c=d`, or `<none>`. */
export function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? '<none>' : pairs.sort().join(',');
}
