import { deepEqual } from '#base/deep-equal.ts';
import { setOwn } from '#api/machinery/json.ts';
import type { Json, JsonObject } from '#api/machinery/schema.ts';

/** The parts of an OpenAPI v2 document that are put together with those of others. */
export interface Swagger {
  readonly paths: Members;
  readonly definitions: Members;
  readonly parameters: Members;
}

type Members = Readonly<Record<string, Json>>;

const definitionPrefix = '#/definitions/';
const parameterPrefix = '#/parameters/';

/** What stands below a path, with the definitions that it needs. */
export function ownPart(document: unknown, prefix: string): Swagger {
  const paths = members(document, 'paths').filter(([path]) => path === prefix.slice(0, -1) || path.startsWith(prefix));
  const definitions = new Map(members(document, 'definitions'));
  const parameters = new Map(members(document, 'parameters'));
  const used = new Set<string>();
  const follow = (value: Json): void => {
    for (const reference of referencesIn(value)) {
      if (used.has(reference)) continue;
      used.add(reference);
      const target = reference.startsWith(definitionPrefix)
        ? definitions.get(reference.slice(definitionPrefix.length))
        : parameters.get(reference.slice(parameterPrefix.length));
      if (target !== undefined) follow(target);
    }
  };
  for (const [, item] of paths) follow(item);
  return {
    paths: objectFrom(paths),
    definitions: objectFrom([...definitions].filter(([name]) => used.has(definitionPrefix + name))),
    parameters: objectFrom([...parameters].filter(([name]) => used.has(parameterPrefix + name))),
  };
}

/** What is already in a document, as far as somebody else's part could clash with it. */
export interface Present {
  hasPath(path: string): boolean;
  definition(name: string): Json | undefined;
  parameter(name: string): Json | undefined;
}

/** The part as it can be added: what is there under the same name and differs is given another one (`name_v2`). */
export function withoutClashes(part: Swagger, present: Present): Swagger {
  const renamed = new Map<string, string>();
  const dropped = new Set<string>();
  const decide = (prefix: string, own: Members, other: (name: string) => Json | undefined) => {
    for (const [name, value] of Object.entries(own)) {
      const there = other(name);
      if (there === undefined) continue;
      if (deepEqual(withoutDescriptions(there), withoutDescriptions(value))) {
        dropped.add(prefix + name);
        continue;
      }
      let number = 2;
      while (other(`${name}_v${number}`) !== undefined || Object.hasOwn(own, `${name}_v${number}`)) number++;
      renamed.set(prefix + name, `${prefix}${name}_v${number}`);
    }
  };
  decide(definitionPrefix, part.definitions, name => present.definition(name));
  decide(parameterPrefix, part.parameters, name => present.parameter(name));
  const rewritten = (prefix: string, own: Members) =>
    objectFrom(
      Object.entries(own)
        .filter(([name]) => !dropped.has(prefix + name))
        .map(([name, value]) => [
          (renamed.get(prefix + name) ?? prefix + name).slice(prefix.length),
          rereferenced(value, reference => renamed.get(reference) ?? reference),
        ]),
    );
  return {
    paths: objectFrom(
      Object.entries(part.paths)
        .filter(([path]) => !present.hasPath(path))
        .map(([path, item]) => [path, rereferenced(item, reference => renamed.get(reference) ?? reference)]),
    ),
    definitions: rewritten(definitionPrefix, part.definitions),
    parameters: rewritten(parameterPrefix, part.parameters),
  };
}

/** OpenAPI v3 of a part, as far as v2 says it: for servers that know no v3. */
export function openApi3From({ paths, definitions, parameters }: Swagger): Members {
  const toV3 = (value: Json): Json =>
    rereferenced(value, reference => reference.replace(definitionPrefix, '#/components/schemas/'));
  const resolved = (parameter: Json): JsonObject => {
    const { $ref } = parameter as JsonObject;
    const target = typeof $ref === 'string' ? parameters[$ref.slice(parameterPrefix.length)] : parameter;
    return (target ?? {}) as JsonObject;
  };
  const content = (types: Json | undefined, schema: Json): JsonObject =>
    objectFrom((Array.isArray(types) && types.length > 0 ? types : ['*/*']).map(type => [String(type), { schema }]));
  const parameterOf = ({ name, in: where, description, required, ...type }: JsonObject): JsonObject => ({
    name: name as Json,
    in: where as Json,
    ...(description !== undefined && { description }),
    ...(required !== undefined && { required }),
    schema: toV3(type),
  });
  const operationOf = (operation: JsonObject): JsonObject => {
    const { consumes, produces, parameters: own, responses, schemes, ...rest } = operation;
    void schemes;
    const given = (Array.isArray(own) ? own : []).map(resolved);
    const body = given.find(each => each['in'] === 'body');
    const others = given.filter(each => each['in'] !== 'body').map(parameterOf);
    return {
      ...rest,
      ...(others.length > 0 && { parameters: others }),
      ...(body && {
        requestBody: {
          content: content(consumes, toV3((body['schema'] ?? {}) as Json)),
          ...(body['required'] === true && { required: true }),
        },
      }),
      responses: objectFrom(
        Object.entries((responses ?? {}) as Members).map(([code, response]) => {
          const { description = '', schema } = response as JsonObject;
          return [code, { description, ...(schema !== undefined && { content: content(produces, toV3(schema)) }) }];
        }),
      ),
    };
  };
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'unversioned' },
    paths: objectFrom(
      Object.entries(paths).map(([path, item]) => [
        path,
        objectFrom(
          Object.entries(item as Members).map(([member, value]) => [
            member,
            member === 'parameters'
              ? (value as readonly Json[]).map(each => parameterOf(resolved(each)))
              : operationOf(value as JsonObject),
          ]),
        ),
      ]),
    ),
    components: { schemas: objectFrom(Object.entries(definitions).map(([name, schema]) => [name, toV3(schema)])) },
  };
}

function members(document: unknown, member: string): [string, Json][] {
  const value = (document as Record<string, unknown> | null)?.[member];
  return typeof value === 'object' && value !== null ? Object.entries(value as Members) : [];
}

function* referencesIn(value: Json): Generator<string, void, undefined> {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const each of value) yield* referencesIn(each);
    return;
  }
  for (const [name, each] of Object.entries(value)) {
    if (name === '$ref' && typeof each === 'string') yield each;
    else yield* referencesIn(each as Json);
  }
}

function rereferenced(value: Json, rename: (reference: string) => string): Json {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(each => rereferenced(each, rename));
  return objectFrom(
    Object.entries(value).map(([name, each]) => [
      name,
      name === '$ref' && typeof each === 'string' ? rename(each) : rereferenced(each as Json, rename),
    ]),
  );
}

const gvkExtension = 'x-kubernetes-group-version-kind';

/** Servers word things differently, and each knows its own groups; what they describe is the same. */
function withoutDescriptions(value: Json): Json {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutDescriptions);
  return objectFrom(
    Object.entries(value)
      .filter(([name, each]) => (name !== 'description' || typeof each !== 'string') && name !== gvkExtension)
      .map(([name, each]) => [name, withoutDescriptions(each as Json)]),
  );
}

function objectFrom(entries: Iterable<readonly [string, Json]>): Members {
  const result: Record<string, Json> = {};
  for (const [name, value] of entries) setOwn(result, name, value);
  return result;
}
