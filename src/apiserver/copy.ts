import { isPooled } from '#api/machinery/apply/field-set-pool.ts';
import { setOwn } from '#api/machinery/json.ts';

/**
 * A deep copy of JSON, for the start of a change; shared objects are never changed themselves. The frozen sets of
 * managedFields, half of an object, stay shared.
 */
export function copyOf<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) {
    const copy = new Array<unknown>(value.length);
    for (let index = 0; index < value.length; index++) copy[index] = copyOf(value[index] as unknown);
    return copy as Value;
  }
  const copy: Record<string, unknown> = {};
  for (const key in value) {
    const member = (value as Record<string, unknown>)[key];
    const copied =
      typeof member === 'object' && member !== null && !(key === 'fieldsV1' && isPooled(member))
        ? copyOf(member)
        : member;
    if (key === '__proto__') setOwn(copy, key, copied);
    else copy[key] = copied;
  }
  return copy as Value;
}
