import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { User } from '#auth/user.ts';
import { eventually, openPlane, type Plane } from './plane.ts';

let world: Plane;
before(async () => {
  world = await openPlane();
});
after(async () => {
  await world[Symbol.asyncDispose]();
});

const rbac = '/apis/rbac.authorization.k8s.io/v1';
let users = 0;

/** A new user who holds these rules in namespace default, and (with `cluster`) everywhere. */
async function holding(rules: object[], cluster?: 'cluster'): Promise<User> {
  const name = `user-${++users}`;
  const subjects = [{ kind: 'User', name, apiGroup: 'rbac.authorization.k8s.io' }];
  const kind = cluster ? 'ClusterRole' : 'Role';
  const where = cluster ? rbac : `${rbac}/namespaces/default`;
  await world.make(`${where}/${cluster ? 'clusterroles' : 'roles'}`, { metadata: { name }, rules });
  await world.make(`${where}/${cluster ? 'clusterrolebindings' : 'rolebindings'}`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name },
    subjects,
  });
  const user = { name, groups: ['system:authenticated'] };
  const [first] = rules as {
    verbs: string[];
    resources?: string[];
    apiGroups?: string[];
    nonResourceURLs?: string[];
    resourceNames?: string[];
  }[];
  if (!first) return user;
  // Until the authorizer has the binding.
  await eventually(async () => {
    const [resource = '', subresource = ''] = (first.resources?.[0] ?? '').split('/');
    const asked = first.nonResourceURLs
      ? { nonResourceAttributes: { verb: first.verbs[0], path: first.nonResourceURLs[0]?.replace('*', 'x') } }
      : {
          resourceAttributes: {
            verb: first.verbs[0],
            group: first.apiGroups?.[0],
            resource,
            subresource,
            namespace: 'default',
            name: first.resourceNames?.[0] ?? '',
          },
        };
    const { body } = await world.askAs(user, 'POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
      spec: asked,
    });
    return body.status.allowed as boolean;
  });
  return user;
}

const maps = '/api/v1/namespaces/default/configmaps';

