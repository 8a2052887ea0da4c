import { errors } from '#api/machinery/errors.ts';
import type { User } from '../user.ts';
import type { Authenticator, Credentials } from './authenticator.ts';

/** Who a token belongs to, and for whom it was made. */
export interface TokenHolder {
  readonly user: User;
  readonly audiences: readonly string[];
  /** For the audit log. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** For the holder. */
  readonly warning?: string;
}

/** `undefined`: the token is not of this sort. Throws an Error that says why it is of this sort and not good. */
export interface TokenAuthenticator {
  authenticate(token: string, audiences: readonly string[]): Promise<TokenHolder | undefined> | TokenHolder | undefined;
}

const webSocketPrefix = 'base64url.bearer.authorization.k8s.io.';

/** `Authorization: Bearer <token>`, or the token as a WebSocket subprotocol, which is how browsers send one. */
export function bearerAuthenticator(tokens: TokenAuthenticator, audiences: readonly string[]): Authenticator {
  return {
    name: 'bearer',
    async authenticate(credentials) {
      const token = bearerToken(credentials);
      if (token === undefined) return undefined;
      try {
        const holder = await tokens.authenticate(token, audiences);
        if (holder) {
          for (const [key, value] of Object.entries(holder.annotations ?? {})) credentials.notes?.annotate(key, value);
          if (holder.warning !== undefined) credentials.notes?.warn(holder.warning);
          return holder.user;
        }
      } catch (cause) {
        throw Object.assign(errors.unauthorized(), { cause });
      }
      throw errors.unauthorized();
    },
  };
}

/** Tokens that name no audience are for those of the API server, and for nobody else. */
export function forAudiences(tokens: TokenAuthenticator, own: readonly string[]): TokenAuthenticator {
  return {
    async authenticate(token, audiences) {
      const matching = own.filter(each => audiences.includes(each));
      if (matching.length === 0) return undefined;
      const holder = await tokens.authenticate(token, audiences);
      return holder && { ...holder, audiences: matching };
    },
  };
}

/** The first authenticator that knows a token; the others' complaints are told together when none does. */
export function anyToken(authenticators: readonly TokenAuthenticator[]): TokenAuthenticator {
  return {
    async authenticate(token, audiences) {
      const complaints: Error[] = [];
      for (const authenticator of authenticators) {
        try {
          const holder = await authenticator.authenticate(token, audiences);
          if (holder) return holder;
        } catch (error) {
          complaints.push(error as Error);
        }
      }
      if (complaints.length === 0) return undefined;
      const said = ['invalid bearer token', ...complaints.map(each => each.message)];
      throw new AggregateError(complaints, `[${said.join(', ')}]`);
    },
  };
}

let lastHeader: string | undefined;
let lastToken: string | undefined;

function bearerToken({ headers }: Credentials): string | undefined {
  const authorization = headers['authorization'];
  if (authorization !== undefined) {
    const header = typeof authorization === 'string' ? authorization : (authorization[0] ?? '');
    // The requests of one connection show the very same string.
    if (header === lastHeader) return lastToken;
    const [scheme = '', token = ''] = header.trim().split(/ +/, 2);
    if (scheme.toLowerCase() === 'bearer' && token !== '') {
      [lastHeader, lastToken] = [header, token];
      return token;
    }
  }
  const asked = headers['sec-websocket-protocol'];
  if (asked === undefined) return undefined;
  const protocols = [asked].flat().flatMap(each => each.split(','));
  const found = protocols.map(each => each.trim()).filter(each => each.startsWith(webSocketPrefix));
  if (found.length === 0) return undefined;
  if (found.length > 1) throw errors.unauthorized();
  return Buffer.from((found[0] as string).slice(webSocketPrefix.length), 'base64url').toString();
}
