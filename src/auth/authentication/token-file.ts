import { createHash } from 'node:crypto';
import type { User } from '../user.ts';
import type { TokenAuthenticator } from './bearer.ts';

/** A static token file's lines: `token,user,uid[,"group1,group2"]`. Throws when a line is malformed. */
export function tokenFileAuthenticator(text: string): TokenAuthenticator {
  const users = new Map<string, User>();
  for (const [position, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const [token = '', name = '', uid = '', groups = ''] = fieldsOf(line);
    if (token === '' || name === '')
      throw new Error(`cannot read line ${position + 1} of the token file: it needs a token and a user name`);
    users.set(digest(token), {
      name,
      ...(uid !== '' && { uid }),
      groups: groups.split(',').filter(each => each !== ''),
    });
  }
  return {
    // Looked up by digest, so that the time says nothing about a token.
    authenticate(token, audiences) {
      const user = users.get(digest(token));
      return user && { user, audiences };
    },
  };
}

function digest(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}

/** Comma-separated, a field in double quotes may hold commas, a doubled quote stands for one. */
function fieldsOf(line: string): string[] {
  const fields: string[] = [];
  for (const [, quoted, plain = ''] of line.matchAll(/(?:^|,)\s*(?:"((?:[^"]|"")*)"|([^,]*))/g))
    fields.push(quoted === undefined ? plain.trim() : quoted.replaceAll('""', '"'));
  return fields;
}