async function allowed(
  user: User,
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<boolean> {
  const { code, text } = await world.askAs(user, method, path, body);
  assert.notEqual(code, 401, text);
  assert.ok(code < 500, text);
  return code !== 403;
}

test('resource names hold for single objects, and for lists and watches of one name alone', async () => {
  await world.make(maps, { metadata: { name: 'mine' } });
  await world.make(maps, { metadata: { name: 'other' } });
  const user = await holding([
    {
      apiGroups: [''],
      resources: ['configmaps'],
      resourceNames: ['mine'],
      verbs: ['get', 'list', 'watch', 'create', 'delete', 'deletecollection'],
    },
  ]);
  assert.ok(await allowed(user, 'GET', `${maps}/mine`));
  assert.ok(!(await allowed(user, 'GET', `${maps}/other`)));
  assert.ok(!(await allowed(user, 'GET', maps)));
  assert.ok(await allowed(user, 'GET', `${maps}?fieldSelector=metadata.name%3Dmine`));
  assert.ok(await allowed(user, 'GET', `${maps}?fieldSelector=metadata.name%3Dmine&watch=1`));
  for (const selector of [
    'metadata.name=other',
    'metadata.name!=mine',
    'metadata.name!=x\\,metadata.name=mine',
    'metadata.namespace=default',
  ])
    for (const more of ['', '&watch=1'])
      assert.ok(
        !(await allowed(user, 'GET', `${maps}?fieldSelector=${encodeURIComponent(selector)}${more}`)),
        selector,
      );
  // The whole cluster's, by the same name, is another question.
  assert.ok(!(await allowed(user, 'GET', '/api/v1/configmaps?fieldSelector=metadata.name%3Dmine')));
  // A new object has no name before it is there; a collection has none at all.
  assert.ok(!(await allowed(user, 'POST', maps, { metadata: { name: 'mine' } })));
  assert.ok(!(await allowed(user, 'DELETE', maps)));
  assert.ok(!(await allowed(user, 'DELETE', `${maps}/other`)));
  assert.ok(await allowed(user, 'DELETE', `${maps}/mine`));
  assert.ok(!(await allowed(user, 'GET', `${maps}/..%2fconfigmaps%2fother`)));
});

test('a resource is not its subresources, and a subresource not its resource', async () => {
  const pods = '/api/v1/namespaces/default/pods';
  const reader = await holding([{ apiGroups: [''], resources: ['pods'], verbs: ['*'] }]);
  assert.ok(await allowed(reader, 'GET', `${pods}/web`));
  for (const each of ['log', 'exec', 'attach', 'portforward', 'proxy', 'status'])
    assert.ok(!(await allowed(reader, 'GET', `${pods}/web/${each}`)), each);
  for (const each of ['eviction', 'binding', 'exec'])
    assert.ok(!(await allowed(reader, 'POST', `${pods}/web/${each}`, {})), each);
  for (const each of ['ephemeralcontainers', 'resize'])
    assert.ok(!(await allowed(reader, 'PATCH', `${pods}/web/${each}`, {})), each);
  const logs = await holding([{ apiGroups: [''], resources: ['pods/log'], verbs: ['get'] }]);
  assert.ok(await allowed(logs, 'GET', `${pods}/web/log`));
  assert.ok(!(await allowed(logs, 'GET', `${pods}/web`)));
  const scaler = await holding([{ apiGroups: ['*'], resources: ['*/scale'], verbs: ['get'] }]);
  assert.ok(await allowed(scaler, 'GET', '/apis/apps/v1/namespaces/default/deployments/x/scale'));
  assert.ok(!(await allowed(scaler, 'GET', '/apis/apps/v1/namespaces/default/deployments/x')));
  // Who may change accounts makes no tokens for them; who sees nodes does not reach their agents.
  const accounts = await holding([{ apiGroups: [''], resources: ['serviceaccounts'], verbs: ['*'] }]);
  assert.ok(
    !(await allowed(accounts, 'POST', '/api/v1/namespaces/default/serviceaccounts/default/token', { spec: {} })),
  );
  const nodes = await holding([{ apiGroups: [''], resources: ['nodes'], verbs: ['*'] }], 'cluster');
  assert.ok(await allowed(nodes, 'GET', '/api/v1/nodes'));
  assert.ok(!(await allowed(nodes, 'GET', '/api/v1/nodes/n1/proxy/pods')));
  assert.ok(!(await allowed(nodes, 'POST', '/api/v1/nodes/n1/proxy/run/x')));
});

test('rights in one namespace are none in others, nor on what has none', async () => {
  const user = await holding([{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }]);
  assert.ok(await allowed(user, 'GET', '/api/v1/namespaces/default/secrets'));
  for (const path of [
    '/api/v1/namespaces/kube-system/secrets',
    '/api/v1/secrets',
    '/api/v1/nodes',
    '/api/v1/namespaces',
    `${rbac}/clusterroles`,
    '/metrics',
  ])
    assert.ok(!(await allowed(user, 'GET', path)), path);
  assert.ok(!(await allowed(user, 'POST', '/api/v1/namespaces', { metadata: { name: 'x' } })));
  // Its own namespace is a namespaced question with its own name.
  assert.ok(await allowed(user, 'GET', '/api/v1/namespaces/default'));
});

test('paths that are no resources have rules of their own', async () => {
  const nobody: User = { name: 'nobody', groups: ['system:authenticated'] };
  for (const path of ['/api', '/apis', '/openapi/v2', '/healthz', '/version'])
    assert.ok(await allowed(nobody, 'GET', path), path);
  for (const path of ['/metrics', '/logs', '/debug/pprof', '/', '/healthz/etcd', '/api/../metrics', '/unheard-of'])
    assert.ok(!(await allowed(nobody, 'GET', path)), path);
  assert.ok(!(await allowed(nobody, 'POST', '/version')));
  const metrics = await holding([{ nonResourceURLs: ['/metrics'], verbs: ['get'] }], 'cluster');
  assert.ok(await allowed(metrics, 'GET', '/metrics'));
  assert.ok(!(await allowed(metrics, 'GET', '/metrics/slis')));
  const below = await holding([{ nonResourceURLs: ['/metrics*'], verbs: ['get'] }], 'cluster');
  assert.ok(await allowed(below, 'GET', '/metrics/slis'));
  const all = await holding([{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }], 'cluster');
  assert.ok(!(await allowed(all, 'GET', '/metrics')), 'every resource is not every path');
});

test('a binding that goes takes its rights with it', async () => {
  const user = await holding([{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }]);
  assert.ok(await allowed(user, 'GET', maps));
  await world.askAs(
    { name: 'root', groups: ['system:masters'] },
    'DELETE',
    `${rbac}/namespaces/default/rolebindings/${user.name}`,
  );
  await eventually(async () => !(await allowed(user, 'GET', maps)));
  const again = await holding([{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }]);
  await world.askAs(
    { name: 'root', groups: ['system:masters'] },
    'DELETE',
    `${rbac}/namespaces/default/roles/${again.name}`,
  );
  await eventually(async () => !(await allowed(again, 'GET', maps)));
});

test('nobody gives away what they do not have', async () => {
  const roles = `${rbac}/namespaces/default/roles`;
  const bindings = `${rbac}/namespaces/default/rolebindings`;
  const user = await holding([
    {
      apiGroups: ['rbac.authorization.k8s.io'],
      resources: ['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings'],
      verbs: ['create', 'update', 'patch', 'get'],
    },
    { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] },
  ]);
  const made = await world.askAs(user, 'POST', roles, {
    metadata: { name: 'escalating' },
    rules: [
      { apiGroups: [''], resources: ['pods'], verbs: ['get'] },
      { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list'] },
    ],
  });
  assert.equal(made.code, 403);
  assert.equal(
    made.body.message,
    `roles.rbac.authorization.k8s.io "escalating" is forbidden: user "${user.name}" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}`,
  );
  assert.equal(
    (
      await world.askAs(user, 'POST', roles, {
        metadata: { name: 'fair' },
        rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }],
      })
    ).code,
    201,
  );
  // Widening a role that is there is the same attempt, however it is written.
  assert.equal(
    (
      await world.askAs(user, 'PATCH', `${roles}/fair`, {
        rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }],
      })
    ).code,
    403,
  );
  const binding = (name: string, kind: string, role: string) => ({
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: role },
    subjects: [{ kind: 'User', name: user.name, apiGroup: 'rbac.authorization.k8s.io' }],
  });
  for (const role of ['cluster-admin', 'admin', 'edit', 'view', 'system:node'])
    assert.equal((await world.askAs(user, 'POST', bindings, binding('up', 'ClusterRole', role))).code, 403, role);
  assert.equal((await world.askAs(user, 'POST', bindings, binding('gone', 'ClusterRole', 'not-there'))).code, 404);
  assert.equal((await world.askAs(user, 'POST', bindings, binding('fair', 'Role', 'fair'))).code, 201);
  // Even who may write cluster roles gathers nothing by an aggregation rule.
  const cluster = await holding(
    [{ apiGroups: ['rbac.authorization.k8s.io'], resources: ['clusterroles'], verbs: ['create'] }],
    'cluster',
  );
  const aggregated = await world.askAs(cluster, 'POST', `${rbac}/clusterroles`, {
    metadata: { name: 'gathering' },
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: { x: 'y' } }] },
  });
  assert.equal(aggregated.code, 403);
  assert.match(aggregated.body.message, /must have cluster-admin privileges to use an aggregationRule/);
  // The two verbs that allow it, each for one name.
  const binder = await holding([
    { apiGroups: ['rbac.authorization.k8s.io'], resources: ['clusterroles'], resourceNames: ['view'], verbs: ['bind'] },
    { apiGroups: ['rbac.authorization.k8s.io'], resources: ['rolebindings'], verbs: ['create'] },
  ]);
  assert.equal((await world.askAs(binder, 'POST', bindings, binding('viewer', 'ClusterRole', 'view'))).code, 201);
  assert.equal((await world.askAs(binder, 'POST', bindings, binding('editor', 'ClusterRole', 'edit'))).code, 403);
});

