import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Kind } from '#api/machinery/kind.ts';
import { kinds as allKinds } from '#api/kinds.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import type { RequestContext } from '../subresource.ts';
import { discoveryPaths } from './discovery.ts';
import { compareVersions } from './group-order.ts';

const reference = new URL('../../../../shared/reference/kubernetes-1.36/resources.json', import.meta.url);

const kinds = allKinds.filter(({ served }) => served);

function server(served: () => readonly Kind[] = () => kinds) {
  let changed = () => undefined as void;
  const paths = discoveryPaths({
    kinds: served,
    onChange: listener => {
      changed = listener;
    },
    serverAddress: '10.0.0.1:6443',
  });
  const get = (path: string, headers: Record<string, string> = {}): ApiResponse & { object?: unknown } => {
    const handler = paths.find(each => path === each.path || path.startsWith(`${each.path}/`));
    const context = {
      respond: (code: number, object: unknown) => ({ code, headers: {}, kind: 'object', object, bytes: () => [] }),
    } as unknown as RequestContext;
    return handler?.handle({ method: 'GET', path, headers } as unknown as ApiRequest, context) as ApiResponse;
  };
  const object = (path: string) => get(path).object as Record<string, never>;
  return { get, object, change: () => changed() };
}

interface Listed {
  readonly name: string;
  readonly singularName: string;
  readonly kind: string;
  readonly group?: string;
  readonly version?: string;
  readonly verbs: readonly string[];
  readonly storageVersionHash?: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
}

const aggregatedAccept =
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json';

test('groups are in upstream order, each with its preferred version', () => {
  const { object } = server();
  const { groups } = object('/apis') as unknown as {
    groups: { name: string; versions: { version: string }[]; preferredVersion: { groupVersion: string } }[];
  };
  assert.deepEqual(
    groups.map(each => `${each.name} ${each.versions.map(({ version }) => version).join('/')}`),
    [
      'apiregistration.k8s.io v1',
      'apps v1',
      'events.k8s.io v1',
      'authentication.k8s.io v1',
      'authorization.k8s.io v1',
      'autoscaling v2/v1',
      'batch v1',
      'certificates.k8s.io v1',
      'networking.k8s.io v1',
      'policy v1',
      'rbac.authorization.k8s.io v1',
      'storage.k8s.io v1',
      'admissionregistration.k8s.io v1',
      'apiextensions.k8s.io v1',
      'scheduling.k8s.io v1',
      'coordination.k8s.io v1',
      'node.k8s.io v1',
      'discovery.k8s.io v1',
      'resource.k8s.io v1',
      'flowcontrol.apiserver.k8s.io v1',
    ],
  );
  assert.equal(groups.find(each => each.name === 'autoscaling')?.preferredVersion.groupVersion, 'autoscaling/v2');
  assert.deepEqual((object('/apis/apps') as { name?: string }).name, 'apps');
  assert.deepEqual(object('/api'), {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: '10.0.0.1:6443' }],
  });
});

test('resources, subresources, verbs and short names are those of the reference', {
  skip: !existsSync(reference),
}, () => {
  const { object } = server();
  const recorded = JSON.parse(readFileSync(reference, 'utf8')) as {
    group: string;
    version: string;
    kind: string;
    plural: string;
    short: string;
    namespaced: boolean;
    verbs: string[];
    subresources: Record<string, unknown>;
    category: string;
    default: boolean;
  }[];
  for (const each of recorded.filter(({ default: served }) => served)) {
    const path = each.group === '' ? `/api/${each.version}` : `/apis/${each.group}/${each.version}`;
    const { resources } = object(path) as unknown as { resources: Listed[] };
    const found = resources.find(({ name }) => name === each.plural);
    assert.ok(found, `${path} ${each.plural}`);
    assert.equal(found.kind, each.kind);
    assert.deepEqual(found.verbs, each.verbs);
    assert.equal((found.shortNames ?? []).join(), each.short);
    assert.equal((found.categories ?? []).join(), each.category);
    const own = resources
      .filter(({ name }) => name.startsWith(`${each.plural}/`))
      .map(({ name }) => name.slice(each.plural.length + 1));
    assert.deepEqual(own, Object.keys(each.subresources).sort(), each.plural);
  }
  const count = [
    ...new Set(
      recorded
        .filter(each => each.default)
        .map(each => (each.group === '' ? '/api/v1' : `/apis/${each.group}/${each.version}`)),
    ),
  ];
  const served = count.flatMap(path =>
    (object(path) as unknown as { resources: Listed[] }).resources.filter(each => !each.name.includes('/')),
  );
  assert.equal(served.length, recorded.filter(each => each.default).length);
});

