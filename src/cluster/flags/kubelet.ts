import { file, list, text, wholeNumber, type ComponentArguments } from './component.ts';

/** The flags of upstream's kubelet that `--kubelet-arg NAME=VALUE` takes, for every node of this machine: see kube-apiserver.ts. */
export const kubeletFlags = {
  config: file('a KubeletConfiguration (kubelet.config.k8s.io/v1beta1)'),
  'config-dir': file('a folder of such files that end in .conf, each over the ones before'),
  'max-pods': wholeNumber('how many pods may run on a node (default 110)'),
  'pod-manifest-path': file('a folder of pods that the node runs by itself'),
  'eviction-hard': list('when pods are evicted at once, such as memory.available<100Mi', 'LIST'),
  'allowed-unsafe-sysctls': list('sysctls that pods may set although they concern the whole node', 'LIST'),
  'image-credential-provider-config': file(
    'a CredentialProviderConfig: programs that know the credentials of registries',
  ),
  'image-credential-provider-bin-dir': file('where those programs are'),
  'resolv-conf': text("the node's own resolv.conf", 'FILE'),
};

export type KubeletArguments = ComponentArguments<typeof kubeletFlags>;
