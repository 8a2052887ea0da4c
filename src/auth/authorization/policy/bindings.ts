import type { Subject } from '#api/rbac/v1/subject.ts';
import { wellKnownGroups } from '../../user.ts';

const apiGroup = 'rbac.authorization.k8s.io';
const user = (name: string): Subject => ({ kind: 'User', apiGroup, name });
const group = (name: string): Subject => ({ kind: 'Group', apiGroup, name });
const serviceAccount = (name: string, namespace = 'kube-system'): Subject => ({
  kind: 'ServiceAccount',
  name,
  namespace,
});

const controllerManager = user('system:kube-controller-manager');
const scheduler = user('system:kube-scheduler');

/** Cluster role → whom it is bound to by the binding of the same name. */
export const clusterRoleSubjects: Readonly<Record<string, readonly Subject[]>> = {
  'cluster-admin': [group(wellKnownGroups.masters)],
  'system:monitoring': [group(wellKnownGroups.monitoring)],
  'system:discovery': [group(wellKnownGroups.authenticated)],
  'system:basic-user': [group(wellKnownGroups.authenticated)],
  'system:public-info-viewer': [group(wellKnownGroups.authenticated), group(wellKnownGroups.unauthenticated)],
  'system:node-proxier': [user('system:kube-proxy')],
  'system:kube-controller-manager': [controllerManager],
  'system:kube-dns': [serviceAccount('kube-dns')],
  'system:kube-scheduler': [scheduler],
  'system:volume-scheduler': [scheduler],
  // The Node authorizer takes its place; the empty binding stays so that reconciling can take subjects away.
  'system:node': [],
  'system:service-account-issuer-discovery': [group(wellKnownGroups.serviceAccounts)],
};

/** Where trust bundles are served, everything that runs in the cluster may read them. */
export const trustBundleBinding = {
  name: 'system:cluster-trust-bundle-discovery',
  role: 'system:cluster-trust-bundle-discovery',
  subjects: [group(wellKnownGroups.serviceAccounts)],
} as const;

/** The API server's own client certificate for node agents. kubeadm and others bind it too, under names of their own. */
export const kubeletClientBinding = {
  name: 'windlass:kube-apiserver-kubelet-client',
  role: 'system:kubelet-api-admin',
  subjects: [user('kube-apiserver-kubelet-client')],
} as const;

/**
 * What the node agent's network needs beyond a service proxy: upstream leaves network policies to others, so the role and
 * its binding are ours. It is kube-proxy's user because both are one program with one connection.
 */
export const networkPolicyBinding = {
  name: 'windlass:network-policies',
  role: 'windlass:network-policies',
  subjects: [user('system:kube-proxy')],
} as const;

/** Namespace → name of the binding → role of that namespace and whom it is bound to. */
export const namespaceRoleSubjects: Readonly<
  Record<string, Readonly<Record<string, { readonly role: string; readonly subjects: readonly Subject[] }>>>
> = {
  'kube-system': {
    'system::extension-apiserver-authentication-reader': {
      role: 'extension-apiserver-authentication-reader',
      subjects: [controllerManager, scheduler],
    },
    'system::leader-locking-kube-controller-manager': {
      role: 'system::leader-locking-kube-controller-manager',
      subjects: [
        controllerManager,
        serviceAccount('kube-controller-manager'),
        serviceAccount('leader-election-controller'),
      ],
    },
    'system::leader-locking-kube-scheduler': {
      role: 'system::leader-locking-kube-scheduler',
      subjects: [scheduler, serviceAccount('kube-scheduler')],
    },
    'system:controller:bootstrap-signer': {
      role: 'system:controller:bootstrap-signer',
      subjects: [serviceAccount('bootstrap-signer')],
    },
    'system:controller:cloud-provider': {
      role: 'system:controller:cloud-provider',
      subjects: [serviceAccount('cloud-provider')],
    },
    'system:controller:token-cleaner': {
      role: 'system:controller:token-cleaner',
      subjects: [serviceAccount('token-cleaner')],
    },
  },
  'kube-public': {
    'system:controller:bootstrap-signer': {
      role: 'system:controller:bootstrap-signer',
      subjects: [serviceAccount('bootstrap-signer')],
    },
  },
};
