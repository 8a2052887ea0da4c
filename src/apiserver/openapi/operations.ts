import { apiVersionOf, type Kind, type Subresource } from '#api/machinery/kind.ts';
import { servedGroups } from '../discovery/group-order.ts';
import { definitionNameOf } from './names.ts';
import * as parameters from './parameters.ts';
import type { Parameter } from './parameters.ts';

export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** One method of one path, independent of the version of OpenAPI. */
export interface Operation {
  readonly method: 'get' | 'put' | 'post' | 'delete' | 'patch' | 'head' | 'options';
  readonly id: string;
  readonly tag: string;
  readonly description: string;
  readonly action?: string;
  readonly gvk?: GroupVersionKind;
  readonly consumes?: readonly string[];
  readonly produces?: readonly string[];
  readonly parameters: readonly Parameter[];
  /** The definition of the body, and whether there must be one. */
  readonly body?: { readonly definition: string; readonly required: boolean };
  /** Code → definition; `string` is plain text. */
  readonly responses: Readonly<Record<string, string>>;
}

export interface Path {
  readonly path: string;
  /** In which document of OpenAPI v3 it stands: `api/v1`, `apis/apps`, … */
  readonly document: string;
  readonly operations: readonly Operation[];
}

const objectTypes = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'];
const streamTypes = [
  ...objectTypes,
  'application/json;stream=watch',
  'application/vnd.kubernetes.protobuf;stream=watch',
];
const patchTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
];
const meta = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const any = ['*/*'];

/** Every path of the API: what is no resource, then the resources in the order of discovery. */
export function apiPaths(kinds: readonly Kind[]): Path[] {
  const groups = servedGroups(kinds);
  const known = new Map(kinds.map(kind => [`${apiVersionOf(kind)}/${kind.kind}`, kind]));
  return [
    ...generalPaths(),
    ...groups.flatMap(({ name, versions }) => {
      const tag = tagOf(name);
      const root = name === '' ? '/api' : `/apis/${name}`;
      return [
        ...(name === '' ? [] : [groupPath(name, tag)]),
        ...versions.flatMap(({ version, kinds: served }) => [
          resourcesPath(`${root}/${version}`, `${tag}_${version}`, `${upper(tag)}${upper(version)}`),
          ...served.flatMap(kind => (kind.custom ? custom(kindPaths(kind, known)) : kindPaths(kind, known))),
        ]),
      ];
    }),
  ];
}

/** Custom kinds speak neither protobuf nor strategic merge patches: clients read here which patch to send. */
function custom(paths: readonly Path[]): Path[] {
  const spoken = (types: readonly string[]) =>
    types.filter(type => !type.includes('protobuf') && !type.includes('strategic'));
  return paths.map(path => ({
    ...path,
    operations: path.operations.map(operation => ({
      ...operation,
      ...(operation.consumes && { consumes: spoken(operation.consumes) }),
      ...(operation.produces && { produces: spoken(operation.produces) }),
    })),
  }));
}

function generalPaths(): Path[] {
  const get = (
    path: string,
    document: string,
    operation: Omit<Operation, 'method' | 'parameters'> & { parameters?: readonly Parameter[] },
  ): Path => ({
    path,
    document,
    operations: [{ method: 'get', parameters: [], ...operation }],
  });
  const types = { consumes: objectTypes, produces: objectTypes };
  return [
    get('/.well-known/openid-configuration/', '.well-known/openid-configuration', {
      id: 'getServiceAccountIssuerOpenIDConfiguration',
      tag: 'WellKnown',
      description: 'get service account issuer OpenID configuration',
      produces: ['application/json'],
      responses: { 200: 'string' },
    }),
    get('/api/', 'api', {
      id: 'getCoreAPIVersions',
      tag: 'core',
      description: 'get available API versions',
      ...types,
      responses: { 200: `${meta}.APIVersions` },
    }),
    get('/apis/', 'apis', {
      id: 'getAPIVersions',
      tag: 'apis',
      description: 'get available API versions',
      ...types,
      responses: { 200: `${meta}.APIGroupList` },
    }),
    get('/openid/v1/jwks/', 'openid/v1/jwks', {
      id: 'getServiceAccountIssuerOpenIDKeyset',
      tag: 'openid',
      description: 'get service account issuer OpenID JSON Web Key Set',
      produces: ['application/jwk-set+json'],
      responses: { 200: 'string' },
    }),
    get('/version/', 'version', {
      id: 'getCodeVersion',
      tag: 'version',
      description: 'get the version information for this server',
      consumes: ['application/json'],
      produces: ['application/json'],
      responses: { 200: 'io.k8s.apimachinery.pkg.version.Info' },
    }),
  ];
}

