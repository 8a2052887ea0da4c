import { errors } from '#api/machinery/errors.ts';
import type { User } from '../user.ts';
import type { Authenticator, Credentials } from './authenticator.ts';
import { headerTexts } from './header-text.ts';

/** What a front proxy says of a user; header names in lower case. */
export interface RequestHeaders {
  readonly usernames: readonly string[];
  readonly uids: readonly string[];
  readonly groups: readonly string[];
  readonly extraPrefixes: readonly string[];
}

/** As kubeadm sets a cluster up. */
export const usualRequestHeaders: RequestHeaders = {
  usernames: ['x-remote-user'],
  uids: ['x-remote-uid'],
  groups: ['x-remote-group'],
  extraPrefixes: ['x-remote-extra-'],
};

/**
 * A proxy that has authenticated the user itself: it proves who it is by a certificate of its own authority, with one of
 * the allowed names (none listed: any). Without that its headers are nobody's.
 */
export function requestHeaderAuthenticator(headers: RequestHeaders, allowedNames: readonly string[]): Authenticator {
  return {
    name: 'requestheader',
    authenticate(credentials) {
      const { proxyCertificate } = credentials;
      if (!proxyCertificate) return undefined;
      const name = [proxyCertificate.subject.CN as string | string[] | undefined].flat().at(-1) ?? '';
      if (allowedNames.length > 0 && !allowedNames.includes(name))
        throw Object.assign(errors.unauthorized(), {
          cause: new Error(`x509: subject with cn=${name} is not in the allowed list`),
        });
      return userFrom(credentials.headers, headers);
    },
  };
}

function userFrom(sent: Credentials['headers'], headers: RequestHeaders): User | undefined {
  const all = (name: string) => headerTexts(sent, name).filter(each => each !== '');
  const first = (names: readonly string[]) => names.flatMap(all)[0] ?? '';
  const name = first(headers.usernames);
  if (name === '') return undefined;
  const uid = first(headers.uids);
  const extra = Object.create(null) as Record<string, string[]>;
  for (const prefix of headers.extraPrefixes)
    for (const header of Object.keys(sent))
      if (header.startsWith(prefix)) {
        const key = unescaped(header.slice(prefix.length));
        extra[key] = [...(extra[key] ?? []), ...headerTexts(sent, header)];
      }
  return {
    name,
    groups: headers.groups.flatMap(all),
    ...(uid !== '' && { uid }),
    ...(Object.keys(extra).length > 0 && { extra }),
  };
}

function unescaped(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    // As it stands, like upstream.
    return key;
  }
}
