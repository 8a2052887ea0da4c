import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Kind } from '#api/machinery/kind.ts';
import { ApiError } from '#api/machinery/errors.ts';
import { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import type { PolicyRule } from '#api/rbac/v1/policy-rule.ts';
import { RoleBinding } from '#api/rbac/v1/role-binding.ts';
import { Role } from '#api/rbac/v1/role.ts';
import type { Subject } from '#api/rbac/v1/subject.ts';
import { anonymous, serviceAccountUser, type User } from '../user.ts';
import { union, type Attributes } from './authorizer.ts';
import { mastersAuthorizer } from './always-allow.ts';
import { denied } from './denial.ts';
import { rbacEscalationCheck } from './escalation.ts';
import { bootstrapPolicy } from './policy/bootstrap-policy.ts';
import { RoleIndex, rbacAuthorizer } from './rbac.ts';

const apiGroup = 'rbac.authorization.k8s.io';

function asked(user: User, verb: string, resource: string, more: Partial<Attributes> = {}): Attributes {
  const [name, subresource = ''] = resource.split('/') as [string, string?];
  return {
    user,
    verb,
    resourceRequest: true,
    path: '',
    group: '',
    version: 'v1',
    resource: name,
    subresource,
    namespace: '',
    name: '',
    ...more,
  };
}

function path(user: User, url: string): Attributes {
  return { ...asked(user, 'get', ''), resourceRequest: false, path: url };
}

function person(name: string, ...groups: string[]): User {
  return { name, groups: [...groups, 'system:authenticated'] };
}

function role(name: string, rules: readonly PolicyRule[], namespace?: string) {
  const metadata = { name, ...(namespace !== undefined && { namespace }) };
  return namespace === undefined
    ? ({ kind: 'ClusterRole', object: { metadata, rules } } as const)
    : ({ kind: 'Role', object: { metadata, rules } } as const);
}

function binding(
  name: string,
  roleName: string,
  subjects: readonly Subject[],
  namespace?: string,
  kind = 'ClusterRole',
) {
  const object = {
    metadata: { name, ...(namespace !== undefined && { namespace }) },
    roleRef: { apiGroup, kind, name: roleName },
    subjects,
  };
  return namespace === undefined
    ? ({ kind: 'ClusterRoleBinding', object } as const)
    : ({ kind: 'RoleBinding', object } as const);
}

function bootstrapped(): RoleIndex {
  const index = new RoleIndex();
  const policy = bootstrapPolicy();
  for (const object of policy.clusterRoles) index.set({ kind: 'ClusterRole', object: object as ClusterRole });
  for (const object of policy.roles) index.set({ kind: 'Role', object: object as Role });
  for (const object of policy.clusterRoleBindings)
    index.set({ kind: 'ClusterRoleBinding', object: object as ClusterRoleBinding });
  for (const object of policy.roleBindings) index.set({ kind: 'RoleBinding', object: object as RoleBinding });
  return index;
}

async function refusal(run: () => Promise<void>): Promise<string> {
  try {
    await run();
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    assert.equal(error.code, 403);
    return error.message;
  }
  return assert.fail('was not refused');
}

test('a rule allows what it names, in its namespace, and nothing else', async () => {
  const index = new RoleIndex();
  index.set(role('reader', [{ verbs: ['get', 'list'], apiGroups: [''], resources: ['pods', '*/scale'] }], 'team'));
  index.set(role('named', [{ verbs: ['get'], apiGroups: [''], resources: ['secrets'], resourceNames: ['one'] }]));
  index.set(binding('read', 'reader', [{ kind: 'User', apiGroup, name: 'ann' }], 'team', 'Role'));
  index.set(binding('one', 'named', [{ kind: 'ServiceAccount', name: 'robot', namespace: 'team' }]));
  const { authorize } = rbacAuthorizer(index);
  const ann = person('ann');
  const robot = serviceAccountUser('team', 'robot');
  const table: [Attributes, boolean][] = [
    [asked(ann, 'get', 'pods', { namespace: 'team' }), true],
    [asked(ann, 'get', 'pods', { namespace: 'other' }), false],
    [asked(ann, 'get', 'pods'), false],
    [asked(ann, 'get', 'pods/log', { namespace: 'team' }), false],
    [asked(ann, 'get', 'deployments/scale', { namespace: 'team' }), true],
    [asked(ann, 'delete', 'pods', { namespace: 'team' }), false],
    [asked(ann, 'get', 'pods', { namespace: 'team', group: 'metrics.k8s.io' }), false],
    [asked(robot, 'get', 'secrets', { namespace: 'x', name: 'one' }), true],
    [asked(robot, 'get', 'secrets', { namespace: 'x', name: 'two' }), false],
    [asked(robot, 'list', 'secrets', { namespace: 'x' }), false],
    [asked(person('system:serviceaccount:team:robot2'), 'get', 'secrets', { name: 'one' }), false],
  ];
  for (const [attributes, wanted] of table) {
    const said = await authorize(attributes);
    assert.equal(said.decision, wanted ? 'allow' : 'noOpinion', JSON.stringify(attributes));
  }
  assert.equal(
    (await authorize(asked(ann, 'get', 'pods', { namespace: 'team' }))).reason,
    'RBAC: allowed by RoleBinding "read/team" of Role "reader" to User "ann"',
  );
  assert.equal(
    (await authorize(asked(robot, 'get', 'secrets', { name: 'one' }))).reason,
    'RBAC: allowed by ClusterRoleBinding "one" of ClusterRole "named" to ServiceAccount "robot/team"',
  );
});

test('a binding that goes, changes its subjects or loses its role gives nothing more', async () => {
  const index = new RoleIndex();
  const { authorize } = rbacAuthorizer(index);
  const ann = person('ann');
  const question = asked(ann, 'get', 'pods');
  index.set(role('reader', [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }]));
  index.set(binding('b', 'reader', [{ kind: 'User', apiGroup, name: 'ann' }]));
  assert.equal((await authorize(question)).decision, 'allow');
  index.set(binding('b', 'reader', [{ kind: 'User', apiGroup, name: 'bob' }]));
  assert.equal((await authorize(question)).decision, 'noOpinion');
  index.set(binding('b', 'reader', [{ kind: 'Group', apiGroup, name: 'system:authenticated' }]));
  assert.equal((await authorize(question)).decision, 'allow');
  index.remove('ClusterRole', '', 'reader');
  assert.deepEqual(await authorize(question), {
    decision: 'noOpinion',
    reason: 'RBAC: clusterrole.rbac.authorization.k8s.io "reader" not found',
  });
  index.set(role('reader', [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }]));
  index.remove('ClusterRoleBinding', '', 'b');
  assert.equal((await authorize(question)).decision, 'noOpinion');
});

