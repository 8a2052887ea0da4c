import { duration, wholeNumber, type ComponentArguments } from './component.ts';

/** The flags of upstream's kube-controller-manager that `--kube-controller-manager-arg NAME=VALUE` takes: see kube-apiserver.ts. */
export const kubeControllerManagerFlags = {
  'node-monitor-grace-period': duration('how long a node may be silent before it counts as lost (default 50s)'),
  'terminated-pod-gc-threshold': wholeNumber('how many ended pods stay before the oldest are deleted (default 12500)'),
};

export type KubeControllerManagerArguments = ComponentArguments<typeof kubeControllerManagerFlags>;
