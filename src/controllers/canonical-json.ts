const known = new WeakMap<object, string>();

/**
 * JSON with sorted keys and without what is absent or empty, so that equal values have equal text. Remembered for objects
 * that come from the API, which never change.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const before = known.get(value);
  if (before !== undefined) return before;
  const text = Array.isArray(value) ? `[${value.map(canonicalJson).join(',')}]` : objectText(value);
  known.set(value, text);
  return text;
}

function objectText(value: object): string {
  const members: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const member = (value as Record<string, unknown>)[key];
    if (member === undefined || member === null) continue;
    const text = canonicalJson(member);
    if (text !== '{}' && text !== '[]') members.push(`${JSON.stringify(key)}:${text}`);
  }
  return `{${members.join(',')}}`;
}
