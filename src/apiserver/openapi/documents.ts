import { kubernetesVersion } from '#api/machinery/version.ts';
import type { Kind } from '#api/machinery/kind.ts';
import { definitionsOf, reachableFrom, type Definition } from './definitions.ts';
import { apiPaths, type Operation, type Path } from './operations.ts';
import type { Parameter } from './parameters.ts';
import { commonParameters, responseDescriptions, sorted } from './swagger.ts';
import { openapi3, renderDefinition } from './type-rendering.ts';

/** The documents of OpenAPI v3, one for each group version: each is made when it is asked for. */
export interface OpenApiDocuments {
  readonly names: readonly string[];
  render(name: string): object | undefined;
}

export function openApiDocuments(kinds: readonly Kind[]): OpenApiDocuments {
  const paths = Map.groupBy(apiPaths(kinds), path => path.document);
  const definitions = definitionsOf(kinds);
  return {
    names: [...paths.keys()],
    render(name) {
      const own = paths.get(name);
      return own && renderDocument(own, definitions);
    },
  };
}

function renderDocument(paths: readonly Path[], definitions: ReadonlyMap<string, Definition>): object {
  const mentioned = paths.flatMap(path =>
    path.operations.flatMap(({ body, responses }) => [...(body ? [body.definition] : []), ...Object.values(responses)]),
  );
  const schemas = [...reachableFrom(mentioned, definitions)].sort().map(name => {
    const definition = definitions.get(name) as Definition;
    return [name, renderDefinition(definition, openapi3)] as const;
  });
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: kubernetesVersion.gitVersion },
    paths: Object.fromEntries(paths.map(path => [path.path, renderPath(path)])),
    components: {
      ...(schemas.length > 0 && { schemas: Object.fromEntries(schemas) }),
      securitySchemes: {
        BearerToken: {
          type: 'apiKey',
          description: 'Bearer Token authentication',
          name: 'authorization',
          in: 'header',
        },
      },
    },
  };
}

function renderPath({ operations }: Path): object {
  const common = commonParameters(operations);
  return {
    ...Object.fromEntries(operations.map(operation => [operation.method, renderOperation(operation, common)])),
    ...(common.length > 0 && { parameters: common.map(renderParameter) }),
  };
}

function renderOperation(operation: Operation, common: readonly Parameter[]): object {
  const { id, tag, description, action, gvk, consumes, produces = ['*/*'], body, responses } = operation;
  const own = sorted(operation.parameters).filter(each => !common.includes(each));
  return {
    tags: [tag],
    description,
    operationId: id,
    ...(own.length > 0 && { parameters: own.map(renderParameter) }),
    ...(body && {
      requestBody: {
        content: content(consumes ?? ['*/*'], body.definition),
        ...(body.required && { required: true }),
      },
    }),
    responses: {
      ...Object.fromEntries(
        Object.entries(responses).map(([code, definition]) => [
          code,
          { description: responseDescriptions[code], content: content(produces, definition) },
        ]),
      ),
      401: { description: 'Unauthorized' },
    },
    ...(action !== undefined && { 'x-kubernetes-action': action }),
    ...(gvk && { 'x-kubernetes-group-version-kind': gvk }),
  };
}

function content(types: readonly string[], definition: string): object {
  const schema = definition === 'string' ? { type: 'string' } : { $ref: `#/components/schemas/${definition}` };
  return Object.fromEntries(types.map(type => [type, { schema }]));
}

function renderParameter({ name, in: where, type, description }: Parameter): object {
  return {
    name,
    in: where,
    description,
    ...(where === 'path' && { required: true }),
    schema: { type, uniqueItems: true },
  };
}
