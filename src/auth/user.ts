/** Who makes a request, as authentication found out. */
export interface User {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export const wellKnownGroups = {
  masters: 'system:masters',
  nodes: 'system:nodes',
  authenticated: 'system:authenticated',
  unauthenticated: 'system:unauthenticated',
  serviceAccounts: 'system:serviceaccounts',
  monitoring: 'system:monitoring',
} as const;

export const anonymous: User = { name: 'system:anonymous', groups: [wellKnownGroups.unauthenticated] };

/** The loopback identity of parts that live inside the API server's own process and bootstrap it. */
export const loopbackAdmin: User = {
  name: 'system:apiserver',
  groups: [wellKnownGroups.masters, wellKnownGroups.authenticated],
};

export function serviceAccountUser(namespace: string, name: string, uid?: string): User {
  return {
    name: `system:serviceaccount:${namespace}:${name}`,
    ...(uid !== undefined && { uid }),
    groups: [wellKnownGroups.serviceAccounts, `system:serviceaccounts:${namespace}`, wellKnownGroups.authenticated],
  };
}

export function nodeUser(nodeName: string): User {
  return { name: `system:node:${nodeName}`, groups: [wellKnownGroups.nodes, wellKnownGroups.authenticated] };
}
