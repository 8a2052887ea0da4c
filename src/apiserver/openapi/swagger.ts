import { kubernetesVersion } from '#api/machinery/version.ts';
import type { Kind } from '#api/machinery/kind.ts';
import type { Json } from '#api/machinery/schema.ts';
import { type Swagger, withoutClashes } from '../aggregation/remote-swagger.ts';
import { definitionsOf, type Definition } from './definitions.ts';
import { apiPaths, type Operation, type Path } from './operations.ts';
import type { Parameter } from './parameters.ts';
import { renderDefinition, swagger2 } from './type-rendering.ts';

/**
 * The OpenAPI v2 document of a set of kinds as pieces of JSON text, each small: whoever puts them together can let others
 * have a turn in between. `parts` are those of other servers.
 */
export function* swaggerText(
  kinds: readonly Kind[],
  parts: readonly Swagger[] = [],
): Generator<string, void, undefined> {
  const shared = new SharedParameters();
  const info = { title: 'Kubernetes', version: kubernetesVersion.gitVersion };
  yield `{"swagger":"2.0","info":${JSON.stringify(info)},"paths":{`;
  let comma = '';
  const paths = apiPaths(kinds);
  for (const path of paths) {
    yield `${comma}${JSON.stringify(path.path)}:${JSON.stringify(renderPath(path, shared))}`;
    comma = ',';
  }
  const definitions = definitionsOf(kinds);
  const added = addedTo(parts, new Set(paths.map(({ path }) => path)), definitions, shared);
  for (const part of added) {
    for (const [path, item] of Object.entries(part.paths)) {
      yield `${comma}${JSON.stringify(path)}:${JSON.stringify(item)}`;
      comma = ',';
    }
  }
  yield '},"definitions":{';
  comma = '';
  for (const [name, definition] of definitions) {
    yield `${comma}${JSON.stringify(name)}:${JSON.stringify(renderDefinition(definition, swagger2))}`;
    comma = ',';
  }
  for (const part of added) {
    for (const [name, definition] of Object.entries(part.definitions)) {
      yield `${comma}${JSON.stringify(name)}:${JSON.stringify(definition)}`;
      comma = ',';
    }
  }
  const parameters = Object.assign(Object.create(null), shared.rendered, ...added.map(each => each.parameters));
  yield `},"parameters":${JSON.stringify(parameters)},`;
  yield `"securityDefinitions":${JSON.stringify(securityDefinitions)},"security":[{"BearerToken":[]}]}`;
}

/** The parts of others as they can stand beside what is here. */
function addedTo(
  parts: readonly Swagger[],
  paths: Set<string>,
  definitions: ReadonlyMap<string, Definition>,
  shared: SharedParameters,
): readonly Swagger[] {
  const more = { definitions: new Map<string, Json>(), parameters: new Map<string, Json>() };
  return parts.map(part => {
    const fitting = withoutClashes(part, {
      hasPath: path => paths.has(path),
      definition(name) {
        const own = definitions.get(name);
        return own ? (renderDefinition(own, swagger2) as Json) : more.definitions.get(name);
      },
      parameter: name =>
        Object.hasOwn(shared.rendered, name) ? (shared.rendered[name] as Json) : more.parameters.get(name),
    });
    for (const path of Object.keys(fitting.paths)) paths.add(path);
    for (const [name, value] of Object.entries(fitting.definitions)) more.definitions.set(name, value);
    for (const [name, value] of Object.entries(fitting.parameters)) more.parameters.set(name, value);
    return fitting;
  });
}

const securityDefinitions = {
  BearerToken: { description: 'Bearer Token authentication', type: 'apiKey', name: 'authorization', in: 'header' },
};

/** Parameters that many operations have are written once: that makes the document a third of the size. */
class SharedParameters {
  readonly #names = new Map<Parameter, string>();
  readonly rendered: Record<string, object> = {};

  reference(parameter: Parameter): object {
    // The names of objects differ from kind to kind.
    if (parameter.name === 'name') return renderParameter(parameter);
    let name = this.#names.get(parameter);
    if (name === undefined) {
      name = [
        parameter.name,
        ...Array.from({ length: this.#names.size }, (_, position) => `${parameter.name}-${position + 2}`),
      ].find(each => !(each in this.rendered)) as string;
      this.#names.set(parameter, name);
      this.rendered[name] = renderParameter(parameter);
    }
    return { $ref: `#/parameters/${name}` };
  }
}

function renderPath({ operations }: Path, shared: SharedParameters): object {
  const common = commonParameters(operations);
  return {
    ...Object.fromEntries(operations.map(operation => [operation.method, renderOperation(operation, common, shared)])),
    ...(common.length > 0 && { parameters: common.map(each => shared.reference(each)) }),
  };
}

/** What all operations of a path take stands beside them. */
export function commonParameters(operations: readonly Operation[]): Parameter[] {
  const [first, ...others] = operations;
  const common = (first?.parameters ?? []).filter(each => others.every(other => other.parameters.includes(each)));
  return sorted(common);
}

export function sorted(parameters: readonly Parameter[]): Parameter[] {
  return parameters.toSorted((left, right) => (left.name < right.name ? -1 : left.name > right.name ? 1 : 0));
}

function renderOperation(operation: Operation, common: readonly Parameter[], shared: SharedParameters): object {
  const { id, tag, description, action, gvk, consumes, produces, body, responses } = operation;
  const own = [
    ...(body
      ? [
          {
            name: 'body',
            in: 'body',
            ...(body.required && { required: true }),
            schema: { $ref: `#/definitions/${body.definition}` },
          },
        ]
      : []),
    ...sorted(operation.parameters)
      .filter(each => !common.includes(each))
      .map(each => shared.reference(each)),
  ];
  return {
    description,
    ...(consumes && { consumes }),
    ...(produces && { produces }),
    schemes: ['https'],
    tags: [tag],
    operationId: id,
    ...(own.length > 0 && { parameters: own }),
    responses: {
      ...Object.fromEntries(
        Object.entries(responses).map(([code, definition]) => [
          code,
          {
            description: responseDescriptions[code],
            schema: definition === 'string' ? { type: 'string' } : { $ref: `#/definitions/${definition}` },
          },
        ]),
      ),
      401: { description: 'Unauthorized' },
    },
    ...(action !== undefined && { 'x-kubernetes-action': action }),
    ...(gvk && { 'x-kubernetes-group-version-kind': gvk }),
  };
}

export const responseDescriptions: Readonly<Record<string, string>> = { 200: 'OK', 201: 'Created', 202: 'Accepted' };

function renderParameter(parameter: Parameter): object {
  return {
    uniqueItems: true,
    type: parameter.type,
    description: parameter.description,
    name: parameter.name,
    in: parameter.in,
    ...(parameter.in === 'path' && { required: true }),
  };
}
