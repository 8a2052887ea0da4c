import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWTPayload } from 'jose';
import { systemClock } from '#base/clock.ts';
import { systemRandom } from '#base/random.ts';
import { issue, issueAuthority } from '../certificates/issue.ts';

/** An OpenID provider for tests: discovery document, key set, tokens; its keys can be exchanged. */
export interface TestIssuer extends AsyncDisposable {
  /** `https://127.0.0.1:<port>` */
  readonly url: string;
  readonly caPem: string;
  /** How often the key set was fetched. */
  readonly fetches: number;
  /** Signs claims with the newest key; `iss` and `exp` are filled in where they are missing. */
  sign(claims: JWTPayload & Record<string, unknown>, header?: Record<string, string>): Promise<string>;
  /** From now on another key signs; the key set has it and the previous one, or the new one alone. */
  rotate(keep: 'both' | 'new', algorithm?: string): Promise<void>;
  /** Hands out a token with claims at a path of its own, to who has the access token; the URL. */
  publish(path: string, token: string, accessToken: string): string;
  /** What discovery says instead of the truth. */
  pretend(issuer: string): void;
}

export async function openTestIssuer(
  options: { readonly now?: () => number; readonly path?: string } = {},
): Promise<TestIssuer> {
  const { now = () => systemClock.now(), path = '' } = options;
  const issuing = { clock: systemClock, random: systemRandom };
  const authority = await issueAuthority({ commonName: 'issuer-ca', validForMs: 86_400_000 }, issuing);
  const serving = await issue(
    authority,
    { commonName: 'issuer', ips: ['127.0.0.1'], usages: ['server'], validForMs: 86_400_000 },
    issuing,
  );
  let keys: {
    readonly id: string;
    readonly algorithm: string;
    readonly privateKey: CryptoKey;
    readonly jwk: object;
  }[] = [];
  let fetches = 0;
  let pretended: string | undefined;
  const claims = new Map<string, { readonly token: string; readonly accessToken: string }>();
  let url = '';
  const server: Server = createServer({ cert: serving.certPem, key: serving.keyPem }, (request, response) => {
    const answer = (document: object) =>
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document));
    if (request.url === `${path}/.well-known/openid-configuration` || request.url === '/elsewhere')
      answer({
        issuer: pretended ?? url,
        jwks_uri: `https://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
      });
    else if (request.url === '/keys') {
      fetches++;
      answer({ keys: keys.map(({ jwk }) => jwk) });
    } else if (request.url !== undefined && claims.has(request.url)) {
      const { token, accessToken } = claims.get(request.url) as { token: string; accessToken: string };
      if (request.headers.authorization === `Bearer ${accessToken}`) response.end(token);
      else response.writeHead(401).end();
    } else response.writeHead(404).end();
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}${path}`;
  let made = 0;
  const rotate: TestIssuer['rotate'] = async (keep, algorithm = 'RS256') => {
    const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true });
    const id = `key-${++made}`;
    const next = {
      id,
      algorithm,
      privateKey,
      jwk: { ...(await exportJWK(publicKey)), kid: id, alg: algorithm, use: 'sig' },
    };
    keys = keep === 'both' ? [...keys, next] : [next];
  };
  await rotate('new');
  return {
    url,
    caPem: authority.certPem,
    get fetches() {
      return fetches;
    },
    async sign(claims, header = {}) {
      const key = keys.at(-1);
      if (!key) throw new Error('the issuer has no key');
      return new SignJWT({ iss: url, exp: Math.floor(now() / 1000) + 600, ...claims })
        .setProtectedHeader({ alg: key.algorithm, kid: key.id, ...header })
        .sign(key.privateKey);
    },
    rotate,
    publish(at, token, accessToken) {
      claims.set(at, { token, accessToken });
      return `https://127.0.0.1:${(server.address() as AddressInfo).port}${at}`;
    },
    pretend(issuer) {
      pretended = issuer;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}
