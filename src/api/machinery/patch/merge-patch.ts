import { setOwn } from '../json.ts';
import type { Json, JsonObject } from '../schema.ts';

/** Applies a JSON merge patch (RFC 7386). Neither value is changed; what does not change is shared. */
export function applyMergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result: Record<string, Json | undefined> = {};
  if (isObject(target)) {
    for (const key in target) {
      if (!(Object.hasOwn(patch, key) && patch[key] === null)) setOwn(result, key, target[key]);
    }
  }
  for (const key in patch) {
    const value = patch[key] as Json;
    if (value !== null)
      setOwn(result, key, applyMergePatch(Object.hasOwn(result, key) ? result[key] : undefined, value));
  }
  return result;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
