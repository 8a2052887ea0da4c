import { ApiError, errors } from '#api/machinery/errors.ts';
import { isDNS1123Subdomain } from '#api/machinery/names.ts';
import { denied } from '../authorization/denial.ts';
import type { Attributes, Authorizer } from '../authorization/authorizer.ts';
import { anonymous, serviceAccountUser, wellKnownGroups, type User } from '../user.ts';
import type { Credentials } from './authenticator.ts';
import { headerTexts } from './header-text.ts';

/** As the headers say, nothing added. */
interface Wanted {
  readonly user: string;
  readonly groups: readonly string[];
  readonly uid: string;
  readonly extra: ReadonlyMap<string, readonly string[]>;
}

const extraPrefix = 'impersonate-extra-';
const authenticationGroup = 'authentication.k8s.io';
const nodePrefix = 'system:node:';
const nodeNameKey = 'authentication.kubernetes.io/node-name';
/** From this many names on one question about all of them comes first. */
const manyNames = 4;

/**
 * The user that the headers `Impersonate-*` ask for, if the one who asks may be that user for this request; without such
 * headers the one who asks. KEP-5284: every constrained mode that applies is tried, then the verb `impersonate`; the first
 * refusal is the one that is told.
 */
export async function impersonate(
  user: User,
  headers: Credentials['headers'],
  request: Attributes,
  authorizer: Authorizer,
): Promise<User> {
  const wanted = wantedFrom(headers);
  if (!wanted) return user;
  if (wanted.user === '') throw errors.badRequest(`requested ${describe(wanted)} without impersonating a user name`);
  let first: ApiError | undefined;
  for (const mode of modesFor(user, wanted)) {
    const refused = await refusal(mode, user, wanted, request, authorizer);
    if (!refused) return impersonated(mode, wanted);
    first ??= refused;
  }
  throw first ?? errors.internal('all impersonation modes failed');
}

type Mode = 'associated-node' | 'arbitrary-node' | 'serviceaccount' | 'user-info' | 'legacy';

function modesFor(user: User, wanted: Wanted): Mode[] {
  const bare = wanted.groups.length === 0 && wanted.uid === '' && wanted.extra.size === 0;
  const node = nodeOf(wanted.user);
  if (node !== undefined) {
    if (!bare) return ['legacy'];
    const own = user.extra?.[nodeNameKey];
    const associated = serviceAccountOf(user.name) && own?.length === 1 && own[0] === node;
    return [...(associated ? (['associated-node'] as const) : []), 'arbitrary-node', 'legacy'];
  }
  if (serviceAccountOf(wanted.user)) return bare ? ['serviceaccount', 'legacy'] : ['legacy'];
  return ['user-info', 'legacy'];
}

