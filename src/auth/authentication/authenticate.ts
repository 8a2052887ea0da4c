import { errors } from '#api/machinery/errors.ts';
import { anonymous, wellKnownGroups, type User } from '../user.ts';
import type { Authenticator, Credentials } from './authenticator.ts';

/**
 * Asks the authenticators in order; the first that knows the credentials counts. Everybody it names is in
 * `system:authenticated`. Nobody knows them: anonymous, or 401 where that is off.
 */
export function authenticateWith(
  authenticators: readonly Authenticator[],
  options: { readonly anonymous: boolean },
): (credentials: Credentials) => Promise<User> {
  return async credentials => {
    for (const authenticator of authenticators) {
      const user = await authenticator.authenticate(credentials);
      if (user) return withAuthenticatedGroup(user);
    }
    if (options.anonymous) return anonymous;
    throw errors.unauthorized();
  };
}

export function withAuthenticatedGroup(user: User): User {
  const { groups } = user;
  if (user.name === anonymous.name || groups.includes(wellKnownGroups.authenticated)) return user;
  if (groups.includes(wellKnownGroups.unauthenticated)) return user;
  return { ...user, groups: [...groups, wellKnownGroups.authenticated] };
}
