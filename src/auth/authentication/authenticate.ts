import { errors } from '#api/machinery/errors.ts';
import { anonymous, wellKnownGroups, type User } from '../user.ts';
import type { Authenticator, Credentials } from './authenticator.ts';

/** Who needs no credentials: nobody, everybody, or everybody on certain paths. */
export type AnonymousAccess = boolean | { readonly paths: readonly string[] };

/**
 * Asks the authenticators in order; the first that knows the credentials counts. Everybody it names is in
 * `system:authenticated`. Nobody knows them: 401 where one found them wrong, else anonymous, or 401 where that is off.
 */
export function authenticateWith(
  authenticators: readonly Authenticator[],
  options: { readonly anonymous: AnonymousAccess | (() => AnonymousAccess) },
): (credentials: Credentials) => Promise<User> {
  return async credentials => {
    let wrong: unknown;
    for (const authenticator of authenticators) {
      try {
        const user = await authenticator.authenticate(credentials);
        if (user) return withAuthenticatedGroup(user);
      } catch (error) {
        wrong ??= error;
      }
    }
    if (wrong !== undefined) throw wrong;
    const access = typeof options.anonymous === 'function' ? options.anonymous() : options.anonymous;
    if (mayBeAnonymous(access, credentials.path)) return anonymous;
    throw errors.unauthorized();
  };
}

export function withAuthenticatedGroup(user: User): User {
  const { groups } = user;
  if (user.name === anonymous.name || groups.includes(wellKnownGroups.authenticated)) return user;
  if (groups.includes(wellKnownGroups.unauthenticated)) return user;
  return { ...user, groups: [...groups, wellKnownGroups.authenticated] };
}

function mayBeAnonymous(access: AnonymousAccess, path: string | undefined): boolean {
  if (typeof access === 'boolean') return access;
  return path !== undefined && access.paths.includes(path);
}
