import { wellKnownGroups } from '../user.ts';
import type { Authorizer } from './authorizer.ts';

const everything = {
  resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
  nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
  incomplete: false,
} as const;

/** Everybody may do everything: for tests, and for `--authorization-mode=AlwaysAllow`. */
export const alwaysAllow: Authorizer = {
  name: 'AlwaysAllow',
  authorize: () => ({ decision: 'allow', reason: '' }),
  rulesFor: () => everything,
};

/** `system:masters` may do everything, whatever the roles say: nobody can lock the administrators out. */
export const mastersAuthorizer: Authorizer = {
  name: 'SystemMasters',
  authorize: ({ user }) =>
    user.groups.includes(wellKnownGroups.masters)
      ? { decision: 'allow', reason: '' }
      : { decision: 'noOpinion', reason: '' },
  // The binding of cluster-admin says the same, and says it once.
  rulesFor: () => ({ resourceRules: [], nonResourceRules: [], incomplete: false }),
};

/** Nobody may do anything; `system:masters` still may. */
export const alwaysDeny: Authorizer = {
  name: 'AlwaysDeny',
  authorize: () => ({ decision: 'noOpinion', reason: 'Everything is forbidden.' }),
  rulesFor: () => ({ resourceRules: [], nonResourceRules: [], incomplete: false }),
};
