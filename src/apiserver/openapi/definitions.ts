import { apiVersionOf, type Kind, listKindOf } from '#api/machinery/kind.ts';
import { list, object, resolve, struct, type Field, type ObjectSchema, type Schema } from '#api/machinery/schema.ts';
import { APIGroup } from '#api/meta/v1/api-group.ts';
import { APIGroupList } from '#api/meta/v1/api-group-list.ts';
import { APIResourceList } from '#api/meta/v1/api-resource-list.ts';
import { APIVersions } from '#api/meta/v1/api-versions.ts';
import { DeleteOptions } from '#api/meta/v1/delete-options.ts';
import { ListMeta, Status } from '#api/meta/v1/status.ts';
import { WatchEvent } from '#api/meta/v1/watch-event.ts';
import { Info } from '#api/version/info.ts';
import type { GroupVersionKind } from './operations.ts';
import { definitionNameOf } from './names.ts';

/** A named type of the API. */
export interface Definition {
  readonly schema: Schema;
  /** Has apiVersion and kind. */
  readonly isKind: boolean;
  readonly gvks: readonly GroupVersionKind[];
  readonly doc?: string;
}

/** Every type that the API's paths mention, by name. */
export function definitionsOf(kinds: readonly Kind[]): ReadonlyMap<string, Definition> {
  const found = new Map<string, Definition>();
  // Without those of definitions: a document would change with every definition of another group.
  const builtIn = kinds.filter(kind => !kind.custom);
  const everyVersion = [...new Map(builtIn.map(kind => [apiVersionOf(kind), kind])).values()];
  const inEvery = (kind: string) => everyVersion.map(({ group, version }) => ({ group, version, kind }));
  const core = (kind: string) => [{ group: '', version: 'v1', kind }];
  const general: readonly (readonly [ObjectSchema, boolean, readonly GroupVersionKind[]])[] = [
    [APIGroup, true, core('APIGroup')],
    [APIGroupList, true, core('APIGroupList')],
    [APIResourceList, true, core('APIResourceList')],
    [APIVersions, true, core('APIVersions')],
    [DeleteOptions, true, inEvery('DeleteOptions')],
    [Status, true, core('Status')],
    [WatchEvent, false, inEvery('WatchEvent')],
    [Info, false, []],
  ];
  for (const [schema, isKind, gvks] of general) add(found, schema.name, { schema, isKind, gvks });
  add(found, 'io.k8s.apimachinery.pkg.apis.meta.v1.Patch', {
    schema: object('io.k8s.apimachinery.pkg.apis.meta.v1.Patch', {}),
    isKind: false,
    gvks: [],
  });
  for (const kind of kinds) {
    const name = definitionNameOf(kind);
    const gvk = { group: kind.group, version: kind.version, kind: kind.kind };
    add(found, name, { schema: kind.schema, isKind: true, gvks: [gvk] });
    if (!kind.verbs.includes('list')) continue;
    const schema = object(`${name}List`, {
      items: list(2, { ...kind.schema, name }, { required: true, doc: `The objects of kind ${kind.kind}.` }),
      metadata: struct(1, ListMeta, { doc: 'The version of the list, and where it goes on.' }),
    });
    add(found, `${name}List`, {
      schema,
      isKind: true,
      gvks: [{ ...gvk, kind: listKindOf(kind) }],
      doc: `A list of objects of kind ${kind.kind}.`,
    });
  }
  return new Map([...found].sort(([left], [right]) => (left < right ? -1 : 1)));
}

/** The names of the types that a type is made of, itself included. */
export function reachableFrom(names: Iterable<string>, definitions: ReadonlyMap<string, Definition>): Set<string> {
  const reached = new Set<string>();
  const waiting = [...names];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const definition = definitions.get(name);
    if (!definition || reached.has(name)) continue;
    reached.add(name);
    for (const inner of partsOf(definition.schema)) {
      const innerName = nameOf(inner);
      if (innerName !== '') waiting.push(innerName);
      // A type without a name stands inside of this one: its parts are ours.
      else waiting.push(...namesWithin(inner));
    }
  }
  return reached;
}

export function nameOf(schema: Schema): string {
  const resolved = resolve(schema);
  return ('name' in resolved ? resolved.name : undefined) ?? '';
}

function add(found: Map<string, Definition>, name: string, definition: Definition): void {
  if (found.has(name)) return;
  found.set(name, definition);
  for (const inner of partsOf(definition.schema)) collect(found, inner);
}

function collect(found: Map<string, Definition>, schema: Schema): void {
  const name = nameOf(schema);
  if (name !== '') add(found, name, { schema: resolve(schema), isKind: false, gvks: [] });
  else for (const inner of partsOf(schema)) collect(found, inner);
}

function namesWithin(schema: Schema): string[] {
  return [...partsOf(schema)].flatMap(inner => {
    const name = nameOf(inner);
    return name === '' ? namesWithin(inner) : [name];
  });
}

function partsOf(schema: Schema): readonly Schema[] {
  const resolved = resolve(schema);
  switch (resolved.type) {
    case 'object':
      return Object.values<Field>(resolved.fields).map(field => field.schema);
    case 'list':
      return [resolved.items];
    case 'map':
      return [resolved.values];
    default:
      return [];
  }
}
