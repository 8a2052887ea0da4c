import { errors } from '#api/machinery/errors.ts';
import { SelfSubjectReview } from '#api/authentication/v1/self-subject-review.ts';
import type { UserInfo } from '#api/authentication/v1/user-info.ts';
import { SelfSubjectRulesReview } from '#api/authorization/v1/self-subject-rules-review.ts';
import type { Authorizer } from '#auth/authorization/authorizer.ts';
import type { User } from '#auth/user.ts';
import type { SubresourceHandler } from '../subresource.ts';
import { answered } from './access-review.ts';

/** Who am I? */
export const selfSubjectReview: SubresourceHandler = async (_request, context) => {
  await context.body(SelfSubjectReview);
  return context.respond(201, answered(SelfSubjectReview, { metadata: {} }, { userInfo: userInfoOf(context.user) }));
};

/** What may I do in a namespace? */
export function selfSubjectRulesReview(authorizer: Authorizer): SubresourceHandler {
  return async (_request, context) => {
    const review = await context.body(SelfSubjectRulesReview);
    const namespace = review.spec.namespace ?? '';
    if (namespace === '') throw errors.badRequest('no namespace on request');
    const rules = await authorizer.rulesFor?.(context.user, namespace);
    const status = {
      resourceRules: rules?.resourceRules ?? [],
      nonResourceRules: rules?.nonResourceRules ?? [],
      incomplete: rules?.incomplete ?? true,
      ...(rules?.evaluationError !== undefined && { evaluationError: rules.evaluationError }),
    };
    return context.respond(201, answered(SelfSubjectRulesReview, { metadata: {}, spec: {} }, status));
  };
}

export function userInfoOf({ name, uid, groups, extra }: User): UserInfo {
  return {
    username: name,
    ...(uid !== undefined && { uid }),
    ...(groups.length > 0 && { groups }),
    ...(extra && Object.keys(extra).length > 0 && { extra }),
  };
}
