import type { Json } from '../schema.ts';
import { inOrder, type FieldSet } from './field-set.ts';

/** Sets of fields with their texts, by their texts. Objects made of one template own the same fields. */
const byText = new Map<string, FieldSet>();
const texts = new WeakMap<object, string>();

/** Texts in the pool; the oldest go first. */
const pooledMax = 2_048;
/** Sets that are so long are hardly shared. */
const textLengthMax = 16 * 1024;

/** The same set in upstream's order, frozen and shared by all who own the same fields. */
export function pooled(fields: FieldSet): FieldSet {
  if (texts.has(fields)) return fields;
  const text = JSON.stringify(fields);
  const known = byText.get(text);
  if (known) return known;
  const sorted = inOrder(fields);
  if (text.length > textLengthMax) return sorted;
  const sortedText = JSON.stringify(sorted);
  const shared = byText.get(sortedText) ?? sorted;
  freeze(shared);
  texts.set(shared, sortedText);
  // Who comes with the same fields in the same disorder finds them at once.
  for (const each of [sortedText, text]) byText.set(each, shared);
  while (byText.size > pooledMax) byText.delete(byText.keys().next().value as string);
  return shared;
}

/** Whether these are fields of the pool, which nobody changes. */
export function isPooled(fields: unknown): fields is FieldSet {
  return typeof fields === 'object' && fields !== null && texts.has(fields);
}

/** The JSON of a set of the pool; undefined for any other value. */
export function pooledText(fields: unknown): string | undefined {
  return typeof fields === 'object' && fields !== null ? texts.get(fields) : undefined;
}

function freeze(value: Json): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  for (const name in value) freeze((value as Readonly<Record<string, Json>>)[name] as Json);
  Object.freeze(value);
}