test('details that clients look at', () => {
  const { object, get } = server();
  const core = object('/api/v1') as unknown as { resources: Listed[]; apiVersion?: string };
  assert.equal(core.apiVersion, undefined);
  const named = (name: string) => core.resources.find(each => each.name === name);
  assert.equal(named('pods')?.storageVersionHash, 'xPOwRZ+Yhw8=');
  assert.equal(named('bindings')?.storageVersionHash, undefined);
  const hashOf = (path: string, name: string) =>
    (object(path) as unknown as { resources: Listed[] }).resources.find(each => each.name === name)?.storageVersionHash;
  assert.equal(hashOf('/apis/apiextensions.k8s.io/v1', 'customresourcedefinitions'), 'jfWCUB31mvA=');
  assert.equal(hashOf('/apis/admissionregistration.k8s.io/v1', 'mutatingadmissionpolicies'), 'LYmCf+UMVdg=');
  assert.deepEqual(named('pods/eviction'), {
    name: 'pods/eviction',
    singularName: '',
    namespaced: true,
    group: 'policy',
    version: 'v1',
    kind: 'Eviction',
    verbs: ['create'],
  });
  assert.deepEqual(named('pods/exec'), {
    name: 'pods/exec',
    singularName: '',
    namespaced: true,
    kind: 'PodExecOptions',
    verbs: ['create', 'get'],
  });
  const apps = object('/apis/apps/v1') as unknown as { resources: Listed[]; apiVersion: string };
  assert.equal(apps.apiVersion, 'v1');
  assert.equal(apps.resources.find(each => each.name === 'deployments/scale')?.group, 'autoscaling');
  assert.equal(get('/apis/nowhere').code, 404);
  for (const path of ['/apis/apps/v9', '/apis/storage.k8s.io/v1beta1'])
    assert.throws(() => get(path), /the server could not find the requested resource/);
});

test('aggregated discovery, with its tag', () => {
  const { get, change } = server();
  const response = get('/apis', { accept: aggregatedAccept });
  assert.equal(
    response.headers['content-type'],
    'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
  );
  assert.equal(response.headers['vary'], 'Accept');
  assert.match(String(response.headers['etag']), /^"[0-9A-F]{128}"$/);
  assert.ok(response.kind === 'bytes');
  const document = JSON.parse(Buffer.concat([...response.bytes]).toString()) as {
    items: {
      metadata: { name: string };
      versions: { version: string; freshness: string; resources: Record<string, unknown>[] }[];
    }[];
  };
  const apps = document.items.find(each => each.metadata.name === 'apps')?.versions[0];
  assert.equal(apps?.freshness, 'Current');
  assert.deepEqual(
    apps?.resources.find(each => each['resource'] === 'deployments'),
    {
      resource: 'deployments',
      responseKind: { group: '', version: '', kind: 'Deployment' },
      scope: 'Namespaced',
      singularResource: 'deployment',
      verbs: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'],
      shortNames: ['deploy'],
      categories: ['all'],
      subresources: [
        {
          subresource: 'scale',
          responseKind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
          verbs: ['get', 'patch', 'update'],
        },
        {
          subresource: 'status',
          responseKind: { group: '', version: '', kind: 'Deployment' },
          verbs: ['get', 'patch', 'update'],
        },
      ],
    },
  );
  const etag = String(response.headers['etag']);
  assert.equal(get('/apis', { accept: aggregatedAccept, 'if-none-match': etag }).code, 304);
  assert.equal(get('/apis', { accept: 'application/json' }).kind, 'object');
  assert.equal(get('/apis', { accept: `application/json,${aggregatedAccept}` }).kind, 'object');
  assert.equal(get('/api', { accept: aggregatedAccept }).kind, 'bytes');
  change();
  assert.equal(get('/apis', { accept: aggregatedAccept, 'if-none-match': etag }).code, 304);
});

test('kinds that come and go, and versions in Kubernetes order', () => {
  const own: Kind[] = [...kinds];
  const { object, change } = server(() => own);
  const groupNames = () =>
    (object('/apis') as unknown as { groups: { name: string; versions: { version: string }[] }[] }).groups;
  groupNames();
  const template = own.find(each => each.kind === 'ConfigMap') as Kind;
  for (const version of ['v1alpha1', 'v1', 'v2beta1'])
    own.push({ ...template, group: 'zoo.example', version, kind: 'Lion', plural: 'lions' });
  change();
  const zoo = groupNames().at(-1);
  assert.equal(zoo?.name, 'zoo.example');
  assert.deepEqual(
    zoo?.versions.map(each => each.version),
    ['v1', 'v2beta1', 'v1alpha1'],
  );
  assert.deepEqual(
    ['foo10', 'v1', 'v3beta1', 'v10', 'v2', 'v11alpha2', 'v12alpha1', 'v11beta2', 'v10beta3', 'foo1'].sort(
      compareVersions,
    ),
    ['v10', 'v2', 'v1', 'v11beta2', 'v10beta3', 'v3beta1', 'v12alpha1', 'v11alpha2', 'foo1', 'foo10'],
  );
});
