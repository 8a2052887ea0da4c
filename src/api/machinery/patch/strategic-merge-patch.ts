import { errors } from '../errors.ts';
import { encodeJson, setOwn } from '../json.ts';
import { resolve, type Json, type JsonObject, type Schema } from '../schema.ts';

/**
 * Applies a strategic merge patch: objects merge, lists merge by the key that the schema names or are replaced, `$`
 * directives do the rest. Neither value is changed; what does not change is shared. Throws an ApiError in upstream's
 * words: 400 for a malformed directive, 422 for lists of lists, 500 for the rest, as upstream has it.
 */
export function applyStrategicMergePatch(schema: Schema, target: JsonObject, patch: JsonObject): JsonObject {
  return mergeObject(target, patch, schema);
}

type List = readonly Json[];

const deletePrefix = '$deleteFromPrimitiveList';
const orderPrefix = '$setElementOrder';

const badFormat = (what: string) => errors.badRequest(`invalid patch format of ${what}`);
const badPrimitiveList = () => badFormat('primitive list');
const badRetainKeys = () => badFormat('retainKeys');
const badElementOrder = () => badFormat('setElementOrder list');
const unexpected = (message: string) => errors.other('', message, undefined, 500);

function mergeObject(original: JsonObject | undefined, patch: JsonObject, schema: Schema | undefined): JsonObject {
  if (has(patch, '$patch')) return directed(patch);
  const result = retained(original ?? {}, patch);
  const ordered = mergeOrdered(result, original ?? {}, patch, schema);
  for (const key in patch) {
    if (key === '$retainKeys' || key.startsWith(orderPrefix) || key.startsWith(deletePrefix) || ordered.has(key))
      continue;
    mergeField(result, key, patch[key] as Json, schema);
  }
  for (const key in patch) if (key.startsWith(deletePrefix)) deleteFromList(result, key, patch[key] as Json);
  return result;
}

function directed(patch: JsonObject): JsonObject {
  const directive = patch['$patch'];
  if (directive === 'delete') return {};
  if (directive !== 'replace') throw unexpected(`unknown patch type: ${String(directive)} in map: ${shown(patch)}`);
  const { $patch: _, ...rest } = patch;
  return rest;
}

/** A copy of the original, without what `$retainKeys` does not name. */
function retained(original: JsonObject, patch: JsonObject): Record<string, Json | undefined> {
  const result: Record<string, Json | undefined> = {};
  const keep = retainedKeys(patch);
  for (const key in original) if (!keep || keep.has(key)) setOwn(result, key, original[key]);
  return result;
}

function retainedKeys(patch: JsonObject): ReadonlySet<Json> | undefined {
  if (!has(patch, '$retainKeys')) return undefined;
  const list = patch['$retainKeys'];
  if (!Array.isArray(list)) throw badRetainKeys();
  const keep = new Set(list as List);
  for (const key in patch) {
    if (key === '$retainKeys' || patch[key] === null || key.startsWith(deletePrefix) || key.startsWith(orderPrefix))
      continue;
    if (!keep.has(key)) throw badRetainKeys();
  }
  return keep;
}

/** Lists that come with `$setElementOrder`. Answers with the names of the fields it has dealt with. */
function mergeOrdered(
  result: Record<string, Json | undefined>,
  original: JsonObject,
  patch: JsonObject,
  schema: Schema | undefined,
): ReadonlySet<string> {
  const done = new Set<string>();
  for (const key in patch) {
    if (!key.startsWith(orderPrefix)) continue;
    const order = asList(patch[key] as Json);
    const name = nameIn(key, orderPrefix, badElementOrder);
    const field = fieldOf(schema, name);
    const { mergeKey } = field;
    const before = has(result, name) ? asList(result[name] as Json) : undefined;
    const patched = has(patch, name) ? asList(patch[name] as Json) : undefined;
    if (patched) checkOrder(patched, order, mergeKey);
    if (patched && before === undefined && isDirective(patched)) continue;
    if (before === undefined && patched === undefined) continue;
    const merged =
      before === undefined
        ? (withoutDirectives(patched as List) as List)
        : patched === undefined
          ? before
          : mergeListField(before, patched, field);
    const serverOrder = has(original, name) ? asList(original[name] as Json) : [];
    setOwn(result, name, arranged(merged, order, serverOrder, mergeKey));
    done.add(name);
  }
  return done;
}

