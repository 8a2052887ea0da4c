import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError } from '#api/machinery/errors.ts';
import type { Attributes, Authorizer } from '../authorization/authorizer.ts';
import type { User } from '../user.ts';
import { impersonate } from './impersonation.ts';

const root: User = { name: 'root', groups: ['system:authenticated'] };

function listing(user: User): Attributes {
  return {
    user,
    verb: 'list',
    resourceRequest: true,
    path: '',
    group: '',
    version: 'v1',
    resource: 'pods',
    subresource: '',
    namespace: 'ns',
    name: '',
  };
}

/** Allows what is listed as `verb resource[/subresource].group name`. */
function allowing(...allowed: string[]): Authorizer & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    name: 'list',
    asked,
    authorize({ verb, resource, subresource, group, name, namespace }) {
      const what = [verb, `${resource}${subresource && `/${subresource}`}.${group}`, namespace, name]
        .filter(Boolean)
        .join(' ');
      asked.push(what);
      return { decision: allowed.includes(what) ? 'allow' : 'noOpinion', reason: '' };
    },
  };
}

async function refused(run: Promise<unknown>, code: number): Promise<string> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof ApiError);
    assert.equal(error.code, code);
    return error.message;
  }
  return assert.fail('was not refused');
}

test('whoever may impersonate becomes the user, with groups, uid and extra', async () => {
  const headers = {
    'impersonate-user': 'ann',
    'impersonate-group': ['dev', 'ops'],
    'impersonate-uid': '42',
    'impersonate-extra-scopes%2Fa': 'view',
  };
  const authorizer = allowing(
    'impersonate users. ann',
    'impersonate groups. dev',
    'impersonate groups. ops',
    'impersonate uids.authentication.k8s.io 42',
    'impersonate userextras/scopes/a.authentication.k8s.io view',
  );
  const user = await impersonate(root, headers, listing(root), authorizer);
  assert.equal(user.name, 'ann');
  assert.equal(user.uid, '42');
  assert.deepEqual(user.groups, ['dev', 'ops', 'system:authenticated']);
  assert.deepEqual({ ...user.extra }, { 'scopes/a': ['view'] });
  assert.equal(await impersonate(root, {}, listing(root), allowing()), root);
});

test('each part needs its own permission', async () => {
  const headers = { 'impersonate-user': 'ann', 'impersonate-group': 'system:masters' };
  assert.equal(
    await refused(impersonate(root, headers, listing(root), allowing('impersonate users. ann')), 403),
    // What was tried first is told: the constrained mode for such users.
    'pods is forbidden: User "root" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "ns"',
  );
  assert.match(
    await refused(impersonate(root, { 'impersonate-group': 'dev' }, listing(root), allowing()), 400),
    /^requested &user\.DefaultInfo\{Name:"", UID:"", Groups:\[\]string\{"dev"\}, Extra:map\[string\]\[\]string\(nil\)\} without impersonating a user name$/,
  );
});

test('a service account brings its groups, the anonymous user stays unauthenticated', async () => {
  const account = await impersonate(
    root,
    { 'impersonate-user': 'system:serviceaccount:ns:robot' },
    listing(root),
    allowing('impersonate serviceaccounts. ns robot'),
  );
  assert.deepEqual(account.groups, ['system:serviceaccounts', 'system:serviceaccounts:ns', 'system:authenticated']);
  const nobody = await impersonate(
    root,
    { 'impersonate-user': 'system:anonymous' },
    listing(root),
    allowing('impersonate users. system:anonymous'),
  );
  assert.deepEqual(nobody.groups, ['system:unauthenticated']);
});

test('constrained impersonation holds for the one request', async () => {
  const headers = { 'impersonate-user': 'ann' };
  const who = 'impersonate:user-info users.authentication.k8s.io ann';
  const user = await impersonate(root, headers, listing(root), allowing(who, 'impersonate-on:user-info:list pods. ns'));
  assert.equal(user.name, 'ann');
  await refused(impersonate(root, headers, listing(root), allowing(who, 'impersonate-on:user-info:get pods. ns')), 403);
});

