import type { PeerCertificate } from 'node:tls';
import type { User } from '../user.ts';

/** What an authenticator may look at. */
export interface Credentials {
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The path of the request, for those who may be anonymous on some paths only. */
  readonly path?: string;
  /** Where an authenticator says what is odd about good credentials. */
  readonly notes?: { annotate(key: string, value: string): void; warn(message: string): void };
  /** The client's certificate when the TLS handshake verified one against the cluster's client CA. */
  readonly clientCertificate?: PeerCertificate;
  /** The client's certificate when the authority of front proxies has signed it. */
  readonly proxyCertificate?: PeerCertificate;
}

/**
 * `undefined`: these credentials are not this authenticator's; it throws ApiError Unauthorized when they are and are wrong.
 * Another authenticator may still know the user by other credentials of the same request.
 */
export interface Authenticator {
  readonly name: string;
  authenticate(credentials: Credentials): Promise<User | undefined> | User | undefined;
}
