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
    'groups "system:masters" is forbidden: User "root" cannot impersonate resource "groups" in API group "" at the cluster scope',
  );
  assert.match(
    await refused(impersonate(root, { 'impersonate-group': 'dev' }, listing(root), allowing()), 400),
    /^requested \[\{Group {2}dev {4}\}\] without impersonating a user$/,
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
