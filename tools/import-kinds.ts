/**
 * Writes `src/api/<group>/<version>/*.ts` from the facts of the reference (types, protobuf numbers, merge keys) and of
 * upstream's Go types (pointers, omitempty, enums). It ran once, to begin with: the files it wrote are ours since, and
 * are edited by hand. It refuses to overwrite a file that is there.
 *
 *   node tools/import-kinds.ts ../shared/reference/kubernetes-1.36 GO_TYPES_DIR
 *
 * GO_TYPES_DIR holds one folder an API package (`core/v1/types.go`).
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

interface FactField {
  type?: string;
  format?: string;
  ref?: string;
  items?: FactField;
  map?: FactField;
  tag?: number;
  tagInEmbedded?: number;
  wire?: string;
  wireField?: string;
  'list-type'?: string;
  'list-map-keys'?: string[];
  'patch-strategy'?: string;
  'patch-merge-key'?: string;
  'map-type'?: string;
}
interface FactType {
  type?: string;
  format?: string;
  required?: string[];
  fields?: Record<string, FactField>;
  'group-version-kind'?: { group: string; version: string; kind: string }[];
  'map-type'?: string;
  unions?: unknown[];
  message?: string;
  embedded?: { wireField: string; tag: number; wire: string; fields: string[] }[];
}
interface Resource {
  group: string;
  version: string;
  kind: string;
  plural: string;
  short: string;
  namespaced: boolean;
  verbs: string[];
  subresources: Record<string, { verbs: string[]; gvk?: { group: string; version: string; kind: string } }>;
  category: string;
  default: boolean;
}
interface GoField {
  goType: string;
  omitempty: boolean;
  omitzero: boolean;
  enum?: string[];
  default?: string;
}

const [reference, goDir] = process.argv.slice(2);
if (!reference || !goDir) throw new Error('usage: import-kinds.ts REFERENCE_DIR GO_TYPES_DIR');
const facts = (JSON.parse(readFileSync(join(reference, 'schema.json'), 'utf8')) as { types: Record<string, FactType> })
  .types;
const resources = JSON.parse(readFileSync(join(reference, 'resources.json'), 'utf8')) as Resource[];
const apiRoot = join(import.meta.dirname, '..', 'src', 'api');

const scalarRefs: Record<string, string> = {
  'io.k8s.apimachinery.pkg.api.resource.Quantity': 'quantity',
  'io.k8s.apimachinery.pkg.apis.meta.v1.Time': 'time',
  'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime': 'microTime',
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': 'intOrString',
  'io.k8s.apimachinery.pkg.runtime.RawExtension': 'rawExtension',
  'io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1': 'fieldsV1',
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON': 'json',
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray': 'json',
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool': 'json',
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray': 'json',
};
const skipped = (name: string) =>
  name in scalarRefs ||
  name.endsWith('.Patch') ||
  name.endsWith('.WatchEvent') ||
  (name.endsWith('List') && facts[name]?.fields?.items !== undefined);

const owned = Object.keys(facts).filter(name => !skipped(name));
const refsOf = (name: string): string[] => {
  const found: string[] = [];
  const visit = (field: FactField) => {
    if (field.ref && !(field.ref in scalarRefs)) found.push(field.ref);
    if (field.items) visit(field.items);
    if (field.map) visit(field.map);
  };
  for (const field of Object.values(facts[name]?.fields ?? {})) visit(field);
  return [...new Set(found)];
};

/** io.k8s.api.apps.v1.Deployment → { dir: 'apps/v1', type: 'Deployment' } */
function place(name: string): { dir: string; type: string } {
  const parts = name.split('.');
  const type = parts.pop() as string;
  const version = parts.pop() as string;
  const pack = parts.pop() as string;
  if (name.includes('.pkg.version.')) return { dir: 'version', type };
  return { dir: `${pack}/${version}`, type };
}
const kebab = (name: string) =>
  name
    .replace(/^(API|CSI|CSR|IP)(?=[A-Z])/g, found => `${found.toLowerCase()}-`)
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1-$2')
    .toLowerCase();

const isKind = (name: string) => {
  const gvks = facts[name]?.['group-version-kind'];
  return gvks !== undefined && facts[name]?.fields?.metadata !== undefined && !name.includes('.apis.meta.');
};
const isRoot = (name: string) => isKind(name) || facts[name]?.['group-version-kind'] !== undefined;

