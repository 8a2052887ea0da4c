import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#api/core/v1/pod.ts';
import type { ResourceSlice } from '#api/resource/v1/resource-slice.ts';
import type { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { nodeUser, type User } from '../user.ts';
import type { Attributes } from './authorizer.ts';
import { nodeAuthorizer, type NodeRelations } from './node.ts';

function pod(name: string, nodeName: string, spec: object, annotations?: Record<string, string>): Pod {
  const metadata = { name, namespace: 'ns', ...(annotations && { annotations }) };
  return { metadata, spec: { nodeName, containers: [], ...spec } } as unknown as Pod;
}

const pods = [
  pod('web', 'n1', {
    serviceAccountName: 'robot',
    imagePullSecrets: [{ name: 'pull' }],
    containers: [{ name: 'c', envFrom: [{ configMapRef: { name: 'env' } }] }],
    ephemeralContainers: [
      { name: 'e', env: [{ name: 'X', valueFrom: { secretKeyRef: { name: 'debug', key: 'k' } } }] },
    ],
    volumes: [
      { name: 'a', secret: { secretName: 'mounted' } },
      { name: 'b', projected: { sources: [{ configMap: { name: 'projected' } }] } },
      { name: 'c', persistentVolumeClaim: { claimName: 'data' } },
      { name: 'scratch', ephemeral: {} },
    ],
  }),
  pod('other', 'n2', { volumes: [{ name: 'a', secret: { secretName: 'foreign' } }] }),
  pod(
    'mirror',
    'n1',
    { volumes: [{ name: 'a', secret: { secretName: 'stolen' } }] },
    { 'kubernetes.io/config.mirror': 'x' },
  ),
];
const volume = {
  metadata: { name: 'pv-1' },
  spec: {
    claimRef: { namespace: 'ns', name: 'data' },
    csi: { nodeStageSecretRef: { namespace: 'storage', name: 'stage' } },
  },
} as unknown as PersistentVolume;
const relations: NodeRelations = {
  podsOf: node => pods.filter(each => each.spec?.nodeName === node),
  pod: (namespace, name) => pods.find(each => each.metadata.name === name && namespace === 'ns'),
  persistentVolume: name => (name === 'pv-1' ? volume : undefined),
  volumeOfClaim: (namespace, name) => (`${namespace}/${name}` === 'ns/data' ? volume : undefined),
  volumeAttachment: () => undefined,
  resourceSlice: name =>
    name.startsWith('slice-') ? ({ spec: { nodeName: name.slice(6) } } as unknown as ResourceSlice) : undefined,
};
const { authorize } = nodeAuthorizer(relations);

async function may(user: User, verb: string, resource: string, name = '', more: Partial<Attributes> = {}) {
  const [plural = '', subresource = ''] = resource.split('/');
  const asked = {
    user,
    verb,
    resourceRequest: true,
    path: '',
    group: '',
    version: 'v1',
    resource: plural,
    subresource,
    namespace: 'ns',
    name,
    ...more,
  };
  return (await authorize(asked)).decision === 'allow';
}

test('a node reads what its pods refer to and nothing else', async () => {
  const n1 = nodeUser('n1');
  for (const secret of ['pull', 'mounted', 'debug']) assert.ok(await may(n1, 'get', 'secrets', secret), secret);
  for (const secret of ['foreign', 'stolen', 'unheard-of', ''])
    assert.ok(!(await may(n1, 'get', 'secrets', secret)), secret);
  assert.ok(!(await may(n1, 'get', 'secrets', 'mounted', { namespace: 'other' })));
  assert.ok(await may(n1, 'watch', 'secrets', 'mounted'));
  assert.ok(!(await may(n1, 'update', 'secrets', 'mounted')));
  assert.ok(await may(n1, 'get', 'secrets', 'stage', { namespace: 'storage' }));
  for (const each of ['env', 'projected']) assert.ok(await may(n1, 'get', 'configmaps', each), each);
  assert.ok(await may(n1, 'get', 'persistentvolumeclaims', 'data'));
  assert.ok(await may(n1, 'get', 'persistentvolumeclaims', 'web-scratch'));
  assert.ok(await may(n1, 'get', 'persistentvolumes', 'pv-1', { namespace: '' }));
  assert.ok(!(await may(nodeUser('n2'), 'get', 'persistentvolumes', 'pv-1', { namespace: '' })));
  assert.ok(await may(n1, 'create', 'serviceaccounts/token', 'robot'));
  assert.ok(!(await may(n1, 'create', 'serviceaccounts/token', 'admin')));
});

test('a node touches only itself', async () => {
  const n1 = nodeUser('n1');
  const lease = { group: 'coordination.k8s.io', namespace: 'kube-node-lease' };
  assert.ok(await may(n1, 'update', 'leases', 'n1', lease));
  assert.ok(!(await may(n1, 'update', 'leases', 'n2', lease)));
  assert.ok(!(await may(n1, 'update', 'leases', 'n1', { ...lease, namespace: 'kube-system' })));
  assert.ok(await may(n1, 'get', 'nodes', 'n1', { namespace: '' }));
  assert.ok(!(await may(n1, 'get', 'nodes', 'n2', { namespace: '' })));
  assert.ok(!(await may(n1, 'list', 'nodes', '', { namespace: '' })));
  assert.ok(!(await may(n1, 'list', 'pods', '', { namespace: '' })));
  assert.ok(await may(n1, 'list', 'pods', '', { namespace: '', fieldSelector: 'spec.nodeName=n1' }));
  assert.ok(!(await may(n1, 'list', 'pods', '', { namespace: '', fieldSelector: 'spec.nodeName=n2' })));
  assert.ok(await may(n1, 'get', 'pods', 'web'));
  assert.ok(!(await may(n1, 'get', 'pods', 'other')));
  assert.ok(await may(n1, 'list', 'services', '', { namespace: '' }));
  assert.ok(!(await may(n1, 'delete', 'services', 'x')));
});

test('verbs that a node agent has no need of are refused, whatever the object', async () => {
  const n1 = nodeUser('n1');
  const cluster = { namespace: '' };
  for (const verb of ['create', 'update', 'patch']) assert.ok(await may(n1, verb, 'nodes', 'n1', cluster), verb);
  assert.ok(!(await may(n1, 'delete', 'nodes', 'n1', cluster)));
  assert.ok(await may(n1, 'patch', 'nodes/status', 'n1', cluster));
  for (const [verb, what] of [
    ['get', 'nodes/status'],
    ['get', 'nodes/proxy'],
    ['create', 'pods/exec'],
    ['create', 'pods/binding'],
    ['get', 'pods/log'],
    ['update', 'pods'],
    ['patch', 'pods'],
    ['deletecollection', 'pods'],
    ['update', 'pods/ephemeralcontainers'],
  ] as const)
    assert.ok(!(await may(n1, verb, what, 'web')), `${verb} ${what}`);
  assert.ok(await may(n1, 'create', 'pods/eviction', 'web'));
  assert.ok(await may(n1, 'watch', 'pods', 'web'), 'one pod of its own by name');
  assert.ok(!(await may(n1, 'watch', 'pods', 'other')));
  // A selector that says more than one node, or not that it is this one.
  for (const fieldSelector of [
    'metadata.name!=x\\,spec.nodeName=n1',
    'spec.nodeName!=n2',
    'spec.nodeName=n1x',
    'metadata.name=web',
  ])
    assert.ok(!(await may(n1, 'list', 'pods', '', { ...cluster, fieldSelector })), fieldSelector);
});

test('a node sees and changes the resource slices that are its own', async () => {
  const n1 = nodeUser('n1');
  const slices = { group: 'resource.k8s.io', namespace: '' };
  for (const verb of ['get', 'update', 'patch', 'delete']) {
    assert.ok(await may(n1, verb, 'resourceslices', 'slice-n1', slices), verb);
    assert.ok(!(await may(n1, verb, 'resourceslices', 'slice-n2', slices)), verb);
  }
  assert.ok(await may(n1, 'create', 'resourceslices', '', slices));
  assert.ok(!(await may(n1, 'list', 'resourceslices', '', slices)));
  assert.ok(await may(n1, 'deletecollection', 'resourceslices', '', { ...slices, fieldSelector: 'spec.nodeName=n1' }));
});

test('only a member of system:nodes is a node', async () => {
  assert.ok(!(await may({ name: 'system:node:n1', groups: [] }, 'get', 'secrets', 'mounted')));
  assert.ok(!(await may({ name: 'ann', groups: ['system:nodes'] }, 'get', 'secrets', 'mounted')));
});