test('the bootstrap policy gives everybody what upstream gives', async () => {
  const authorizer = union([mastersAuthorizer, rbacAuthorizer(bootstrapped())]);
  const may = async (attributes: Attributes) => (await authorizer.authorize(attributes)).decision === 'allow';
  assert.ok(await may(path(anonymous, '/readyz')));
  assert.ok(await may(path(anonymous, '/version')));
  assert.ok(!(await may(path(anonymous, '/api'))));
  assert.ok(!(await may(path(anonymous, '/readyz/ping'))));
  assert.ok(await may(path(person('ann'), '/apis/apps/v1')));
  assert.ok(!(await may(path(person('ann'), '/metrics'))));
  assert.ok(await may(path(person('prom', 'system:monitoring'), '/metrics')));
  assert.ok(await may(asked(person('ann'), 'create', 'selfsubjectaccessreviews', { group: 'authorization.k8s.io' })));
  assert.ok(!(await may(asked(person('ann'), 'list', 'pods', { namespace: 'default' }))));
  assert.ok(await may(asked(person('x', 'system:masters'), 'delete', 'nodes')));
  const controller = serviceAccountUser('kube-system', 'replicaset-controller');
  assert.ok(await may(asked(controller, 'create', 'pods', { namespace: 'a' })));
  assert.ok(!(await may(asked(controller, 'get', 'secrets', { namespace: 'a' }))));
  assert.ok(await may(asked(person('system:kube-scheduler'), 'create', 'pods/binding', { namespace: 'a' })));
  assert.ok(await may(asked(person('kube-apiserver-kubelet-client'), 'get', 'nodes/proxy', { name: 'n' })));
  assert.ok(!(await may(asked(person('system:node:n', 'system:nodes'), 'get', 'secrets', { namespace: 'a' }))));
});

