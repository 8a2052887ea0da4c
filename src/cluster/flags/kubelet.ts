import { wholeNumber, type ComponentArguments } from './component.ts';

/** The flags of upstream's kubelet that `--kubelet-arg NAME=VALUE` takes, for every node of this machine: see kube-apiserver.ts. */
export const kubeletFlags = {
  'max-pods': wholeNumber('how many pods may run on a node (default 110)'),
};

export type KubeletArguments = ComponentArguments<typeof kubeletFlags>;
