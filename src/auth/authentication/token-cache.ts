import { createHmac, randomBytes } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import type { TokenAuthenticator, TokenHolder } from './bearer.ts';

/** Answers that are remembered; the least recently used go first. */
const entriesMax = 4_096;

/**
 * Remembers whose a token is, and asks once when many requests with the same token come together. Failures to ask are not
 * remembered. Tokens are kept as a keyed digest.
 */
export function cachedTokens(
  tokens: TokenAuthenticator,
  options: { readonly clock: Clock; readonly successMs: number; readonly failureMs: number },
): TokenAuthenticator {
  const { clock, successMs, failureMs } = options;
  const known = new Map<string, { readonly holder: TokenHolder | undefined; readonly untilMs: number }>();
  const asking = new Map<string, Promise<TokenHolder | undefined>>();
  const secret = randomBytes(32);
  const ask = async (key: string, token: string, audiences: readonly string[]) => {
    const holder = await tokens.authenticate(token, audiences);
    const forMs = holder ? successMs : failureMs;
    if (forMs > 0) {
      known.set(key, { holder, untilMs: clock.monotonic() + forMs });
      const oldest = known.size > entriesMax ? known.keys().next().value : undefined;
      if (oldest !== undefined) known.delete(oldest);
    }
    return holder;
  };
  return {
    async authenticate(token, audiences) {
      const key = createHmac('sha256', secret)
        .update(JSON.stringify([token, audiences]))
        .digest('base64');
      const found = known.get(key);
      known.delete(key);
      if (found && found.untilMs > clock.monotonic()) {
        known.set(key, found);
        return found.holder;
      }
      const under = asking.get(key) ?? ask(key, token, audiences).finally(() => asking.delete(key));
      asking.set(key, under);
      return under;
    },
  };
}
