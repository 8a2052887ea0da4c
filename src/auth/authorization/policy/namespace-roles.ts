import { on, read, recordEvents, type Rules } from './rules.ts';

const leaderLocking: Rules = [
  on('coordination.k8s.io', 'leases', 'get watch list create update'),
  on('coordination.k8s.io', 'leasecandidates', 'get watch list create update'),
];

/** Roles that exist in a namespace: namespace → name → rules. */
export const namespaceRoleRules: Readonly<Record<string, Readonly<Record<string, Rules>>>> = {
  'kube-system': {
    'extension-apiserver-authentication-reader': [on('core', 'configmaps', read, 'extension-apiserver-authentication')],
    'system:controller:bootstrap-signer': [on('core', 'secrets', read)],
    'system:controller:cloud-provider': [on('core', 'configmaps', 'create get list watch')],
    'system:controller:token-cleaner': [on('core', 'secrets', 'get list watch delete'), recordEvents],
    'system::leader-locking-kube-controller-manager': leaderLocking,
    'system::leader-locking-kube-scheduler': leaderLocking,
  },
  'kube-public': {
    'system:controller:bootstrap-signer': [
      on('core', 'configmaps', read),
      on('core', 'configmaps', 'update', 'cluster-info'),
      recordEvents,
    ],
  },
};
