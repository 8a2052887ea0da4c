import type { TokenAuthenticator } from '#auth/authentication/bearer.ts';
import type { Authorizer } from '#auth/authorization/authorizer.ts';
import type { SubresourceHandlers } from '../subresource.ts';
import { localSubjectAccessReview, selfSubjectAccessReview, subjectAccessReview } from './access-review.ts';
import { selfSubjectReview, selfSubjectRulesReview } from './self-review.ts';
import { tokenRequest, type TokenRequestOptions } from './token-request.ts';
import { tokenReview } from './token-review.ts';

/** Questions about identity and permission, which are answered and not stored. */
export function reviewHandlers(
  options: { readonly authorizer: Authorizer; readonly tokens: TokenAuthenticator } & TokenRequestOptions,
): SubresourceHandlers {
  return {
    'selfsubjectreviews.authentication.k8s.io': selfSubjectReview,
    'tokenreviews.authentication.k8s.io': tokenReview(options.tokens, options.audiences),
    'localsubjectaccessreviews.authorization.k8s.io': localSubjectAccessReview,
    'selfsubjectaccessreviews.authorization.k8s.io': selfSubjectAccessReview,
    'selfsubjectrulesreviews.authorization.k8s.io': selfSubjectRulesReview(options.authorizer),
    'subjectaccessreviews.authorization.k8s.io': subjectAccessReview,
    'serviceaccounts/token': tokenRequest(options),
  };
}
