import { errors } from '#api/machinery/errors.ts';
import { denied } from '../authorization/denial.ts';
import type { Attributes, Authorizer } from '../authorization/authorizer.ts';
import { anonymous, serviceAccountUser, wellKnownGroups, type User } from '../user.ts';
import type { Credentials } from './authenticator.ts';

interface Wanted {
  readonly user: string;
  readonly groups: readonly string[];
  readonly uid: string;
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

const extraPrefix = 'impersonate-extra-';

/**
 * The user that the headers `Impersonate-*` ask for, if the one who asks may be that user for this request; without such
 * headers the one who asks. KEP-5284: the constrained verbs are tried first, then `impersonate`.
 */
export async function impersonate(
  user: User,
  headers: Credentials['headers'],
  request: Attributes,
  authorizer: Authorizer,
): Promise<User> {
  const wanted = wantedFrom(headers);
  if (!wanted) return user;
  if (wanted.user === '') throw errors.badRequest(`requested ${describe(wanted)} without impersonating a user`);
  const checks = checksFor(user, wanted);
  if (!(await constrained(user, wanted, checks, request, authorizer))) {
    for (const check of checks) {
      const said = await authorizer.authorize({ ...check, verb: 'impersonate' });
      if (said.decision !== 'allow') throw denied({ ...check, verb: 'impersonate' }, said.reason);
    }
  }
  return impersonated(wanted);
}

function wantedFrom(headers: Credentials['headers']): Wanted | undefined {
  const all = (name: string) => [headers[name] ?? []].flat();
  const extra: Record<string, readonly string[]> = Object.create(null) as Record<string, readonly string[]>;
  for (const name of Object.keys(headers))
    if (name.startsWith(extraPrefix)) extra[unescaped(name.slice(extraPrefix.length)).toLowerCase()] = all(name);
  const wanted = {
    user: all('impersonate-user')[0] ?? '',
    groups: all('impersonate-group'),
    uid: all('impersonate-uid')[0] ?? '',
    extra,
  };
  const nothing =
    wanted.user === '' && wanted.groups.length === 0 && wanted.uid === '' && Object.keys(extra).length === 0;
  return nothing ? undefined : wanted;
}

/** One question for each thing that is taken on. */
function checksFor(user: User, wanted: Wanted): Omit<Attributes, 'verb'>[] {
  const about = (group: string, resource: string, name: string, more: Partial<Attributes> = {}) => ({
    user,
    resourceRequest: true,
    path: '',
    group,
    version: 'v1',
    resource,
    subresource: '',
    namespace: '',
    name,
    ...more,
  });
  const authentication = 'authentication.k8s.io';
  const account = serviceAccountOf(wanted.user);
  return [
    account
      ? about('', 'serviceaccounts', account.name, { namespace: account.namespace })
      : about('', 'users', wanted.user),
    ...wanted.groups.map(group => about('', 'groups', group)),
    ...Object.entries(wanted.extra).flatMap(([key, values]) =>
      values.map(value => about(authentication, 'userextras', value, { subresource: key })),
    ),
    ...(wanted.uid === '' ? [] : [about(authentication, 'uids', wanted.uid)]),
  ];
}

/** The verbs of constrained impersonation: be somebody of a certain sort, and only to do this. */
async function constrained(
  user: User,
  wanted: Wanted,
  checks: readonly Omit<Attributes, 'verb'>[],
  request: Attributes,
  authorizer: Authorizer,
): Promise<boolean> {
  const account = serviceAccountOf(wanted.user);
  const node = wanted.user.startsWith('system:node:') ? wanted.user.slice('system:node:'.length) : undefined;
  const bare = wanted.groups.length === 0 && wanted.uid === '' && Object.keys(wanted.extra).length === 0;
  const mode = account ? 'serviceaccount' : node !== undefined ? 'arbitrary-node' : 'user-info';
  if (mode !== 'user-info' && !bare) return false;
  const may = async (attributes: Attributes) => (await authorizer.authorize(attributes)).decision === 'allow';
  const group = 'authentication.k8s.io';
  for (const check of checks) {
    const what = node !== undefined ? { ...check, resource: 'nodes', name: node } : check;
    if (!(await may({ ...what, group, verb: `impersonate:${mode}` }))) return false;
  }
  return may({ ...request, user, verb: `impersonate-on:${mode}:${request.verb}` });
}

function impersonated(wanted: Wanted): User {
  const account = serviceAccountOf(wanted.user);
  const groups = [...wanted.groups];
  if (account && groups.length === 0)
    groups.push(
      ...serviceAccountUser(account.namespace, account.name).groups.filter(
        each => each !== wellKnownGroups.authenticated,
      ),
    );
  const state = wanted.user === anonymous.name ? wellKnownGroups.unauthenticated : wellKnownGroups.authenticated;
  if (!groups.includes(wellKnownGroups.authenticated) && !groups.includes(wellKnownGroups.unauthenticated))
    groups.push(state);
  return {
    name: wanted.user,
    ...(wanted.uid !== '' && { uid: wanted.uid }),
    groups,
    ...(Object.keys(wanted.extra).length > 0 && { extra: wanted.extra }),
  };
}

function serviceAccountOf(name: string): { readonly namespace: string; readonly name: string } | undefined {
  const parts = name.split(':');
  if (parts.length !== 4 || parts[0] !== 'system' || parts[1] !== 'serviceaccount') return undefined;
  const [, , namespace = '', account = ''] = parts;
  return namespace === '' || account === '' ? undefined : { namespace, name: account };
}

function unescaped(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    // Upstream takes a key with a malformed escape as it stands.
    return key;
  }
}

function describe(wanted: Wanted): string {
  const references = [
    ...wanted.groups.map(name => `{Group  ${name}    }`),
    ...Object.entries(wanted.extra).flatMap(([key, values]) =>
      values.map(value => `{UserExtra  ${value}  authentication.k8s.io/v1  ${key}}`),
    ),
    ...(wanted.uid === '' ? [] : [`{UID  ${wanted.uid}  authentication.k8s.io/v1  }`]),
  ];
  return `[${references.join(' ')}]`;
}
