/**
 * Are two JSON values the same, with absent, null, zero, empty text, empty list and empty object being one? So a status
 * compares equal to what the server made of it, which leaves zeros out.
 */
export function sameApartFromZeros(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (isZero(a) || isZero(b)) return isZero(a) && isZero(b);
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b))
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, index) => sameApartFromZeros(item, b[index]))
    );
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  for (const key of Object.keys(left)) if (!sameApartFromZeros(left[key], member(right, key))) return false;
  for (const key of Object.keys(right)) if (!Object.hasOwn(left, key) && !isZero(right[key])) return false;
  return true;
}

function member(object: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function isZero(value: unknown): boolean {
  switch (typeof value) {
    case 'undefined':
      return true;
    case 'number':
      return value === 0;
    case 'string':
      return value === '';
    case 'boolean':
      return !value;
    case 'object':
      if (value === null) return true;
      if (Array.isArray(value)) return value.length === 0;
      for (const key of Object.keys(value)) if (!isZero((value as Record<string, unknown>)[key])) return false;
      return true;
    default:
      return false;
  }
}

/** Are two JSON values the same? Absent members and undefined ones are. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b))
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, index) => sameJson(item, b[index]))
    );
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  for (const key of Object.keys(left)) if (!sameJson(left[key], member(right, key))) return false;
  for (const key of Object.keys(right)) if (right[key] !== undefined && !Object.hasOwn(left, key)) return false;
  return true;
}