// Dominators over the reference graph say which file a shared type belongs to: a type that only one kind reaches lives
// in that kind's file; one that several reach gets its own.
const users = new Map<string, string[]>();
for (const name of owned) for (const ref of refsOf(name)) users.set(ref, [...(users.get(ref) ?? []), name]);
const order: string[] = [];
const seen = new Set<string>();
const visitOrder = (name: string) => {
  if (seen.has(name)) return;
  seen.add(name);
  for (const ref of refsOf(name)) visitOrder(ref);
  order.unshift(name);
};
for (const name of owned) visitOrder(name);
const fileOf = new Map<string, string>();
for (const name of order) {
  const from = (users.get(name) ?? []).filter(user => user !== name);
  const files = new Set(from.map(user => fileOf.get(user)));
  const own = place(name);
  const [only] = files;
  if (!isRoot(name) && files.size === 1 && only && dirname(only) === own.dir) fileOf.set(name, only);
  else fileOf.set(name, `${own.dir}/${kebab(own.type)}.ts`);
}

const go = readGoTypes(goDir);

function fieldExpression(owner: string, name: string, fact: FactField, tag: number): string {
  const options: string[] = [];
  const goField = goFieldOf(owner, name);
  if (facts[owner]?.required?.includes(name) || (name === 'metadata' && isKind(owner))) options.push('required: true');
  const scalarKind = fact.ref ? scalarRefs[fact.ref] : fact.items || fact.map ? undefined : scalarOf(fact);
  if (goField) {
    const pointer = goField.goType.startsWith('*');
    if (pointer && scalarKind && scalarKind !== 'time' && scalarKind !== 'microTime') options.push('pointer: true');
    const structLike = !pointer && fact.ref !== undefined && scalarKind === undefined;
    const quantityLike = !pointer && scalarKind === 'quantity';
    const always = structLike || quantityLike ? !goField.omitzero : !goField.omitempty && !goField.omitzero;
    if (always) options.push('always: true');
    if (goField.enum && goField.enum.length > 0) options.push(`enum: [${goField.enum.map(quoted).join(', ')}]`);
    if (goField.default !== undefined && !(scalarKind === undefined && fact.ref))
      options.push(`default: ${goField.default}`);
  }
  const also = (key: string, value: string | undefined) => value !== undefined && options.push(`${key}: ${value}`);
  if (fact.items) also('listType', fact['list-type'] && quoted(fact['list-type']));
  if (fact['list-map-keys']) options.push(`mapKeys: [${fact['list-map-keys'].map(quoted).join(', ')}]`);
  also('patchStrategy', fact['patch-strategy'] && quoted(fact['patch-strategy']));
  also('patchMergeKey', fact['patch-merge-key'] && quoted(fact['patch-merge-key']));
  if (fact.map) also('mapType', fact['map-type'] && quoted(fact['map-type']));
  const tail = options.length > 0 ? `, { ${options.join(', ')} }` : '';
  if (fact.items) return `list(${tag}, ${valueExpression(fact.items)}${tail})`;
  if (fact.map) return `map(${tag}, ${valueExpression(fact.map)}${tail})`;
  if (scalarKind) return `${scalarKind}(${tag}${tail})`;
  if (fact.ref) return `struct(${tag}, ${typeName(fact.ref)}${tail})`;
  throw new Error(`cannot write ${owner}.${name}: ${JSON.stringify(fact)}`);
}

function valueExpression(fact: FactField): string {
  if (fact.ref && scalarRefs[fact.ref]) return `types.${scalarRefs[fact.ref]}`;
  if (fact.ref) return typeName(fact.ref);
  if (fact.items) return `listOf(${valueExpression(fact.items)})`;
  return `types.${scalarOf(fact)}`;
}

function scalarOf(fact: FactField): string {
  if (fact.type === 'string') return fact.format === 'byte' ? 'bytes' : 'string';
  if (fact.type === 'integer') return fact.format === 'int64' ? 'int64' : 'int32';
  if (fact.type === 'number') return 'double';
  if (fact.type === 'boolean') return 'boolean';
  if (fact.type === 'object') return 'json';
  throw new Error(`no scalar for ${JSON.stringify(fact)}`);
}