function groupPath(group: string, tag: string): Path {
  return {
    path: `/apis/${group}/`,
    document: `apis/${group}`,
    operations: [
      {
        method: 'get',
        id: `get${upper(tag)}APIGroup`,
        tag,
        description: 'get information of a group',
        consumes: objectTypes,
        produces: objectTypes,
        parameters: [],
        responses: { 200: `${meta}.APIGroup` },
      },
    ],
  };
}

function resourcesPath(root: string, tag: string, prefix: string): Path {
  return {
    path: `${root}/`,
    document: root.slice(1),
    operations: [
      {
        method: 'get',
        id: `get${prefix}APIResources`,
        tag,
        description: 'get available resources',
        consumes: objectTypes,
        produces: objectTypes,
        parameters: [],
        responses: { 200: `${meta}.APIResourceList` },
      },
    ],
  };
}

function kindPaths(kind: Kind, known: ReadonlyMap<string, Kind>): Path[] {
  const document = kind.group === '' ? `api/${kind.version}` : `apis/${kind.group}/${kind.version}`;
  const root = `/${document}`;
  const group = tagOf(kind.group);
  const tag = `${group}_${kind.version}`;
  const prefix = `${upper(group)}${upper(kind.version)}`;
  const scope = kind.namespaced ? 'Namespaced' : '';
  const place = kind.namespaced ? '/namespaces/{namespace}' : '';
  const placed = [...(kind.namespaced ? [parameters.namespace] : []), parameters.pretty];
  const named = [parameters.nameOf(kind.kind), ...placed];
  const name = definitionNameOf(kind);
  const gvk = { group: kind.group, version: kind.version, kind: kind.kind };
  const can = (verb: Kind['verbs'][number]) => kind.verbs.includes(verb);
  const common = { tag, gvk, consumes: any, produces: objectTypes };
  const path = (suffix: string, operations: readonly (Operation | false)[]): Path[] => {
    const present = operations.filter(each => each !== false);
    return present.length === 0 ? [] : [{ path: `${root}${suffix}`, document, operations: present }];
  };
  const listing = (id: string, own: readonly Parameter[]): Operation => ({
    ...common,
    method: 'get',
    id,
    action: 'list',
    description: `${can('watch') ? 'list or watch' : 'list'} objects of kind ${kind.kind}`,
    produces: streamTypes,
    parameters: [...own, ...parameters.list],
    responses: { 200: `${name}List` },
  });
  const watching = (id: string, action: 'watch' | 'watchlist', own: readonly Parameter[]): Operation => ({
    ...common,
    method: 'get',
    id,
    action,
    description:
      action === 'watch'
        ? `watch changes to an object of kind ${kind.kind}. deprecated: use the 'watch' parameter with a list operation instead, filtered to a single item with the 'fieldSelector' parameter.`
        : `watch individual changes to a list of ${kind.kind}. deprecated: use the 'watch' parameter with a list operation instead.`,
    produces: streamTypes,
    parameters: [...own, ...parameters.list],
    responses: { 200: `${meta}.WatchEvent` },
  });
  const deleted = kind.returnsDeleted ? name : `${meta}.Status`;
  return [
    ...path(`${place}/${kind.plural}`, [
      can('deletecollection') && {
        ...common,
        method: 'delete',
        id: `delete${prefix}Collection${scope}${kind.kind}`,
        action: 'deletecollection',
        description: `delete collection of ${kind.kind}`,
        parameters: [...placed, ...parameters.removalOfMany],
        body: { definition: `${meta}.DeleteOptions`, required: false },
        responses: { 200: `${meta}.Status` },
      },
      can('list') && listing(`list${prefix}${scope}${kind.kind}`, placed),
      can('create') && {
        ...common,
        method: 'post',
        id: `create${prefix}${scope}${kind.kind}`,
        action: 'post',
        description: `create ${article(kind.kind)} ${kind.kind}`,
        parameters: [...placed, ...parameters.write],
        body: { definition: name, required: true },
        responses: { 200: name, 201: name, 202: name },
      },
    ]),
    ...path(`${place}/${kind.plural}/{name}`, [
      can('delete') && {
        ...common,
        method: 'delete',
        id: `delete${prefix}${scope}${kind.kind}`,
        action: 'delete',
        description: `delete ${article(kind.kind)} ${kind.kind}`,
        parameters: [...named, ...parameters.removal],
        body: { definition: `${meta}.DeleteOptions`, required: false },
        responses: { 200: deleted, 202: deleted },
      },
      can('get') &&
        reading(
          { ...common, id: `read${prefix}${scope}${kind.kind}`, description: `read the specified ${kind.kind}` },
          named,
          name,
        ),
      can('patch') &&
        patching(
          {
            ...common,
            id: `patch${prefix}${scope}${kind.kind}`,
            description: `partially update the specified ${kind.kind}`,
          },
          named,
          name,
        ),
      can('update') &&
        replacing(
          { ...common, id: `replace${prefix}${scope}${kind.kind}`, description: `replace the specified ${kind.kind}` },
          named,
          name,
        ),
    ]),
    ...Object.entries(kind.subresources).flatMap(([subresource, what]) =>
      subresourcePaths(kind, subresource, what, known, { common, named, prefix, scope, path, place }),
    ),
    ...(kind.namespaced && can('list')
      ? path(`/${kind.plural}`, [listing(`list${prefix}${kind.kind}ForAllNamespaces`, [parameters.pretty])])
      : []),
    ...(can('watch')
      ? [
          ...path(`/watch${place}/${kind.plural}`, [
            watching(`watch${prefix}${scope}${kind.kind}List`, 'watchlist', placed),
          ]),
          ...path(`/watch${place}/${kind.plural}/{name}`, [
            watching(`watch${prefix}${scope}${kind.kind}`, 'watch', named),
          ]),
          ...(kind.namespaced
            ? path(`/watch/${kind.plural}`, [
                watching(`watch${prefix}${kind.kind}ListForAllNamespaces`, 'watchlist', [parameters.pretty]),
              ])
            : []),
        ]
      : []),
  ];
}