function mergeField(
  result: Record<string, Json | undefined>,
  key: string,
  patched: Json,
  schema: Schema | undefined,
): void {
  if (patched === null) {
    delete result[key];
    return;
  }
  const before = has(result, key) ? (result[key] as Json) : undefined;
  const field = fieldOf(schema, key);
  if (isObject(before) && isObject(patched)) {
    const replaced = field.strategies.includes('replace');
    setOwn(result, key, replaced ? patched : mergeObject(before, patched, field.schema));
  } else if (Array.isArray(before) && Array.isArray(patched)) {
    setOwn(result, key, mergeListField(before as List, patched as List, field));
  } else if (isDirective(patched)) {
    delete result[key];
  } else {
    setOwn(result, key, withoutDirectives(withoutNulls(patched)));
  }
}

interface PatchField {
  readonly schema: Schema | undefined;
  readonly strategies: readonly string[];
  readonly mergeKey: string;
}

function fieldOf(schema: Schema | undefined, name: string): PatchField {
  const owner = schema && resolve(schema);
  if (owner?.type === 'map') return { schema: owner.values, strategies: [], mergeKey: '' };
  const field = owner?.type === 'object' && has(owner.fields, name) ? owner.fields[name] : undefined;
  if (!field) return { schema: undefined, strategies: [], mergeKey: '' };
  const of = resolve(field.schema);
  const strategy = of.type === 'list' ? of.patchStrategy : field.patchStrategy;
  return {
    schema: of.type === 'list' ? of.items : of,
    strategies: strategy?.split(',') ?? [],
    mergeKey: of.type === 'list' ? (of.patchMergeKey ?? '') : '',
  };
}

function mergeListField(original: List, patch: List, { strategies, schema, mergeKey }: PatchField): List {
  if (!strategies.includes('merge')) return patch;
  if (original.length === 0 && patch.length === 0) return original;
  if (!hasObjects(original, patch)) {
    return arranged([...new Set([...original, ...patch])], patch, original, '');
  }
  if (mergeKey === '') throw unexpected('cannot merge lists without merge key for struct');
  const [kept, additions] = directedItems(original, patch, mergeKey);
  const merged = mergeItems(kept, additions, mergeKey, schema);
  // Directives have no place in the order.
  return arranged(merged, additions, kept, mergeKey);
}

/** Are the items objects? Upstream refuses lists that mix types, and lists of lists. */
function hasObjects(...lists: readonly List[]): boolean {
  const types = new Set(
    lists.flat().map(item => {
      if (item === null) return 'null';
      return Array.isArray(item) ? 'list' : typeof item;
    }),
  );
  if (lists.some(list => list.some(Array.isArray)))
    throw errors.other('Invalid', 'the server rejected our request due to an error in our request', {}, 422);
  if (types.size > 1) throw unexpected(`list element types are not identical: ${shown(lists as unknown as Json)}`);
  return types.has('object');
}

/** Deals with items that are directives: what is left of the original, and what is to be merged into it. */
function directedItems(original: List, patch: List, mergeKey: string): [kept: List, additions: List] {
  const additions: Json[] = [];
  let kept = original;
  let replaces = false;
  for (const item of patch as readonly JsonObject[]) {
    const directive = item['$patch'];
    if (!has(item, '$patch')) additions.push(item);
    else if (directive === 'delete') {
      const value = keyOf(item, mergeKey);
      kept = kept.filter(each => (each as JsonObject)[mergeKey] !== value);
    } else if (directive === 'replace') replaces = true;
    else if (directive === 'merge') throw unexpected('merging lists cannot yet be specified in the patch');
    else throw unexpected(`unknown patch type: ${String(directive)} in map: ${shown(item)}`);
  }
  return replaces ? [additions, []] : [kept, additions];
}

function mergeItems(original: List, additions: List, mergeKey: string, schema: Schema | undefined): List {
  const merged = [...original];
  for (const item of additions as readonly JsonObject[]) {
    const value = keyOf(item, mergeKey);
    const at = merged.findIndex(each => (each as JsonObject)[mergeKey] === value);
    if (at < 0) merged.push(item);
    else merged[at] = mergeObject(merged[at] as JsonObject, item, schema);
  }
  return merged;
}

