import type { JSONSchemaProps } from './v1/custom-resource-definition.ts';
import { schemaIn } from './v1/schema-parts.ts';

/** Finds the item that was there before with the same keys. Only items of lists of type `map` have such a one. */
export function correlatedItems(schema: JSONSchemaProps, old: unknown): (item: unknown) => unknown {
  if (schema['x-kubernetes-list-type'] !== 'map' || !Array.isArray(old)) return () => undefined;
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const defaults = schemaIn(schema.items)?.properties ?? {};
  const identityOf = (item: unknown) => {
    if (typeof item !== 'object' || item === null) return undefined;
    const fields = item as Readonly<Record<string, unknown>>;
    return JSON.stringify(
      keys.map(key => (Object.hasOwn(fields, key) ? String(fields[key]) : (defaults[key]?.default ?? null))),
    );
  };
  let known: Map<string, unknown> | undefined;
  return item => {
    if (!known) {
      known = new Map();
      for (const each of old) {
        const identity = identityOf(each);
        if (identity !== undefined && !known.has(identity)) known.set(identity, each);
      }
    }
    const identity = identityOf(item);
    return identity === undefined ? undefined : known.get(identity);
  };
}
