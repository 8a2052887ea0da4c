/** Equality of JSON values; the order of keys does not count, and an undefined field is an absent one. */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let index = 0; index < a.length; index++) if (!deepEqual(a[index], b[index])) return false;
    return true;
  }
  if (Array.isArray(b)) return false;
  return containsAll(a as Fields, b as Fields) && hasNoMore(a as Fields, b as Fields);
}

type Fields = Readonly<Record<string, unknown>>;

function containsAll(a: Fields, b: Fields): boolean {
  for (const key in a) {
    const value = a[key];
    if (value === undefined) continue;
    if (!Object.hasOwn(b, key) || !deepEqual(value, b[key])) return false;
  }
  return true;
}

function hasNoMore(a: Fields, b: Fields): boolean {
  for (const key in b) if (b[key] !== undefined && (!Object.hasOwn(a, key) || a[key] === undefined)) return false;
  return true;
}