const quoted = (text: string) => `'${text.replaceAll("'", "\\'")}'`;
const typeName = (ref: string) =>
  ref.endsWith('.JSONSchemaProps')
    ? 'lazy(() => JSONSchemaProps)'
    : isKind(ref)
      ? `schemaOf(${place(ref).type})`
      : place(ref).type;
const key = (name: string) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : quoted(name));

function fieldsOf(name: string): string {
  const type = facts[name] as FactType;
  const inEmbedded = new Map<string, number>();
  const lines: string[] = [];
  for (const [fieldName, fact] of Object.entries(type.fields ?? {})) {
    if ((fieldName === 'apiVersion' || fieldName === 'kind') && type['group-version-kind'] && fact.tag === undefined)
      continue;
    if (fact.tagInEmbedded !== undefined || (type.embedded && fact.tag === undefined)) continue;
    if (type.embedded?.some(each => each.fields.includes(fieldName))) {
      inEmbedded.set(fieldName, 0);
      continue;
    }
    lines.push(`${key(fieldName)}: ${fieldExpression(name, fieldName, fact, fact.tag ?? 0)},`);
  }
  for (const each of type.embedded ?? []) lines.push(`...${embeddedExpression(name, each)},`);
  return lines.join('\n  ');
}

/** RuleWithOperations nests Rule, which the reference lists only under its own type. */
function embeddedExpression(owner: string, each: NonNullable<FactType['embedded']>[number]): string {
  const type = facts[owner] as FactType;
  const inner: string[] = [];
  for (const fieldName of each.fields) {
    const fact = type.fields?.[fieldName] as FactField;
    inner.push(`${key(fieldName)}: ${fieldExpression(owner, fieldName, fact, fact.tagInEmbedded ?? 0)},`);
  }
  if (place(owner).type === 'NamedRuleWithOperations') {
    const rule = ['apiGroups', 'apiVersions', 'resources', 'scope']
      .map(
        (fieldName, index) =>
          `${fieldName}: ${fieldExpression(owner, fieldName, type.fields?.[fieldName] as FactField, index + 1)},`,
      )
      .join('\n');
    inner.push(`...embedded(2, {${rule}}),`);
  }
  return `embedded(${each.tag}, {${inner.join('\n')}})`;
}

function typeSource(name: string): string {
  const { type } = place(name);
  const fact = facts[name] as FactType;
  const gvk = fact['group-version-kind']?.[0];
  const options: string[] = [];
  if (fact['map-type']) options.push(`mapType: ${quoted(fact['map-type'])}`);
  if (fact.unions) options.push(`unions: ${JSON.stringify(fact.unions)}`);
  if (gvk && isKind(name)) {
    const resource = resources.find(
      each => each.group === gvk.group && each.version === gvk.version && each.kind === gvk.kind,
    );
    const head = [
      `group: ${quoted(gvk.group)}, version: ${quoted(gvk.version)}, kind: ${quoted(gvk.kind)}, plural: ${quoted(resource?.plural ?? '')}, namespaced: ${resource?.namespaced ?? true},`,
    ];
    if (resource?.short) head.push(`shortNames: [${resource.short.split(',').map(quoted).join(', ')}],`);
    if (resource?.category) head.push(`categories: [${resource.category.split(',').map(quoted).join(', ')}],`);
    if (!resource) head.push('verbs: [],');
    else if (resource.verbs.length !== 8) head.push(`verbs: [${resource.verbs.map(quoted).join(', ')}],`);
    if (resource && !resource.default) head.push('served: false,');
    if (resource && Object.keys(resource.subresources).length > 0) {
      const subs = Object.entries(resource.subresources).map(([sub, { verbs, gvk: kind }]) => {
        const other =
          kind && kind.kind !== gvk.kind
            ? `, kind: { group: ${quoted(kind.group)}, version: ${quoted(kind.version)}, kind: ${quoted(kind.kind)} }`
            : '';
        return `${key(sub)}: { verbs: [${verbs.map(quoted).join(', ')}]${other} },`;
      });
      head.push(`subresources: {${subs.join('\n')}},`);
    }
    return `export const ${type} = defineKind({
  ${head.join('\n  ')}
  type: ${quoted(name)},
  fields: {
  ${fieldsOf(name)}
  },
  ${options.map(option => `${option},`).join('\n')}
});
export type ${type} = ObjectOf<typeof ${type}>;
`;
  }
  const tail = options.length > 0 ? `, { ${options.join(', ')} }` : '';
  if (type === 'JSONSchemaProps')
    return `export interface JSONSchemaProps {
  ${Object.entries(fact.fields ?? {})
    .map(([fieldName, field]) => `readonly ${key(fieldName)}?: ${tsType(field)} | undefined;`)
    .join('\n  ')}
}
export const JSONSchemaProps: Schema<JSONSchemaProps> = object(${quoted(name)}, {
  ${fieldsOf(name)}
}${tail});
`;
  return `export const ${type} = object(${quoted(name)}, {
  ${fieldsOf(name)}
}${tail});
export type ${type} = TypeOf<typeof ${type}>;
`;
}

