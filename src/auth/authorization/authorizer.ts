import type { User } from '../user.ts';

/** What is to be allowed: a verb on a resource, or on a path that is no resource. */
export interface Attributes {
  readonly user: User;
  readonly verb: string;
  readonly resourceRequest: boolean;
  /** For requests that are no resource's. */
  readonly path: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** As sent, for authorizers that look at what is selected. */
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
}

export interface Decision {
  readonly decision: 'allow' | 'deny' | 'noOpinion';
  readonly reason: string;
  /** What kept an authorizer from deciding: a webhook that cannot be reached. */
  readonly error?: string;
}

export interface Authorizer {
  readonly name: string;
  authorize(attributes: Attributes): Promise<Decision> | Decision;
  /** The rules that hold for a user in a namespace, for SelfSubjectRulesReview. */
  rulesFor?(user: User, namespace: string): Promise<RuleSet> | RuleSet;
}

export interface RuleSet {
  readonly resourceRules: readonly {
    readonly verbs: readonly string[];
    readonly apiGroups?: readonly string[];
    readonly resources?: readonly string[];
    readonly resourceNames?: readonly string[];
  }[];
  readonly nonResourceRules: readonly {
    readonly verbs: readonly string[];
    readonly nonResourceURLs?: readonly string[];
  }[];
  readonly incomplete: boolean;
  readonly evaluationError?: string;
}

/** The decisions of several, in order: the first that has an opinion counts. Nobody has one: no opinion, which is a refusal. */
export function union(authorizers: readonly Authorizer[]): Authorizer {
  return {
    name: authorizers.map(each => each.name).join(','),
    async authorize(attributes) {
      const reasons: string[] = [];
      const failures: string[] = [];
      for (const authorizer of authorizers) {
        const said = await authorizer.authorize(attributes);
        if (said.decision !== 'noOpinion') return said;
        if (said.reason !== '') reasons.push(said.reason);
        if (said.error !== undefined) failures.push(said.error);
      }
      return {
        decision: 'noOpinion',
        reason: reasons.join('\n'),
        ...(failures.length > 0 && { error: failures.length === 1 ? (failures[0] ?? '') : `[${failures.join(', ')}]` }),
      };
    },
    async rulesFor(user, namespace) {
      const all = await Promise.all(authorizers.map(each => each.rulesFor?.(user, namespace)));
      const known = all.filter(each => each !== undefined);
      const complaints = known.flatMap(each => each.evaluationError ?? []);
      return {
        resourceRules: known.flatMap(each => each.resourceRules),
        nonResourceRules: known.flatMap(each => each.nonResourceRules),
        incomplete: known.length < all.length || known.some(each => each.incomplete),
        ...(complaints.length > 0 && { evaluationError: complaints.join(', ') }),
      };
    },
  };
}
