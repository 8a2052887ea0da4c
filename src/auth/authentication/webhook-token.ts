import type { Clock } from '#base/clock.ts';
import { postWithRetries, type Outgoing } from '../outgoing.ts';
import type { User } from '../user.ts';
import type { TokenAuthenticator } from './bearer.ts';

interface Review {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly error?: string;
    readonly audiences?: readonly string[];
    readonly user?: {
      readonly username?: string;
      readonly uid?: string;
      readonly groups?: readonly string[] | null;
      readonly extra?: Readonly<Record<string, readonly string[]>> | null;
    };
  };
}

/** Asks another program by a TokenReview whose a token is. */
export function webhookTokenAuthenticator(options: {
  readonly outgoing: Outgoing;
  readonly version: 'v1' | 'v1beta1';
  /** What a token is for when the webhook does not say: those of the API server. */
  readonly audiences: readonly string[];
  readonly clock: Clock;
  readonly signal: AbortSignal;
}): TokenAuthenticator {
  const { outgoing, version, clock, signal } = options;
  const apiVersion = `authentication.k8s.io/${version}`;
  return {
    async authenticate(token, audiences) {
      const body = JSON.stringify({ apiVersion, kind: 'TokenReview', spec: { token, audiences } });
      const { text } = await postWithRetries(outgoing, body, clock, signal);
      const { status } = parsed(text, apiVersion);
      const told = status?.audiences?.length ? status.audiences : options.audiences;
      const matching = audiences.filter(each => told.includes(each));
      if (matching.length === 0) return undefined;
      if (!status?.authenticated) {
        if (status?.error) throw new Error(status.error);
        return undefined;
      }
      return { user: userOf(status.user), audiences: matching };
    },
  };
}

function parsed(text: string, apiVersion: string): Review {
  const answer = JSON.parse(text) as Review & { readonly kind?: string; readonly apiVersion?: string };
  if (answer.kind !== 'TokenReview' || answer.apiVersion !== apiVersion)
    throw new Error(
      `the webhook answered with ${answer.apiVersion} ${answer.kind}, not with ${apiVersion} TokenReview`,
    );
  return answer;
}

function userOf({ username = '', uid, groups, extra }: NonNullable<NonNullable<Review['status']>['user']> = {}): User {
  if (username === '') throw new Error('the webhook says that the token is good, but not whose it is');
  return { name: username, groups: groups ?? [], ...(uid && { uid }), ...(extra && { extra }) };
}