test('a node is impersonated by its own verbs, and becomes a member of system:nodes', async () => {
  const headers = { 'impersonate-user': 'system:node:n1' };
  const arbitrary = allowing(
    'impersonate-on:arbitrary-node:list pods. ns',
    'impersonate:arbitrary-node nodes.authentication.k8s.io n1',
  );
  const node = await impersonate(root, headers, listing(root), arbitrary);
  assert.deepEqual(node.groups, ['system:nodes', 'system:authenticated']);
  // With the old verb a node is a user like any other.
  const legacy = await impersonate(root, headers, listing(root), allowing('impersonate users. system:node:n1'));
  assert.deepEqual(legacy.groups, ['system:authenticated']);
});

test('a service account may be the node it runs on, and no other', async () => {
  const agent: User = {
    name: 'system:serviceaccount:ns:agent',
    groups: [],
    extra: { 'authentication.kubernetes.io/node-name': ['n1'] },
  };
  const associated = () =>
    allowing(
      'impersonate-on:associated-node:list pods. ns',
      'impersonate:associated-node nodes.authentication.k8s.io *',
    );
  const asNode = (node: string, user = agent) =>
    impersonate(user, { 'impersonate-user': `system:node:${node}` }, listing(user), associated());
  assert.equal((await asNode('n1')).name, 'system:node:n1');
  await refused(asNode('n2'), 403);
  await refused(asNode('n1', { ...agent, name: 'ann' }), 403);
  await refused(asNode('n1', { ...agent, extra: {} }), 403);
});

test('the constrained verbs never give system:masters, empty groups or odd extra keys', async () => {
  const everything: Authorizer = {
    name: 'all but the old verb',
    authorize: ({ verb }) => ({ decision: verb === 'impersonate' ? 'noOpinion' : 'allow', reason: '' }),
  };
  const ann = (more: Record<string, string | string[]>) =>
    impersonate(root, { 'impersonate-user': 'ann', ...more }, listing(root), everything);
  assert.match(
    await refused(ann({ 'impersonate-group': ['dev', 'system:masters'] }), 403),
    /impersonating the system:masters group is not allowed$/,
  );
  await refused(ann({ 'impersonate-group': '' }), 403);
  await refused(ann({ 'impersonate-extra-scopes': 'view' }), 403);
  await refused(ann({ 'impersonate-extra-acme.io%2Fscopes': '' }), 403);
  const user = await ann({ 'impersonate-extra-acme.io%2Fscopes': ['a', 'b'], 'impersonate-group': 'dev' });
  assert.deepEqual({ ...user.extra }, { 'acme.io/scopes': ['a', 'b'] });
  // Groups or a uid beside a service account or node are for the old verb alone.
  await refused(ann({ 'impersonate-user': 'system:serviceaccount:ns:robot', 'impersonate-group': 'dev' }), 403);
});

test('names are UTF-8, however the bytes came', async () => {
  const headers = { 'impersonate-user': Buffer.from('jürgen').toString('latin1'), 'impersonate-group': 'dév' };
  const authorizer = allowing('impersonate users. jürgen', 'impersonate groups. dév');
  const user = await impersonate(root, headers, listing(root), authorizer);
  assert.deepEqual([user.name, user.groups[0]], ['jürgen', 'dév']);
});

test('keys like __proto__ stay keys', async () => {
  const headers = Object.fromEntries([
    ['impersonate-user', 'ann'],
    ['impersonate-extra-__proto__', 'x'],
  ]);
  const authorizer = allowing('impersonate users. ann', 'impersonate userextras/__proto__.authentication.k8s.io x');
  const user = await impersonate(root, headers, listing(root), authorizer);
  assert.deepEqual(Object.keys(user.extra ?? {}), ['__proto__']);
});