test('admin, edit and view have their rules from the start', async () => {
  const index = bootstrapped();
  index.set(binding('admins', 'admin', [{ kind: 'User', apiGroup, name: 'ann' }], 'team'));
  index.set(binding('editors', 'edit', [{ kind: 'User', apiGroup, name: 'ed' }], 'team'));
  index.set(binding('viewers', 'view', [{ kind: 'User', apiGroup, name: 'vi' }], 'team'));
  const { authorize } = rbacAuthorizer(index);
  const may = async (name: string, verb: string, resource: string, group = '') =>
    (await authorize(asked(person(name), verb, resource, { namespace: 'team', group }))).decision === 'allow';
  assert.deepEqual(
    [await may('vi', 'list', 'pods'), await may('vi', 'get', 'secrets'), await may('vi', 'create', 'pods')],
    [true, false, false],
  );
  assert.deepEqual(
    [
      await may('ed', 'create', 'pods/exec'),
      await may('ed', 'get', 'secrets'),
      await may('ed', 'create', 'roles', apiGroup),
    ],
    [true, true, false],
  );
  assert.ok(await may('ann', 'create', 'rolebindings', apiGroup));
  assert.ok(!(await may('ann', 'delete', 'namespaces')));
  const roles = bootstrapPolicy().clusterRoles;
  assert.ok(roles.length >= 68, `${roles.length} cluster roles`);
  const edit = roles.find(each => each.metadata?.name === 'edit');
  assert.deepEqual(edit?.metadata?.labels, {
    'kubernetes.io/bootstrapping': 'rbac-defaults',
    'rbac.authorization.k8s.io/aggregate-to-admin': 'true',
  });
});

test('the rules of a user are put together from all authorizers, with what they cannot say', async () => {
  const index = bootstrapped();
  index.set(binding('gone', 'nowhere', [{ kind: 'User', apiGroup, name: 'ann' }]));
  const vague = {
    name: 'vague',
    authorize: () => ({ decision: 'noOpinion', reason: '' }) as const,
    rulesFor: () => ({ resourceRules: [], nonResourceRules: [], incomplete: true, evaluationError: 'cannot say' }),
  };
  const rules = await union([mastersAuthorizer, vague, rbacAuthorizer(index)]).rulesFor?.(person('ann'), 'team');
  assert.equal(rules?.incomplete, true);
  assert.equal(rules?.evaluationError, 'cannot say, clusterrole.rbac.authorization.k8s.io "nowhere" not found');
  assert.ok(rules?.resourceRules.some(each => each.resources?.includes('selfsubjectreviews')));
  assert.ok(rules?.nonResourceRules.some(each => each.nonResourceURLs?.includes('/apis/*')));
});

test('nobody grants what they do not hold, unless they may escalate or bind', async () => {
  const index = bootstrapped();
  index.set(binding('admins', 'admin', [{ kind: 'User', apiGroup, name: 'ann' }], 'team'));
  const check = rbacEscalationCheck(index, rbacAuthorizer(index));
  const ann = person('ann', 'devs');
  const write = (kind: Kind, object: object, user = ann, old?: object) =>
    check({
      user,
      kind,
      namespace: kind.namespaced ? 'team' : '',
      name: '',
      object: { metadata: { name: 'new', namespace: 'team' }, ...object },
      old: old && { metadata: { name: 'new', namespace: 'team' }, ...old },
    });
  await write(Role, { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'] }] });
  const beyond = { rules: [{ apiGroups: [''], resources: ['nodes', 'pods'], verbs: ['get', 'list'] }] };
  assert.equal(
    await refusal(() => write(Role, beyond)),
    'roles.rbac.authorization.k8s.io "new" is forbidden: user "ann" (groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["nodes"], Verbs:["get" "list"]}',
  );
  // What is there already may stay.
  await write(Role, { ...beyond, metadata: { name: 'new', namespace: 'team', labels: { a: 'b' } } }, ann, beyond);
  await write(Role, beyond, person('root', 'system:masters'));
  const bindTo = (name: string) => ({ roleRef: { apiGroup, kind: 'ClusterRole', name }, subjects: [] });
  await write(RoleBinding, bindTo('view'));
  assert.match(
    await refusal(() => write(RoleBinding, bindTo('cluster-admin'))),
    /not currently held:\n\{APIGroups:\["\*"\]/,
  );
  index.set(
    role('binder', [
      { apiGroups: [apiGroup], resources: ['clusterroles'], verbs: ['bind'], resourceNames: ['cluster-admin'] },
    ]),
  );
  index.set(binding('binder', 'binder', [{ kind: 'User', apiGroup, name: 'ann' }]));
  await write(RoleBinding, bindTo('cluster-admin'));
  await write(ClusterRoleBinding, bindTo('cluster-admin'));
  await assert.rejects(write(RoleBinding, bindTo('nowhere')), /^ApiError: rolebindings.* "nowhere" not found/);
  const gather = { rules: [], aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: 'b' } }] } };
  assert.match(
    await refusal(() => write(ClusterRole, gather)),
    /must have cluster-admin privileges to use an aggregationRule/,
  );
  index.set(role('escalator', [{ apiGroups: [apiGroup], resources: ['roles', 'clusterroles'], verbs: ['escalate'] }]));
  index.set(binding('escalator', 'escalator', [{ kind: 'User', apiGroup, name: 'ann' }]));
  await write(Role, beyond);
  await write(ClusterRole, gather);
});

