import { errors } from '#api/machinery/errors.ts';
import { TokenReview } from '#api/authentication/v1/token-review.ts';
import { withAuthenticatedGroup } from '#auth/authentication/authenticate.ts';
import type { TokenAuthenticator } from '#auth/authentication/bearer.ts';
import type { SubresourceHandler } from '../subresource.ts';
import { answered } from './access-review.ts';
import { userInfoOf } from './self-review.ts';

/** Whose token is it? `audiences` are the API server's own. */
export function tokenReview(tokens: TokenAuthenticator, audiences: readonly string[]): SubresourceHandler {
  return async (_request, context) => {
    const review = await context.body(TokenReview);
    const { token, audiences: asked = [] } = review.spec;
    if (!token) throw errors.badRequest('token is required for TokenReview in authentication');
    const status = await judge(tokens, token, asked.length > 0 ? asked : audiences);
    return context.respond(201, answered(TokenReview, review, status));
  };
}

async function judge(tokens: TokenAuthenticator, token: string, audiences: readonly string[]): Promise<object> {
  try {
    const holder = await tokens.authenticate(token, audiences);
    if (!holder) return { user: {}, error: 'invalid bearer token' };
    return {
      authenticated: true,
      user: userInfoOf(withAuthenticatedGroup(holder.user)),
      ...(holder.audiences.length > 0 && { audiences: holder.audiences }),
    };
  } catch (error) {
    // Why a token is bad is the answer, not a failure.
    return { user: {}, error: (error as Error).message };
  }
}