test('impersonation needs leave for each part, and what is impersonated has no more rights than it has', async () => {
  const user = await holding(
    [{ apiGroups: [''], resources: ['users', 'groups'], resourceNames: ['ann', 'dev'], verbs: ['impersonate'] }],
    'cluster',
  );
  const token = await tokenOf(user);
  const as = async (headers: Record<string, string>, path = maps) =>
    (await world.ask('GET', path, { authorization: `Bearer ${token}`, ...headers })).code;
  assert.equal(await as({ 'impersonate-user': 'ann' }, '/api'), 200);
  assert.equal(await as({ 'impersonate-user': 'ann' }), 403, 'ann herself may not');
  assert.equal(await as({ 'impersonate-user': 'bob' }, '/api'), 403);
  assert.equal(await as({ 'impersonate-user': 'ann', 'impersonate-group': 'dev' }, '/api'), 200);
  assert.equal(await as({ 'impersonate-user': 'ann', 'impersonate-group': 'system:masters' }, '/api'), 403);
  assert.equal(await as({ 'impersonate-user': 'ann', 'impersonate-uid': '1' }, '/api'), 403);
  assert.equal(await as({ 'impersonate-user': 'ann', 'impersonate-extra-scopes': 'x' }, '/api'), 403);
  assert.equal(await as({ 'impersonate-user': 'system:serviceaccount:kube-system:default' }, '/api'), 403);
  assert.equal(await as({ 'impersonate-group': 'dev' }, '/api'), 400);
});

/** A token of an account that holds what the user holds. */
async function tokenOf(user: User): Promise<string> {
  const name = user.name;
  await world.make('/api/v1/namespaces/default/serviceaccounts', { metadata: { name } });
  await world.make(`${rbac}/clusterrolebindings`, {
    metadata: { name: `${name}-account` },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace: 'default' }],
  });
  const { status } = await world.make(`/api/v1/namespaces/default/serviceaccounts/${name}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {},
  });
  await eventually(
    async () =>
      (await world.ask('GET', '/api', { authorization: `Bearer ${status.token}`, 'impersonate-user': 'ann' })).code ===
      200,
  );
  return status.token as string;
}