function tsType(fact: FactField): string {
  if (fact.ref?.endsWith('.JSONSchemaProps')) return 'JSONSchemaProps';
  if (fact.ref && scalarRefs[fact.ref]) return 'Json';
  if (fact.ref) return place(fact.ref).type;
  if (fact.items)
    return `readonly ${tsType(fact.items).includes('|') ? `(${tsType(fact.items)})` : tsType(fact.items)}[]`;
  if (fact.map) return `Readonly<Record<string, ${tsType(fact.map)}>>`;
  return fact.type === 'boolean' ? 'boolean' : fact.type === 'string' ? 'string' : 'number';
}

function writeFiles(): void {
  const byFile = new Map<string, string[]>();
  // Dependencies first inside a file: `order` has users before what they use.
  for (const name of order.toReversed()) {
    const file = fileOf.get(name) as string;
    byFile.set(file, [...(byFile.get(file) ?? []), name]);
  }
  for (const [file, names] of byFile) {
    const body = names.map(typeSource).join('\n');
    const imports = new Map<string, Set<string>>();
    for (const name of names)
      for (const ref of refsOf(name)) {
        const from = fileOf.get(ref) as string;
        if (from !== file) imports.set(from, (imports.get(from) ?? new Set()).add(place(ref).type));
      }
    const up = '../'.repeat(file.split('/').length - 1);
    const used = (word: string) => new RegExp(`(?<![\\w]|[^.]\\.)${word}\\(`).test(body);
    const builders = [
      'boolean',
      'bytes',
      'double',
      'embedded',
      'fieldsV1',
      'int32',
      'int64',
      'intOrString',
      'json',
      'lazy',
      'list',
      'listOf',
      'map',
      'microTime',
      'object',
      'quantity',
      'rawExtension',
      'string',
      'struct',
      'time',
    ].filter(used);
    if (body.includes('types.')) builders.push('types');
    const kinds = body.includes('defineKind(');
    const head = [
      kinds
        ? `import { defineKind, type ObjectOf${body.includes('schemaOf(') ? ', schemaOf' : ''} } from '${up}machinery/kind.ts';`
        : '',
      `import { ${builders.join(', ')}${body.includes('TypeOf<') ? ', type TypeOf' : ''}${body.includes(': Schema<') ? ', type Schema' : ''}${body.includes('Json |') ? ', type Json' : ''} } from '${up}machinery/schema.ts';`,
      ...[...imports].sort().map(([from, types]) => {
        const path = relative(dirname(file), from);
        return `import { ${[...types].sort().join(', ')} } from '${path.startsWith('.') ? path : `./${path}`}';`;
      }),
    ].filter(line => line !== '');
    const target = join(apiRoot, file);
    if (existsSync(target)) throw new Error(`cannot write ${target}: it is there`);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, `${head.join('\n')}\n\n${body}`);
  }
}

/** The table of kinds, in upstream's order of groups. */
function writeTable(): void {
  const kinds = order.filter(isKind);
  const rank = (name: string) => {
    const gvk = facts[name]?.['group-version-kind']?.[0];
    const at = resources.findIndex(
      each => each.group === gvk?.group && each.version === gvk?.version && each.kind === gvk?.kind,
    );
    return at < 0 ? 1e6 : at;
  };
  kinds.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const alias = (name: string) => {
    const { dir, type } = place(name);
    const clash = kinds.filter(each => place(each).type === type).length > 1;
    const [pack = '', version = ''] = dir.split('/');
    const pascal = (word: string) => word.replace(/(^|\d)[a-z]/g, found => found.toUpperCase());
    return clash ? `${type} as ${pascal(pack)}${pascal(version)}${type}` : type;
  };
  const lines = kinds.map(name => `import { ${alias(name)} } from './${fileOf.get(name)}';`);
  const entries = kinds.map(name => `  ${alias(name).split(' as ').at(-1)},`);
  writeFileSync(
    join(apiRoot, 'kinds.ts'),
    `import type { Kind } from './machinery/kind.ts';\n${lines.sort().join('\n')}\n\n/** Every built-in kind, in the order in which discovery lists groups and resources. */\nexport const kinds: readonly Kind[] = [\n${entries.join('\n')}\n] as unknown as readonly Kind[];\n`,
  );
}