test('wildcards cover what they stand for, and names need names', async () => {
  const index = new RoleIndex();
  index.set(
    role('r', [
      { apiGroups: ['*'], resources: ['*/scale'], verbs: ['*'] },
      { apiGroups: [''], resources: ['secrets'], verbs: ['get'], resourceNames: ['a'] },
      { nonResourceURLs: ['/healthz/*'], verbs: ['get'] },
    ]),
  );
  index.set(binding('b', 'r', [{ kind: 'User', apiGroup, name: 'ann' }]));
  const check = rbacEscalationCheck(index, rbacAuthorizer(index));
  const grant = (...rules: PolicyRule[]) =>
    check({
      user: person('ann'),
      kind: ClusterRole,
      namespace: '',
      name: '',
      object: { metadata: { name: 'n' }, rules } as never,
      old: undefined,
    });
  await grant({ apiGroups: ['apps'], resources: ['deployments/scale'], verbs: ['update'] });
  await grant({ apiGroups: [''], resources: ['secrets'], verbs: ['get'], resourceNames: ['a'] });
  await grant({ nonResourceURLs: ['/healthz/ping'], verbs: ['get'] });
  await assert.rejects(grant({ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }));
  await assert.rejects(grant({ apiGroups: [''], resources: ['secrets'], verbs: ['get'], resourceNames: ['a', 'b'] }));
  await assert.rejects(grant({ nonResourceURLs: ['/healthz'], verbs: ['get'] }));
  await assert.rejects(grant({ apiGroups: ['apps'], resources: ['deployments'], verbs: ['update'] }));
  await assert.rejects(grant({ apiGroups: ['apps'], resources: ['*'], verbs: ['get'] }));
});

test('a refusal says who may not do what, with markup escaped', () => {
  assert.equal(
    denied(asked(person('u'), 'list', 'pods', { namespace: 'ns' }), '').message,
    'pods is forbidden: User "u" cannot list resource "pods" in API group "" in the namespace "ns"',
  );
  assert.equal(
    denied(asked(person('<u>'), 'create', 'deployments/scale', { group: 'apps', name: 'web' }), 'why').message,
    'deployments.apps "web" is forbidden: User "&lt;u&gt;" cannot create resource "deployments/scale" in API group "apps" at the cluster scope: why',
  );
  assert.equal(denied(path(person('u'), '/metrics'), '').message, 'forbidden: User "u" cannot get path "/metrics"');
});

test('a decision does not slow down with the number of bindings', async () => {
  const index = bootstrapped();
  const { authorize } = rbacAuthorizer(index);
  const question = asked(serviceAccountUser('kube-system', 'replicaset-controller'), 'create', 'pods', {
    namespace: 'ns-1',
  });
  const microsADecision = async () => {
    const rounds = 20_000;
    const start = process.cpuUsage();
    for (let round = 0; round < rounds; round++) void authorize(question);
    return (process.cpuUsage(start).user + process.cpuUsage(start).system) / rounds;
  };
  await microsADecision();
  const few = await microsADecision();
  for (let each = 0; each < 20_000; each++)
    index.set(binding(`b-${each}`, 'view', [{ kind: 'User', apiGroup, name: `user-${each}` }], `ns-${each % 500}`));
  const many = await microsADecision();
  // Twenty thousand more bindings: a linear search would take hundreds of times longer.
  assert.ok(many < Math.max(few, 1) * 10, `${few} µs became ${many} µs`);
});
