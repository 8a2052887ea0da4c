import { resolve, type Json, type JsonObject, type ObjectSchema, type ScalarType, type Schema } from '../schema.ts';
import { formatPath } from './field-set.ts';
import { elementOf, isObject, isOpen, structureOf } from './structure.ts';

/**
 * What in a configuration does not fit its type: fields the type does not have, values of another sort, items that
 * cannot be told apart. In the words of structured-merge-diff, which clients of server-side apply show to their users.
 */
export function misfitsOf(schema: Schema, value: Json): string[] {
  const found: string[] = [];
  walk(schema, value, [], found);
  return found;
}

/** One sentence for all of them. */
export function misfitMessage(found: readonly string[]): string {
  return found.length === 1 ? (found[0] as string) : ['errors:', ...found.map(each => `  ${each}`)].join('\n');
}

type Path = readonly string[];

function walk(schema: Schema, value: Json, path: Path, found: string[]): void {
  if (value === null) return;
  const of = resolve(schema);
  switch (of.type) {
    case 'object':
    case 'map':
      if (!isObject(value)) say(found, path, `expected map, got &{${printed(value)}}`);
      else if (of.type === 'object') walkFields(of, value, path, found);
      else for (const name in value) walk(of.values, value[name] as Json, [...path, `f:${name}`], found);
      return;
    case 'list':
      if (Array.isArray(value)) walkItems(of, value, path, found);
      else say(found, path, `expected list, got &{${printed(value)}}`);
      return;
    default:
      if (of.of === undefined) checkScalar(of.type, value, path, found);
  }
}

function walkFields(schema: ObjectSchema, value: JsonObject, path: Path, found: string[]): void {
  for (const name in value) {
    const at = [...path, `f:${name}`];
    if (Object.hasOwn(schema.fields, name)) {
      walk((schema.fields[name] as { readonly schema: Schema }).schema, value[name] as Json, at, found);
    } else if (schema.isKind && (name === 'apiVersion' || name === 'kind')) {
      checkScalar('string', value[name] as Json, at, found);
    } else if (!isOpen(schema)) {
      say(found, at, 'field not declared in schema');
      return;
    }
  }
}

function walkItems(schema: Schema & { readonly items: Schema }, list: readonly Json[], path: Path, found: string[]) {
  const structure = structureOf(schema);
  const seen = new Set<string>();
  for (const [position, item] of list.entries()) {
    let element = `i:${position}`;
    if (structure.type === 'list') {
      try {
        element = elementOf(structure.keys, item);
      } catch (error) {
        say(found, path, `element ${position}: ${(error as Error).message}`);
        return;
      }
      if (seen.has(element)) say(found, path, `duplicate entries for key ${formatPath([element])}`);
      seen.add(element);
    }
    walk(schema.items, item, [...path, element], found);
  }
}

function checkScalar(type: ScalarType, value: Json, path: Path, found: string[]): void {
  switch (type) {
    case 'string':
    case 'bytes':
      if (typeof value !== 'string')
        say(found, path, `expected string, got &value.valueUnstructured{Value:${literal(value)}}`);
      return;
    case 'int32':
    case 'int64':
    case 'double':
      if (typeof value !== 'number' && typeof value !== 'bigint')
        say(found, path, `expected numeric (int or float), got ${typeName(value)}`);
      return;
    case 'boolean':
      if (typeof value !== 'boolean') say(found, path, `expected boolean, got &{${printed(value)}}`);
      return;
    case 'quantity':
    case 'time':
    case 'microTime':
    case 'intOrString':
      if (typeof value === 'object') say(found, path, `expected any scalar, got &{${printed(value)}}`);
      return;
    case 'rawExtension':
    case 'fieldsV1':
    case 'json':
      return;
  }
}

function say(found: string[], path: Path, problem: string): void {
  found.push(path.length === 0 ? problem : `${formatPath(path)}: ${problem}`);
}

/** As Go's %v prints it. */
function printed(value: Json | undefined): string {
  if (Array.isArray(value)) return `[${value.map(printed).join(' ')}]`;
  if (!isObject(value)) return value === null || value === undefined ? '<nil>' : String(value);
  const entries = Object.keys(value).sort();
  return `map[${entries.map(name => `${name}:${printed(value[name])}`).join(' ')}]`;
}

/** As Go's %#v prints it. */
function literal(value: Json | undefined): string {
  if (Array.isArray(value)) return `[]interface {}{${value.map(literal).join(', ')}}`;
  if (value === null || value === undefined) return 'interface {}(nil)';
  if (!isObject(value)) return typeof value === 'string' ? JSON.stringify(value) : String(value);
  const entries = Object.keys(value).sort();
  return `map[string]interface {}{${entries.map(name => `${JSON.stringify(name)}:${literal(value[name])}`).join(', ')}}`;
}

function typeName(value: Json): string {
  if (Array.isArray(value)) return '[]interface {}';
  if (typeof value === 'boolean') return 'bool';
  return typeof value === 'object' ? 'map[string]interface {}' : typeof value;
}
