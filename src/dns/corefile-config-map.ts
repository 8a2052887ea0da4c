/** Where kubeadm and its kin have the Corefile. */
export const corefileConfigMap = { namespace: 'kube-system', name: 'coredns', key: 'Corefile' } as const;