function goFieldOf(owner: string, field: string): GoField | undefined {
  const { dir, type } = place(owner);
  return go.get(`${dir}.${type}`)?.get(field);
}

function readGoTypes(root: string): Map<string, Map<string, GoField>> {
  const structs = new Map<string, { fields: Map<string, GoField>; inline: string[] }>();
  const enums = new Map<string, string[]>();
  const files: { dir: string; text: string }[] = [];
  const walk = (dir: string) => {
    for (const name of readdirSync(join(root, dir))) {
      const path = join(dir, name);
      if (statSync(join(root, path)).isDirectory()) walk(path);
      else if (name.endsWith('.go')) files.push({ dir, text: readFileSync(join(root, path), 'utf8') });
    }
  };
  walk('');
  for (const { dir, text } of files) {
    for (const [, doc = '', name] of text.matchAll(/((?:^\/\/.*\n)+)type (\w+) string/gm))
      if (/\+enum/.test(doc)) enums.set(`${dir}.${name}`, []);
  }
  for (const { dir, text } of files)
    for (const [, name, value] of text.matchAll(/^\s*\w+\s+(\w+)\s*=\s*"([^"]*)"/gm))
      enums.get(`${dir}.${name}`)?.push(value as string);
  for (const { dir, text } of files)
    for (const [, name, body = ''] of text.matchAll(/^type (\w+) struct \{\n([\s\S]*?)^\}/gm)) {
      const fields = new Map<string, GoField>();
      const inline: string[] = [];
      let marker: string | undefined;
      for (const line of body.split('\n')) {
        const isDefault = /^\s*\/\/ \+default=(.*)$/.exec(line);
        if (isDefault) marker = isDefault[1];
        const embed =
          /^\s*([\w.]+)\s+`json:",(?:inline|omitempty)/.exec(line) ?? /^\s*([\w.]+)\s+`protobuf:/.exec(line);
        if (embed) inline.push(embed[1] as string);
        const found = /^\s*\w+\s+(\S+)\s+`[^`]*json:"([^",]+)((?:,\w+)*)"/.exec(line);
        if (!found) continue;
        const [, goType = '', jsonName = '', flags = ''] = found;
        const bare = goType.replace(/^[*[\]]+/, '');
        const values = enums.get(`${dir}.${bare}`);
        fields.set(jsonName, {
          goType,
          omitempty: flags.includes('omitempty'),
          omitzero: flags.includes('omitzero'),
          ...(values && !goType.startsWith('[]') && { enum: [...new Set(values)].sort() }),
          ...(marker !== undefined && !marker.startsWith('ref(') && { default: marker.replaceAll('"', "'") }),
        });
        marker = undefined;
      }
      structs.set(`${dir}.${name}`, { fields, inline });
    }
  const flat = new Map<string, Map<string, GoField>>();
  const flatten = (name: string): Map<string, GoField> => {
    const { fields, inline } = structs.get(name) ?? { fields: new Map<string, GoField>(), inline: [] };
    const [dir] = name.split('.');
    const all = new Map(fields);
    for (const each of inline) {
      const [pack, type] = each.includes('.') ? each.split('.') : [undefined, each];
      const target = pack
        ? `${pack.replace(/^(\w+?)(v\d\w*)$/, '$1/$2').replace('admissionregistration/v1', 'admissionregistration/v1')}.${type}`
        : `${dir}.${type}`;
      for (const [field, fact] of flatten(target)) if (!all.has(field)) all.set(field, fact);
    }
    return all;
  };
  for (const name of structs.keys()) flat.set(name, flatten(name));
  return flat;
}

writeFiles();
writeTable();