type Common = Pick<Operation, 'tag' | 'gvk' | 'consumes' | 'produces'>;
type Named = Common & Pick<Operation, 'id' | 'description'>;

interface Place {
  readonly common: Common;
  readonly named: readonly Parameter[];
  readonly prefix: string;
  readonly scope: string;
  readonly place: string;
  readonly path: (suffix: string, operations: readonly (Operation | false)[]) => Path[];
}

function subresourcePaths(
  kind: Kind,
  subresource: string,
  { verbs, kind: other }: Subresource,
  known: ReadonlyMap<string, Kind>,
  place: Place,
): Path[] {
  const { named, prefix, scope, path } = place;
  const gvk = other ?? { group: kind.group, version: kind.version, kind: kind.kind };
  const common = { ...place.common, gvk };
  const at = `${place.place}/${kind.plural}/{name}/${subresource}`;
  const suffix = `${scope}${kind.kind}${upper(subresource)}`;
  const options = parameters.ofSubresource[subresource] ?? parameters.ofSubresource[`${kind.plural}/${subresource}`];
  if (subresource === 'log' && options)
    return path(at, [
      {
        ...common,
        method: 'get',
        id: `read${prefix}${suffix}`,
        action: 'get',
        description: `read ${subresource} of the specified ${kind.kind}`,
        produces: ['text/plain', ...objectTypes],
        parameters: [...named, ...options],
        responses: { 200: 'string' },
      },
    ]);
  if (options) return connections(kind, subresource, options, at, { ...place, common });
  const definition = other ? definitionOf(other, known) : definitionNameOf(kind);
  const of = `${subresource} of the specified ${kind.kind}`;
  return path(at, [
    verbs.includes('get') &&
      reading({ ...common, id: `read${prefix}${suffix}`, description: `read ${of}` }, named, definition),
    verbs.includes('patch') &&
      patching({ ...common, id: `patch${prefix}${suffix}`, description: `partially update ${of}` }, named, definition),
    verbs.includes('create') && {
      ...common,
      method: 'post',
      id: `create${prefix}${suffix}`,
      action: 'post',
      description: `create ${subresource} of ${article(kind.kind)} ${kind.kind}`,
      parameters: [...named, ...parameters.write],
      body: { definition, required: true },
      responses: { 200: definition, 201: definition, 202: definition },
    },
    verbs.includes('update') &&
      replacing({ ...common, id: `replace${prefix}${suffix}`, description: `replace ${of}` }, named, definition),
  ]);
}

