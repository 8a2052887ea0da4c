import type { PolicyRule } from '#api/rbac/v1/policy-rule.ts';

export type Rules = readonly PolicyRule[];

export const read = 'get list watch';
export const write = 'create update patch delete deletecollection';
export const readUpdate = `${read} update patch`;
export const readWrite = `${read} ${write}`;

/** Words are separated by blanks; `core` is the group without a name. Everything is sorted, as upstream publishes it. */
export function on(groups: string, resources: string, verbs: string, names = ''): PolicyRule {
  return {
    apiGroups: words(groups)
      .map(group => (group === 'core' ? '' : group))
      .sort(),
    resources: words(resources),
    verbs: words(verbs),
    ...(names !== '' && { resourceNames: words(names) }),
  };
}

export function urls(paths: string, verbs: string): PolicyRule {
  return { nonResourceURLs: words(paths), verbs: words(verbs) };
}

/** Writing Events, which nearly everybody does. */
export const recordEvents = on('core events.k8s.io', 'events', 'create update patch');

function words(text: string): string[] {
  return text.split(' ').sort();
}