/** Items of the patch in its order; the others in theirs, each before the first item of the patch that used to follow it. */
function arranged(merged: List, patchOrder: List, serverOrder: List, mergeKey: string): List {
  const key = (item: Json) => (mergeKey === '' ? item : keyOf(item as JsonObject, mergeKey));
  // What stands twice has the first of its places.
  const placesIn = (order: List) => new Map(order.map((item, index) => [key(item), index] as const).reverse());
  const inPatch = placesIn(patchOrder);
  const inServer = placesIn(serverOrder);
  const rank = (order: ReadonlyMap<Json, number>) => (a: Json, b: Json) =>
    (order.get(key(a)) ?? Number.MAX_SAFE_INTEGER) - (order.get(key(b)) ?? Number.MAX_SAFE_INTEGER);
  const patched = merged.filter(item => inPatch.has(key(item))).sort(rank(inPatch));
  const serverOnly = merged.filter(item => !inPatch.has(key(item))).sort(rank(inServer));
  const result: Json[] = [];
  let next = 0;
  for (const item of patched) {
    const position = inServer.get(key(item));
    while (position !== undefined && next < serverOnly.length) {
      const other = inServer.get(key(serverOnly[next] as Json));
      if (other === undefined || other >= position) break;
      result.push(serverOnly[next++] as Json);
    }
    result.push(item);
  }
  return [...result, ...serverOnly.slice(next)];
}

/** The items of the patch must stand in `$setElementOrder` in the same order. */
function checkOrder(patched: List, order: List, mergeKey: string): void {
  if (order.length === 0 || patched.length === 0) return;
  const key = (item: Json) => (mergeKey === '' ? item : keyOf(item as JsonObject, mergeKey));
  const items = patched.filter(item => !isDirective(item));
  let at = 0;
  for (const place of order) if (at < items.length && key(items[at] as Json) === key(place)) at++;
  if (at < items.length)
    throw unexpected(
      `The order in patch list:\n${shown(patched)}\n doesn't match $setElementOrder list:\n${shown(order)}\n`,
    );
}

function deleteFromList(result: Record<string, Json | undefined>, key: string, unwanted: Json): void {
  const name = nameIn(key, deletePrefix, badPrimitiveList);
  const before = has(result, name) ? result[name] : undefined;
  if (!Array.isArray(before) || !Array.isArray(unwanted)) return;
  const without = new Set(unwanted as List);
  setOwn(
    result,
    name,
    (before as List).filter(item => !without.has(item)),
  );
}

function nameIn(key: string, prefix: string, error: () => Error): string {
  if (!key.startsWith(`${prefix}/`)) throw error();
  return key.slice(prefix.length + 1);
}

function keyOf(item: JsonObject, mergeKey: string): Json {
  if (!isObject(item)) throw unexpected(`expected a map[string]interface {}, but received a ${typeof item}`);
  if (!has(item, mergeKey)) throw unexpected(`map: ${shown(item)} does not contain declared merge key: ${mergeKey}`);
  return item[mergeKey] as Json;
}

function asList(value: Json): List {
  if (Array.isArray(value)) return value as List;
  throw unexpected(
    `expected a []interface {}, but received a ${isObject(value) ? 'map[string]interface {}' : typeof value}`,
  );
}

function isDirective(value: Json): boolean {
  return isObject(value) && has(value, '$patch');
}

/** What is new in an object carries no directives. */
function withoutDirectives(value: Json): Json {
  if (Array.isArray(value)) return (value as List).filter(item => !isDirective(item)).map(withoutDirectives);
  if (!isObject(value)) return value;
  const result: Record<string, Json> = {};
  for (const key in value)
    if (!isDirective(value[key] as Json)) setOwn(result, key, withoutDirectives(value[key] as Json));
  return result;
}

function withoutNulls(value: Json): Json {
  if (Array.isArray(value)) return (value as List).map(withoutNulls);
  if (!isObject(value)) return value;
  const result: Record<string, Json> = {};
  for (const key in value) if (value[key] !== null) setOwn(result, key, withoutNulls(value[key] as Json));
  return result;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function has(object: object, key: string): boolean {
  return Object.hasOwn(object, key);
}

function shown(value: Json): string {
  return encodeJson(value);
}
