import type { Json } from '../schema.ts';
import { formatPath } from './field-set.ts';
import { isObject, memberOf, type Structure } from './structure.ts';

/** The places in a configuration where a list or an object stands that has one owner: `.spec.selector`. */
export function atomicsIn(structure: Structure, value: Json, path: readonly string[] = []): string[] {
  if (structure.type === 'leaf')
    return structure.atomic && typeof value === 'object' && value !== null ? [formatPath(path)] : [];
  if (structure.type === 'list')
    return Array.isArray(value)
      ? (value as readonly Json[]).flatMap((item, index) => atomicsIn(structure.item(), item, [...path, `i:${index}`]))
      : [];
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([name, each]) => {
    const member = memberOf(structure, name);
    return member && each !== undefined ? atomicsIn(member.of(), each, [...path, member.element]) : [];
  });
}