const proxyMethods = ['delete', 'get', 'head', 'options', 'patch', 'post', 'put'] as const;
const streamMethods = ['get', 'post'] as const;

function connections(kind: Kind, subresource: string, options: readonly Parameter[], at: string, place: Place): Path[] {
  const { common, named, prefix, scope, path } = place;
  const isProxy = subresource === 'proxy';
  const own = [...named.filter(each => each !== parameters.pretty), ...options];
  const operations = (suffix: string, all: readonly Parameter[]) =>
    (isProxy ? proxyMethods : streamMethods).map(method => ({
      ...common,
      method,
      id: `connect${prefix}${upper(method)}${scope}${kind.kind}${upper(subresource)}${suffix}`,
      action: 'connect',
      description: `connect ${method.toUpperCase()} requests to ${subresource} of ${kind.kind}`,
      produces: any,
      parameters: all,
      responses: { 200: 'string' },
    }));
  return [
    ...path(at, operations('', own)),
    ...(isProxy ? path(`${at}/{path}`, operations('WithPath', [...own, parameters.subpath])) : []),
  ];
}

function reading(named: Named, own: readonly Parameter[], definition: string): Operation {
  return { ...named, method: 'get', action: 'get', parameters: own, responses: { 200: definition } };
}

function replacing(named: Named, own: readonly Parameter[], definition: string): Operation {
  return {
    ...named,
    method: 'put',
    action: 'put',
    parameters: [...own, ...parameters.write],
    body: { definition, required: true },
    responses: { 200: definition, 201: definition },
  };
}

function patching(named: Named, own: readonly Parameter[], definition: string): Operation {
  return {
    ...named,
    method: 'patch',
    action: 'patch',
    consumes: patchTypes,
    parameters: [...own, ...parameters.patch],
    body: { definition: `${meta}.Patch`, required: true },
    responses: { 200: definition, 201: definition },
  };
}

function definitionOf(other: GroupVersionKind, known: ReadonlyMap<string, Kind>): string {
  const kind = known.get(`${apiVersionOf(other)}/${other.kind}`);
  if (!kind) throw new Error(`cannot describe the subresource kind ${other.kind}: it is not among the kinds`);
  return definitionNameOf(kind);
}

/** `rbac.authorization.k8s.io` → `rbacAuthorization` */
function tagOf(group: string): string {
  if (group === '') return 'core';
  const [first = '', ...rest] = group.replace(/\.k8s\.io$/, '').split(/[.-]/);
  return first + rest.map(upper).join('');
}

function upper(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function article(kind: string): string {
  return /^[AEIOU]/.test(kind) ? 'an' : 'a';
}