/** Why this mode does not allow it. */
async function refusal(
  mode: Mode,
  asking: User,
  wanted: Wanted,
  request: Attributes,
  authorizer: Authorizer,
): Promise<ApiError | undefined> {
  const constrained = mode !== 'legacy';
  // Which node it is has been looked at; rules for this mode are for any node that the account runs on.
  const user: User =
    mode === 'associated-node'
      ? {
          ...asking,
          extra: { 'authentication.kubernetes.io/associated-node-keys': Object.keys(asking.extra ?? {}).sort() },
        }
      : asking;
  const verb = constrained ? `impersonate:${mode}` : 'impersonate';
  const check = async (attributes: Attributes) => {
    const said = await authorizer.authorize(attributes);
    return said.decision === 'allow' ? undefined : denied(attributes, said.reason);
  };
  const about = (group: string, resource: string, name: string, more: Partial<Attributes> = {}): Attributes => ({
    user,
    verb,
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
  const group = constrained ? authenticationGroup : '';
  const may = async (attributes: Attributes) => (await check(attributes)) === undefined;

  if (constrained) {
    const refused = await check({ ...request, user, verb: `impersonate-on:${mode}:${request.verb}` });
    if (refused) return refused;
  }
  const account = serviceAccountOf(wanted.user);
  const node = constrained ? nodeOf(wanted.user) : undefined;
  const named =
    node !== undefined
      ? about(group, 'nodes', mode === 'associated-node' ? '*' : node)
      : account
        ? about(group, 'serviceaccounts', account.name, { namespace: account.namespace })
        : about(group, 'users', wanted.user);
  const refusedName = await check(named);
  if (refusedName) return refusedName;
  if (wanted.uid !== '') {
    const refused = await check(about(authenticationGroup, 'uids', wanted.uid));
    if (refused) return refused;
  }
  if (wanted.groups.length > 0) {
    const odd = constrained ? oddGroup(wanted.groups) : undefined;
    if (odd) return denied(about(group, 'groups', odd.name), odd.why);
    const wholesale = constrained && wanted.groups.length >= manyNames && (await may(about(group, 'groups', '*')));
    for (const name of wholesale ? [] : wanted.groups) {
      const refused = await check(about(group, 'groups', name));
      if (refused) return refused;
    }
  }
  if (wanted.extra.size > 0) {
    const odd = constrained ? oddExtra(wanted.extra) : undefined;
    if (odd !== undefined) return denied(about(authenticationGroup, 'userextras', ''), odd);
    const values = [...wanted.extra.values()].flat().length;
    const many = wanted.extra.size >= manyNames || values >= manyNames;
    const all = about(authenticationGroup, 'userextras', '*', { subresource: '*' });
    const wholesale = constrained && many && (await may(all));
    for (const [key, names] of wholesale ? [] : wanted.extra)
      for (const name of names) {
        const refused = await check(about(authenticationGroup, 'userextras', name, { subresource: key }));
        if (refused) return refused;
      }
  }
  return undefined;
}

function oddGroup(groups: readonly string[]): { readonly name: string; readonly why: string } | undefined {
  if (groups.includes('')) return { name: '', why: 'impersonating the empty string group is not allowed' };
  if (groups.includes(wellKnownGroups.masters))
    return { name: wellKnownGroups.masters, why: 'impersonating the system:masters group is not allowed' };
  return undefined;
}

function oddExtra(extra: ReadonlyMap<string, readonly string[]>): string | undefined {
  for (const [key, values] of extra) {
    if (key === '') return 'impersonating the empty string key in extra is not allowed';
    const [domain = '', ...path] = key.split('/');
    if (!isSubdomain(domain) || path.length === 0 || path.join('/') === '')
      return `impersonating an invalid key in extra is not allowed: extra.key: Invalid value: ${JSON.stringify(key)}: must be a domain-prefixed path (such as "acme.io/foo")`;
    if (key !== key.toLowerCase())
      return `impersonating a non-lowercase key in extra is not allowed: ${JSON.stringify(key)}`;
    if (values.length === 0) return 'impersonating empty values in extra is not allowed';
    if (values.includes('')) return 'impersonating the empty string value in extra is not allowed';
  }
  return undefined;
}

function impersonated(mode: Mode, wanted: Wanted): User {
  const groups = [...wanted.groups];
  const account = serviceAccountOf(wanted.user);
  if (account && groups.length === 0)
    groups.push(
      ...serviceAccountUser(account.namespace, account.name).groups.filter(
        each => each !== wellKnownGroups.authenticated,
      ),
    );
  // Without a constraint a node is a user like any other, as it always was.
  if (mode === 'associated-node' || mode === 'arbitrary-node') groups.push(wellKnownGroups.nodes);
  const state =
    wanted.user === anonymous.name
      ? wellKnownGroups.unauthenticated
      : groups.includes(wellKnownGroups.unauthenticated)
        ? undefined
        : wellKnownGroups.authenticated;
  if (state !== undefined && !groups.includes(state)) groups.push(state);
  const user: User = {
    name: wanted.user,
    ...(wanted.uid !== '' && { uid: wanted.uid }),
    groups,
    ...(wanted.extra.size > 0 && { extra: recordOf(wanted.extra) }),
  };
  if (mode !== 'legacy') constraints.set(user, `impersonate:${mode}`);
  return user;
}

const constraints = new WeakMap<User, string>();

/** The constrained verb by which somebody became this user, for the audit log. */
export function impersonationConstraintOf(user: User): string | undefined {
  return constraints.get(user);
}

function recordOf(extra: Wanted['extra']): Record<string, readonly string[]> {
  const record = Object.create(null) as Record<string, readonly string[]>;
  for (const [key, values] of extra) record[key] = values;
  return record;
}

function wantedFrom(headers: Credentials['headers']): Wanted | undefined {
  const all = (name: string) => headerTexts(headers, name);
  const extra = new Map<string, readonly string[]>();
  for (const name of Object.keys(headers)) {
    if (!name.startsWith(extraPrefix)) continue;
    const key = unescaped(name.slice(extraPrefix.length).toLowerCase());
    extra.set(key, [...(extra.get(key) ?? []), ...all(name)]);
  }
  const wanted = {
    user: all('impersonate-user')[0] ?? '',
    groups: all('impersonate-group'),
    uid: all('impersonate-uid')[0] ?? '',
    extra,
  };
  const nothing = wanted.user === '' && wanted.groups.length === 0 && wanted.uid === '' && extra.size === 0;
  return nothing ? undefined : wanted;
}

function serviceAccountOf(name: string): { readonly namespace: string; readonly name: string } | undefined {
  const parts = name.split(':');
  if (parts.length !== 4 || parts[0] !== 'system' || parts[1] !== 'serviceaccount') return undefined;
  const [, , namespace = '', account = ''] = parts;
  return isSubdomain(namespace) && isSubdomain(account) ? { namespace, name: account } : undefined;
}

function nodeOf(name: string): string | undefined {
  const node = name.startsWith(nodePrefix) ? name.slice(nodePrefix.length) : '';
  return isSubdomain(node) ? node : undefined;
}

function unescaped(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    // Upstream takes a key with a malformed escape as it stands.
    return key;
  }
}

/** As Go prints what was asked for. */
function describe({ groups, uid, extra }: Wanted): string {
  const strings = (values: readonly string[]) => `[]string{${values.map(each => JSON.stringify(each)).join(', ')}}`;
  const entries = [...extra].sort(([left], [right]) => (left < right ? -1 : 1));
  const map = entries.map(([key, values]) => `${JSON.stringify(key)}:${strings(values)}`).join(', ');
  return `&user.DefaultInfo{Name:"", UID:${JSON.stringify(uid)}, Groups:${groups.length === 0 ? '[]string(nil)' : strings(groups)}, Extra:map[string][]string${entries.length === 0 ? '(nil)' : `{${map}}`}}`;
}

function isSubdomain(text: string): boolean {
  return isDNS1123Subdomain(text).length === 0;
}
